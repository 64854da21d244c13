//! Operations that are applied by a function, one by one, each under a savepoint.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures_util::FutureExt;
use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;
use tokio::time;

use super::transaction::{Done, Failed, REFUSED, Shared, hop};
use crate::error::{Cause, Code};
use crate::operation::{ApplyError, ApplyFn, Refusal, Spec, Tx};
use crate::request::Head;
use crate::sql::error;
use crate::sqlite::limit;
use crate::store::queue::Write;
use crate::store::text;
use crate::store::uses::OURS;
use crate::store::writer::Outcome;

/// How long one call may take: the database is locked meanwhile.
const LONGEST: Duration = Duration::from_secs(5);

/// What keeps the framework's tables from the functions: these triggers refuse as long as there is a row in this table.
const APPLYING: &str = "eitherway_applying";

static GUARD: LazyLock<String> = LazyLock::new(|| {
    let mut sql = format!("CREATE TEMP TABLE IF NOT EXISTS {APPLYING} (id TEXT);\n");
    for (table, change) in
        OURS.iter().flat_map(|table| ["INSERT", "UPDATE", "DELETE"].map(|change| (table, change)))
    {
        sql += &format!(
            "CREATE TEMP TRIGGER IF NOT EXISTS {table}_{change} BEFORE {change} ON main.{table}
             WHEN EXISTS (SELECT 1 FROM {APPLYING})
             BEGIN SELECT raise(ABORT, 'the table {table} is the framework''s, and no operation writes to it'); END;\n"
        );
    }
    sql
});

/// What a function may run; the rest would end its transaction, or change what later ones work on.
fn forbids(sql: &str) -> Result<(), String> {
    text::is_of_rows(sql)?;
    if text::names(sql, APPLYING) {
        Err(format!("names {APPLYING}, which is the framework's"))
    } else {
        Ok(())
    }
}

const LEDGER_INSERT: &str = "
    SAVEPOINT operation;
    INSERT INTO ledger (id, operation, hash, occurred_at, applied_at, batch)
    VALUES ($4, $5, $6, $7, $2, $1) ON CONFLICT (id) DO NOTHING;
    INSERT INTO eitherway_applying (id) VALUES ($4)";

const KNOWN: &str = "ROLLBACK TO operation; RELEASE operation";

/// The row is still there, and of this transaction.
const END: &str = "
    DELETE FROM eitherway_applying;
    UPDATE ledger SET answer = json($5) WHERE id = $4 AND batch = $1;
    RELEASE operation";

const REFUSE: &str = "
    ROLLBACK TO operation;
    INSERT INTO ledger (id, operation, hash, occurred_at, applied_at, batch, answer)
    VALUES ($4, $5, $6, $7, $2, $1, $8);
    RELEASE operation";

/// Applies these writes in the transaction that is open.
///
/// # Errors
/// SQLite's; or which of them has ended the transaction, which must be begun again without it.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    applies: &'static [Option<ApplyFn>],
    shared: Shared,
    (specs, writes): (&'static [Spec], &[Write]),
    places: &[usize],
    done: &mut Done,
) -> Result<(), Failed> {
    limit::within(sqlx::raw_sql(AssertSqlSafe(GUARD.as_str())).execute(&mut *connection)).await?;
    // A commit becomes a rollback, and an error.
    limit::within(connection.lock_handle()).await?.set_commit_hook(|| false);
    let mut result = Ok(());
    for place in places {
        let write = &writes[*place];
        let Some(function) = applies[write.index] else { continue };
        let spec = &specs[write.index];
        result = one(connection, function, shared, (spec, write), (*place, done)).await;
        if result.is_err() {
            break;
        }
    }
    limit::within(connection.lock_handle()).await?.remove_commit_hook();
    result
}

