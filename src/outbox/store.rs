//! The statements of an outbox.

use serde_json::json;
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use super::counts::Which;
use super::entry::{NewEntry, StoredEntry};
use crate::clock;
use crate::error::Cause;
use crate::sqlite::statements::run;

// `$1`: the events as JSON, `[[seq, id, operation, occurred_at, traceparent, tracestate, payload], …]`.
const PUT: &str = "
    BEGIN IMMEDIATE;
    INSERT INTO waiting (seq, id, operation, occurred_at, traceparent, tracestate, payload, taken_at)
    SELECT r.value ->> 0, r.value ->> 1, r.value ->> 2, r.value ->> 3, r.value ->> 4, r.value ->> 5, r.value ->> 6, $2
    FROM json_each($1) r
    WHERE NOT EXISTS (SELECT 1 FROM aside a WHERE a.id = r.value ->> 1)
    ON CONFLICT (id) DO NOTHING;
    COMMIT;";
const PRIOR_ENTRIES: &str = "
    SELECT w.id, w.seq, w.operation = r.value ->> 2 AND w.payload = r.value ->> 6, NULL
    FROM json_each($1) r CROSS JOIN waiting w ON w.id = r.value ->> 1
    UNION ALL
    SELECT a.id, NULL, a.operation = r.value ->> 2 AND a.payload = r.value ->> 6, a.reason
    FROM json_each($1) r CROSS JOIN aside a ON a.id = r.value ->> 1;";
const NEXT: &str = "
    SELECT seq, id, operation, occurred_at, traceparent, tracestate, payload, taken_at
    FROM waiting WHERE seq > $1 AND taken_at > $2 ORDER BY seq LIMIT $3;";
const FORGET: &str = "
    BEGIN IMMEDIATE;
    DELETE FROM waiting WHERE seq IN (SELECT value FROM json_each($1));
    COMMIT;";
// An id that is here already stands for the same operation: `PUT` sees to that.
const REFUSED: &str = "
    BEGIN IMMEDIATE;
    INSERT INTO aside
    SELECT id, operation, occurred_at, traceparent, tracestate, payload, taken_at, $2, $3, $4
    FROM waiting WHERE seq = $1
    ON CONFLICT (id) DO NOTHING;
    DELETE FROM waiting WHERE seq = $1;
    COMMIT;";
const EXPIRED: &str = "
    BEGIN IMMEDIATE;
    INSERT INTO aside
    SELECT id, operation, occurred_at, traceparent, tracestate, payload, taken_at, $2, 'expired',
           'it has waited for more than 7 days, and is not offered any more'
    FROM waiting WHERE taken_at <= $1
    ON CONFLICT (id) DO NOTHING;
    DELETE FROM waiting WHERE taken_at <= $1;
    COMMIT;";
const ANY_EXPIRED: &str = "SELECT EXISTS (SELECT 1 FROM waiting WHERE taken_at <= $1);";
// `$1`: the first number that is free. `$2`: what was taken until then stays. `$3`: an id, or none for all.
const RETRY: &str = "
    BEGIN IMMEDIATE;
    INSERT INTO waiting (seq, id, operation, occurred_at, traceparent, tracestate, payload, taken_at)
    SELECT $1 - 1 + row_number() OVER (ORDER BY taken_at, id), id, operation, occurred_at, traceparent, tracestate, payload,
           taken_at
    FROM aside WHERE code <> 'expired' AND taken_at > $2 AND ($3 IS NULL OR id = $3)
    ON CONFLICT (id) DO NOTHING;
    DELETE FROM aside WHERE code <> 'expired' AND taken_at > $2 AND ($3 IS NULL OR id = $3);
    COMMIT;";
// What the same would take, if it were not for its age.
const TOO_OLD: &str = "
    SELECT count(*) FROM aside
    WHERE iif($2 IS NULL, code <> 'expired' AND taken_at <= $1, id = $2 AND (code = 'expired' OR taken_at <= $1));";
const HELD: &str = "
    SELECT (SELECT ifnull(max(seq), 0) FROM waiting), (SELECT count(*) FROM waiting),
           (SELECT count(*) FROM aside WHERE code <> 'expired'), (SELECT count(*) FROM aside WHERE code = 'expired'),
           (SELECT ifnull(sum(octet_length(payload) + 2 * octet_length(id) + octet_length(operation)
                   + ifnull(octet_length(traceparent), 0) + ifnull(octet_length(tracestate), 0) + 64), 0) FROM
                (SELECT id, operation, traceparent, tracestate, payload FROM waiting
                 UNION ALL SELECT id, operation, traceparent, tracestate, payload FROM aside));";
const DROP_WAITING: &str = "DELETE FROM waiting;";
const DROP_REFUSED: &str = "DELETE FROM aside WHERE code <> 'expired';";
const DROP_EXPIRED: &str = "DELETE FROM aside WHERE code = 'expired';";
const SHRINK: &str = "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);";

/// What an outbox holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) last: i64,
    pub(super) waiting: u64,
    pub(super) refused: u64,
    pub(super) expired: u64,
    pub(super) bytes: u64,
}

/// An id that was there before.
pub(super) struct Known {
    pub(super) id: String,
    /// None if it is set aside.
    pub(super) seq: Option<i64>,
    /// Whether it stands for the same operation and payload.
    pub(super) same: bool,
    /// Why it is set aside.
    pub(super) reason: Option<String>,
}

