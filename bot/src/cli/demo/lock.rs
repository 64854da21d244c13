//! Another process, which holds the lock of the database.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};

use super::super::exit::{Exit, Failure};

/// How long to try: a writer leaves the lock free between its transactions.
const PATIENCE: Duration = Duration::from_secs(10);

/// The write lock of a SQLite file, held until it is released or dropped.
pub(super) struct Lock(SqliteConnection);

fn failed(e: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("the lock of the database: {e}"))
}

impl Lock {
    /// Takes it, as any other program would.
    pub(super) async fn take(url: &str) -> Result<Self, Failure> {
        let options = url.parse::<SqliteConnectOptions>().map_err(failed)?.busy_timeout(PATIENCE);
        let mut connection = options.disable_statement_logging().connect().await.map_err(failed)?;
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.map_err(failed)?;
        Ok(Self(connection))
    }

    /// Gives it back.
    pub(super) async fn release(mut self) -> Result<(), Failure> {
        sqlx::query("ROLLBACK").execute(&mut self.0).await.map_err(failed)?;
        self.0.close().await.map_err(failed)
    }
}