async fn one(
    connection: &mut SqliteConnection,
    function: ApplyFn,
    shared: Shared,
    (spec, write): (&Spec, &Write),
    (place, done): (usize, &mut Done),
) -> Result<(), Failed> {
    let row = |sql: &'static str| {
        let query = shared.query(&Arc::from(sql)).bind(write.id.to_string()).bind(spec.name);
        query.bind(write.hash).bind(write.occurred_at)
    };
    let (_, changes) = hop(connection, row(LEDGER_INSERT)).await?;
    if changes.get(1) != Some(&1) {
        hop(connection, sqlx::query(KNOWN)).await?;
        return Ok(());
    }
    let Write { id, occurred_at, trace, deadline, .. } = write;
    let head = Head { id: id.clone(), occurred_at: *occurred_at, trace: trace.clone(), deadline: *deadline };
    let mut tx = Tx::new(connection, forbids);
    let call = AssertUnwindSafe(function(&write.payload, &mut tx, &head)).catch_unwind();
    let called = time::timeout(LONGEST, call).await;
    let forbidden = tx.forbidden();
    let name = spec.name;
    let without = || {
        let why = "it has ended the transaction that it is applied in, or released its savepoint; that is the framework's";
        Failed::Without(place, Cause::new(Code::REFUSED, format!("{name}: {why}")))
    };
    let ended = |e| if error::is_of_the_environment(&e) { Failed::Sqlite(e) } else { without() };
    let failed = |why: String| Outcome::Refused(Cause::new(Code::REFUSED, format!("{name}: {why}")));
    if let Some(why) = forbidden.filter(|_| matches!(called, Ok(Ok(_)))) {
        hop(connection, sqlx::query(KNOWN)).await.map_err(ended)?;
        done.failed += 1;
        done.plain.push((place, failed(why)));
        return Ok(());
    }
    let outcome = match called {
        Ok(Ok(Ok(answer))) => {
            let answer = String::from_utf8(answer).unwrap_or_default();
            let query = shared.query(&Arc::from(END)).bind(write.id.to_string()).bind(&answer);
            let (_, changes) = hop(connection, query).await.map_err(ended)?;
            if changes.get(1) != Some(&1) {
                return Err(without());
            }
            done.new += 1;
            Outcome::Answer(answer)
        }
        Ok(Ok(Err(ApplyError::Refused(refusal)))) => {
            let kept = format!("{REFUSED}{}", serde_json::json!(refusal));
            hop(connection, row(REFUSE).bind(kept)).await.map_err(ended)?;
            done.new += 1;
            Outcome::Refused(Cause::Refused(Box::new(refusal)))
        }
        Ok(Ok(Err(ApplyError::Sqlite(e)))) if is_of_the_environment(&e) => return Err(e.into()),
        undone => {
            hop(connection, sqlx::query(KNOWN)).await.map_err(ended)?;
            done.failed += 1;
            done.spoilt |= !matches!(&undone, Ok(Ok(Err(ApplyError::Sqlite(e)))) if !error::spoils(e));
            match undone {
                Ok(Ok(Err(ApplyError::Sqlite(e)))) => failed(e.to_string()),
                Ok(Err(_)) => failed("it has panicked".to_owned()),
                _ => failed(format!("it has not ended within {LONGEST:?}, in which the database is locked")),
            }
        }
    };
    done.plain.push((place, outcome));
    Ok(())
}

/// Whether all of the batch fails with this, and not only the call that returns it.
fn is_of_the_environment(error: &sqlx::Error) -> bool {
    let of_sqlite =
        matches!(error, sqlx::Error::Database(_) | sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed);
    of_sqlite && error::is_of_the_environment(error)
}

/// A refusal as the ledger has kept it.
pub(super) fn kept(json: &str) -> Cause {
    match serde_json::from_str::<Refusal>(json) {
        Ok(refusal) => Cause::Refused(Box::new(refusal)),
        Err(e) => {
            Cause::new(Code::REFUSED, format!("the operation has refused it, and why cannot be read: {e}"))
        }
    }
}
