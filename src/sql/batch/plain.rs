//! Operations that are applied by a function, one by one, each under a savepoint.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use futures_util::future::{self, BoxFuture};
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteQueryResult};
use sqlx::{AssertSqlSafe, Sqlite};

use super::transaction::{Done, Failed, Shared, hop};
use crate::error::Cause;
use crate::operation::{ApplyFn, Guard, Spec, Tx};
use crate::sql::error;
use crate::sqlite::limit;
use crate::store::call::{Called, LONGEST, TOGETHER, ended, keep};
use crate::store::queue::Write;
use crate::store::text;
use crate::store::uses::OURS;
use crate::store::writer::Outcome;

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
struct RowsOnly;

impl Guard<Sqlite> for RowsOnly {
    fn allows<'a>(
        &'a mut self,
        _: &'a mut SqliteConnection,
        sql: &'a str,
        _: &'a SqliteArguments,
    ) -> BoxFuture<'a, Result<Result<(), String>, sqlx::Error>> {
        let allowed = text::is_of_rows(sql).and_then(|()| match text::names(sql, APPLYING) {
            true => Err(format!("names {APPLYING}, which is the framework's")),
            false => Ok(()),
        });
        Box::pin(future::ok(allowed))
    }

    fn is_of_the_environment(&self, error: &sqlx::Error) -> bool {
        let of_sqlite =
            matches!(error, sqlx::Error::Database(_) | sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed);
        of_sqlite && error::is_of_the_environment(error)
    }

    fn ends_with_an_error(&self) -> bool {
        false
    }

    fn changed(&self, done: &SqliteQueryResult) -> u64 {
        done.rows_affected()
    }
}

const LEDGER_INSERT: &str = "
    SAVEPOINT operation;
    INSERT INTO ledger (id, operation, hash, occurred_at, applied_at, batch)
    VALUES ($4, $5, $6, $7, $2, $1) ON CONFLICT (id) DO NOTHING;
    INSERT INTO eitherway_applying (id) VALUES ($4)";

const UNDO: &str = "ROLLBACK TO operation; RELEASE operation";

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

/// Applies these writes in the transaction that is open, for as long as one may take.
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
    let (mut result, begun) = (Ok(()), Instant::now());
    for (nth, place) in places.iter().enumerate() {
        let write = &writes[*place];
        let Some(function) = applies[write.index] else { continue };
        if nth > 0 && begun.elapsed() >= TOGETHER {
            done.absent += 1;
            done.plain.push((*place, Outcome::Later));
            continue;
        }
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
        hop(connection, sqlx::query(UNDO)).await?;
        return Ok(());
    }
    let mut guard = RowsOnly;
    let mut tx = Tx::of_sqlite(connection, &mut guard);
    let called = Called::of(function, write, &mut tx, LONGEST).await;
    let mut seen = tx.seen();
    if let Some(error) = seen.environment.take() {
        return Err(error.into());
    }
    let without = || Failed::Without(place, ended(spec));
    let lost = |e| if error::is_of_the_environment(&e) { Failed::Sqlite(e) } else { without() };
    let outcome = match called.after(seen) {
        Called::Answer(answer) => {
            let query = shared.query(&Arc::from(END)).bind(write.id.to_string()).bind(&answer);
            let (_, changes) = hop(connection, query).await.map_err(lost)?;
            if changes.get(1) != Some(&1) {
                return Err(without());
            }
            done.new += 1;
            Outcome::Answer(answer)
        }
        Called::Refused(refusal) => {
            hop(connection, row(REFUSE).bind(keep(&refusal))).await.map_err(lost)?;
            done.new += 1;
            Outcome::Refused(Cause::Refused(Box::new(refusal)))
        }
        undone => {
            hop(connection, sqlx::query(UNDO)).await.map_err(lost)?;
            done.absent += 1;
            done.spoilt |= match &undone {
                Called::Failed(e) => error::spoils(e),
                Called::Undone(_) => false,
                _ => true,
            };
            undone.failed(spec)
        }
    };
    done.plain.push((place, outcome));
    Ok(())
}
