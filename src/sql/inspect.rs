//! What is in a database file, at a glance.

use std::fs;
use std::path::Path;

use serde::Serialize;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use super::migrate::is_current;
use super::sqlite::{OpenError, SqliteOptions, looking};
use crate::operation::Persist;
use crate::sqlite::{limit, names};

/// What is in a database file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Contents {
    /// The id of the database.
    pub database: String,
    /// The size of the file.
    pub bytes: u64,
    /// How many operations its ledger knows.
    pub operations: u64,
    /// When the last of them was applied, in unix milliseconds.
    pub newest: Option<i64>,
    /// How many dead letters it holds.
    pub dead_letters: u64,
}

/// Looks into a database file, and changes nothing; beside other programs, too. What it holds is not verified.
///
/// # Errors
/// When there is no such file, it is not of this program's schema, or cannot be read.
pub async fn inspect<O: Persist>(options: &SqliteOptions) -> Result<Contents, OpenError> {
    let path = options.path();
    let failed = |error| OpenError::of(path, error);
    if !path.is_file() {
        return Err(OpenError::Address(path.display().to_string(), "there is no such database".to_owned()));
    }
    names::check(path).map_err(|error| OpenError::File { path: path.to_owned(), error })?;
    let mut connection = looking(options).await.map_err(failed)?;
    is_current(path, O::MIGRATIONS, &mut connection).await?;
    let contents = contents(path, &mut connection).await?;
    connection.close().await.map_err(failed)?;
    Ok(contents)
}

/// The same of a file of this framework, whichever of its schemas it has.
pub(super) async fn contents(path: &Path, connection: &mut SqliteConnection) -> Result<Contents, OpenError> {
    let read = async {
        let id = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'database_id'");
        let ledger = sqlx::query_as::<_, (i64, Option<i64>)>("SELECT count(*), max(applied_at) FROM ledger");
        let letters = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM dead_letters");
        let database = id.fetch_one(&mut *connection).await?;
        let (operations, newest) = ledger.fetch_one(&mut *connection).await?;
        let letters = letters.fetch_one(&mut *connection).await?;
        Ok(Contents {
            database,
            bytes: fs::metadata(path).map_or(0, |file| file.len()),
            operations: operations.unsigned_abs(),
            newest,
            dead_letters: letters.unsigned_abs(),
        })
    };
    limit::within(read).await.map_err(|error| OpenError::of(path, error))
}
