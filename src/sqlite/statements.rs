//! Strings of several statements, and the transaction that an error leaves open.

use std::time::Duration;

use futures_util::TryStreamExt;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Either, Executor};
use tokio::time;

/// How long SQLite may take to undo a transaction.
const UNDO: Duration = Duration::from_secs(5);

/// Runs a string of statements to its end (a stream that is dropped early leaves the transaction open); returns all
/// rows, and of each statement how many rows it changed.
pub(crate) async fn run(
    connection: &mut SqliteConnection,
    query: Query<'_, Sqlite, SqliteArguments>,
) -> Result<(Vec<SqliteRow>, Vec<u64>), sqlx::Error> {
    let (mut rows, mut changes) = (Vec::new(), Vec::new());
    let mut steps = connection.fetch_many(query);
    while let Some(step) = steps.try_next().await? {
        match step {
            Either::Left(done) => changes.push(done.rows_affected()),
            Either::Right(row) => rows.push(row),
        }
    }
    Ok((rows, changes))
}

/// Takes the transaction back that an error has left open. Answers the connection, unless it must not be used again.
pub(crate) async fn rolled_back(mut connection: SqliteConnection) -> Option<SqliteConnection> {
    let usable = match time::timeout(UNDO, sqlx::query("ROLLBACK").execute(&mut connection)).await {
        Err(_) => false,
        Ok(Ok(_)) => true,
        // "no transaction is active": the error came before BEGIN, or ended the transaction itself
        Ok(Err(e)) => e.as_database_error().is_some_and(|e| e.message().contains("no transaction is active")),
    };
    usable.then_some(connection)
}
