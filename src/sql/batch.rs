//! One transaction as one string of statements with shared binds: one hop to SQLite's thread, however many
//! operations it applies.

mod known;
mod once;
mod plain;
mod rows;
pub(crate) mod shown;
pub(super) mod strings;
#[cfg(test)]
mod tests;
mod transaction;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::{DeadLetter, sweep};
use crate::headers::UNREAD;
use crate::operation::RetentionRule;
use crate::sqlite::limit;
use crate::sqlite::statements::run;
use crate::store::queue::Write;
use crate::store::record::Removal;
use crate::store::writer::Outcome;
use known::{answered, known};
use rows::Rows;
use strings::NOTHING_NEW;
pub(super) use transaction::{Applied, BatchSql};
use transaction::{Done, Failed, Shared};

/// How often a batch is begun again: each time something in it was found to be in the ledger, or was refused.
const TRIES: usize = 64;

const DEAD_LETTER_INSERT: &str = "
    INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
    SELECT r.value ->> 0, r.value ->> 1, r.value ->> 2, r.value ->> 3, r.value ->> 4, unhex(r.value ->> 5)
    FROM json_each($1) r
    WHERE NOT r.value ->> 6 OR NOT EXISTS (
        SELECT 1 FROM dead_letters d
        WHERE d.id > (SELECT max(id) FROM dead_letters) - 5000 AND d.at = r.value ->> 0 AND d.subject = r.value ->> 3 AND d.headers = r.value ->> 4
            AND d.payload = unhex(r.value ->> 5))";

/// How many were removed, and until when: what is older need not be there any more.
const REMOVED: &str = "
    INSERT INTO meta (key, value) SELECT 'swept.' || $4, $2 WHERE changes() > 0 AND $4 <> ''
    ON CONFLICT (key) DO UPDATE SET value = max(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER));
    COMMIT";

/// Where the numbers of batches begin: two processes may write to one file, and must not use the same ones.
pub(super) fn first_number() -> i64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    i64::from_be_bytes(high.to_be_bytes())
}

/// Whether some kind of operation in the batch has brought nothing new: its statements must not run. No statement but the
/// framework's own writes to the ledger.
fn is_nothing_new(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|e| {
        e.message().contains(NOTHING_NEW) || e.message() == "UNIQUE constraint failed: ledger.id"
    })
}

/// Applies `writes` in one transaction, on the writer's connection with this number.
///
/// # Errors
/// SQLite's. The transaction may still be open then.
pub(super) async fn apply(
    (connection, opened): (&mut SqliteConnection, u64),
    frames: &mut BatchSql,
    number: i64,
    writes: &[Write],
) -> Result<Applied, sqlx::Error> {
    // One limit for the batch: what a list leaves out is claimed by the next request.
    let answer_bytes = writes.iter().map(|write| write.answer_bytes).min().unwrap_or_default();
    let answer_bytes = i64::try_from(answer_bytes).unwrap_or(i64::MAX);
    let shared = Shared { number, now: frames.keeper.now(), answer_bytes };
    let mut outcomes: Vec<Option<Outcome>> = vec![None; writes.len()];
    let mut applied = Applied { at: shared.now, ..Applied::default() };
    for _ in 0..TRIES {
        let left: Vec<usize> = (0..writes.len()).filter(|place| outcomes[*place].is_none()).collect();
        if left.is_empty() {
            return Ok(applied.of(frames, writes, outcomes));
        }
        match transaction((connection, opened), frames, shared, writes, &left).await {
            Ok(done) => {
                applied.new = done.new;
                applied.spoilt |= done.spoilt;
                let all_new = done.new + done.absent == left.len() as u64;
                answered(writes, &left, done, &mut outcomes)?;
                if !all_new {
                    known(connection, frames, shared, writes, &left, &mut outcomes, &mut applied).await?;
                }
                return Ok(applied.of(frames, writes, outcomes));
            }
            Err(Failed::Without(place, cause)) => {
                undo(connection).await?;
                outcomes[place] = Some(Outcome::Refused(cause));
            }
            Err(Failed::Sqlite(e)) if is_nothing_new(&e) => {
                undo(connection).await?;
                known(connection, frames, shared, writes, &left, &mut outcomes, &mut applied).await?;
            }
            Err(Failed::Sqlite(e)) => return Err(e),
        }
    }
    Err(sqlx::Error::Protocol("what the ledger knows of a batch changes all the time; try again".to_owned()))
}