/// The events as the statements take them; the first gets the number `first`.
pub(super) fn rows(puts: &[NewEntry], first: i64) -> String {
    let row = |(seq, put): (i64, &NewEntry)| {
        let (parent, state) =
            put.trace.as_ref().map_or((None, None), |t| (Some(&t.parent), t.state.as_ref()));
        json!([seq, put.id, put.operation, put.occurred_at, parent, state, put.payload])
    };
    serde_json::Value::from_iter((first..).zip(puts).map(row)).to_string()
}

/// Stores events; returns how many were not there yet.
pub(super) async fn put(connection: &mut SqliteConnection, rows: &str) -> Result<u64, sqlx::Error> {
    let (_, changes) = run(connection, sqlx::query(PUT).bind(rows).bind(clock::now())).await?;
    Ok(changes.get(1).copied().unwrap_or_default())
}

/// Which of the events have been here, now or before.
pub(super) async fn known(connection: &mut SqliteConnection, rows: &str) -> Result<Vec<Known>, sqlx::Error> {
    let (rows, _) = run(connection, sqlx::query(PRIOR_ENTRIES).bind(rows)).await?;
    let known = |row: &SqliteRow| {
        Ok(Known {
            id: row.try_get(0)?,
            seq: row.try_get(1)?,
            same: row.try_get(2)?,
            reason: row.try_get(3)?,
        })
    };
    rows.iter().map(known).collect()
}

/// The oldest events behind the number `after` that were taken after `horizon`.
pub(super) async fn next(
    connection: &mut SqliteConnection,
    after: i64,
    horizon: i64,
    most: u32,
) -> Result<Vec<StoredEntry>, sqlx::Error> {
    let (rows, _) = run(connection, sqlx::query(NEXT).bind(after).bind(horizon).bind(most)).await?;
    rows.iter().map(StoredEntry::read).collect()
}

/// Removes events that a path has taken; returns how many were there.
pub(super) async fn forget(connection: &mut SqliteConnection, seqs: &[i64]) -> Result<u64, sqlx::Error> {
    let (_, changes) = run(connection, sqlx::query(FORGET).bind(json!(seqs).to_string())).await?;
    Ok(changes.get(1).copied().unwrap_or_default())
}

/// Sets an event aside that was refused; returns whether it was there.
pub(super) async fn refuse(
    connection: &mut SqliteConnection,
    seq: i64,
    cause: &Cause,
) -> Result<u64, sqlx::Error> {
    let query =
        sqlx::query(REFUSED).bind(seq).bind(clock::now()).bind(cause.code().name).bind(cause.to_string());
    let (_, changes) = run(connection, query).await?;
    Ok(changes.get(2).copied().unwrap_or_default())
}

/// Puts what was refused back to what waits, if it was taken after `horizon`, under numbers from `first` on: all of it, or
/// what has this id. Returns how many, and how many are too old.
pub(super) async fn retry(
    connection: &mut SqliteConnection,
    first: i64,
    horizon: i64,
    id: Option<&str>,
) -> Result<(u64, u64), sqlx::Error> {
    let too_old: i64 = sqlx::query_scalar(TOO_OLD).bind(horizon).bind(id).fetch_one(&mut *connection).await?;
    let query = sqlx::query(RETRY).bind(first).bind(horizon).bind(id);
    let (_, changes) = run(connection, query).await?;
    Ok((changes.get(2).copied().unwrap_or_default(), too_old.unsigned_abs()))
}

/// Sets aside what was taken until `horizon`; returns how many.
pub(super) async fn expire(connection: &mut SqliteConnection, horizon: i64) -> Result<u64, sqlx::Error> {
    // Most of the time there is none: looking takes no lock and costs no sync.
    let any: bool = sqlx::query_scalar(ANY_EXPIRED).bind(horizon).fetch_one(&mut *connection).await?;
    if !any {
        return Ok(0);
    }
    let (_, changes) = run(connection, sqlx::query(EXPIRED).bind(horizon).bind(clock::now())).await?;
    Ok(changes.get(2).copied().unwrap_or_default())
}

/// Counts what is there.
pub(super) async fn held(connection: &mut SqliteConnection) -> Result<Totals, sqlx::Error> {
    let row = sqlx::query(HELD).fetch_one(connection).await?;
    let count = |place: usize| row.try_get::<i64, _>(place).map(i64::unsigned_abs);
    Ok(Totals {
        last: row.try_get(0)?,
        waiting: count(1)?,
        refused: count(2)?,
        expired: count(3)?,
        bytes: count(4)?,
    })
}

/// Removes permanently; returns how many.
pub(super) async fn drop(connection: &mut SqliteConnection, which: Which) -> Result<u64, sqlx::Error> {
    let all: &[&'static str] = match which {
        Which::All => &[DROP_WAITING, DROP_REFUSED, DROP_EXPIRED],
        Which::Waiting => &[DROP_WAITING],
        Which::Refused => &[DROP_REFUSED],
        Which::Expired => &[DROP_EXPIRED],
    };
    let mut dropped = 0;
    for sql in all {
        dropped += sqlx::query(*sql).execute(&mut *connection).await?.rows_affected();
    }
    Ok(dropped)
}

/// Gives back the room that is not needed any more.
pub(super) async fn shrink(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    run(connection, sqlx::query(SHRINK)).await.map(std::mem::drop)
}
