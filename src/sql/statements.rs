//! Strings of several statements.

use futures_util::TryStreamExt;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Either, Executor};

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