impl Applied {
    /// With these outcomes; those that are not there have nothing to say.
    fn of(mut self, frames: &BatchSql, writes: &[Write], outcomes: Vec<Option<Outcome>>) -> Self {
        let silence = |write: &Write| Outcome::Answer(frames.silence(write.index).to_owned());
        let outcomes = outcomes.into_iter().zip(writes);
        self.outcomes = outcomes.map(|(outcome, write)| outcome.unwrap_or_else(|| silence(write))).collect();
        self
    }
}

/// Tries to apply those of `writes` that are `left`.
async fn transaction(
    (connection, opened): (&mut SqliteConnection, u64),
    frames: &mut BatchSql,
    shared: Shared,
    writes: &[Write],
    left: &[usize],
) -> Result<Done, Failed> {
    if let [place] = left
        && let Some(statement) = frames.once.statement(writes[*place].index, connection, opened).await?
    {
        let mut done = Done::default();
        done.once(connection, shared, &statement, &writes[*place]).await?;
        return Ok(done);
    }
    let plain = |place: &&usize| frames.applies[writes[**place].index].is_some();
    let one_by_one: Vec<usize> = left.iter().filter(plain).copied().collect();
    let rows =
        Rows::of_writes(frames.specs.len(), left.iter().filter(|place| !plain(place)).map(|n| &writes[*n]));
    let mut done = Done::default();
    if one_by_one.is_empty() {
        let strings = match (left, rows.kinds()) {
            ([_], [kind]) => vec![frames.strings.single(*kind)],
            (_, kinds) => frames.strings.transaction(kinds),
        };
        for joined in strings {
            done.run(connection, shared, &joined, &rows).await?;
        }
        if frames.strings.only_claims(rows.kinds()) {
            // Nothing is written to the disk for a poll that finds nothing.
            match done.found {
                0 => undo(connection).await?,
                _ => done.run(connection, shared, &frames.strings.commit(), &rows).await?,
            }
        }
        return Ok(done);
    }
    for joined in frames.strings.apart(rows.kinds()) {
        done.run(connection, shared, &joined, &rows).await?;
    }
    plain::apply(connection, frames.applies, shared, (frames.specs, writes), &one_by_one, &mut done).await?;
    done.run(connection, shared, &frames.strings.commit(), &rows).await?;
    Ok(done)
}

/// Takes a transaction back that must be begun again. If there is none any more, that is as good.
async fn undo(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    match limit::within(sqlx::query("ROLLBACK").execute(connection)).await {
        Err(e) if limit::is_lost(&e) => Err(e),
        _ => Ok(()),
    }
}

/// Keeps dead letters; returns the number of the last one, 0 if all were kept before.
pub(super) async fn keep_dead_letter(
    connection: &mut SqliteConnection,
    letters: &[DeadLetter],
) -> Result<i64, sqlx::Error> {
    let rows: Vec<_> = letters.iter().map(letter).collect();
    let json = serde_json::Value::from(rows).to_string();
    let done = sqlx::query(DEAD_LETTER_INSERT).bind(json).execute(connection).await?;
    // Where all were there already, SQLite still tells the row of an earlier insert, into whichever table.
    Ok(if done.rows_affected() > 0 { done.last_insert_rowid() } else { 0 })
}

/// The transaction of a sweep.
fn removing(sweep: &RetentionRule) -> String {
    let statements: String = sweep.remove.iter().map(|sql| sweep::over_gone(sql) + ";\n").collect();
    format!("BEGIN IMMEDIATE; {statements} SELECT changes(); {REMOVED}")
}

/// Removes what is old, in one transaction; returns how many rows, or what else the sweep counts.
pub(super) async fn remove(connection: &mut SqliteConnection, removal: &Removal) -> Result<u64, sqlx::Error> {
    let sweep = removal.sweep;
    let query = sqlx::query(AssertSqlSafe(removing(sweep)))
        .bind(&removal.keys)
        .bind(removal.horizon)
        .bind(removal.now)
        .bind(sweep.name);
    let (rows, _) = run(connection, query).await?;
    rows.last().map_or(Ok(0), |row| row.try_get::<i64, _>(0).map(i64::unsigned_abs))
}

fn letter(letter: &DeadLetter) -> serde_json::Value {
    let mut hex = String::with_capacity(letter.payload.len() * 2);
    for byte in &letter.payload {
        for nibble in [byte >> 4, byte & 15] {
            hex.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    let headers = letter.headers_json();
    serde_json::json!([
        letter.at,
        letter.cause.code().name,
        letter.cause.to_string(),
        letter.subject,
        headers,
        hex,
        // Found in the stream, by several instances perhaps: kept once.
        letter.headers.iter().any(|(name, _)| UNREAD.is(name))
    ])
}
