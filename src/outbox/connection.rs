//! The holder's connection, which outlives its errors, and the lock.

use std::fs::File;

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use super::options::OutboxOptions;
use super::{error, file};
use crate::error::Cause;

pub(super) struct Connection {
    /// None after it was lost.
    open: Option<SqliteConnection>,
    lock: File,
    options: OutboxOptions,
}

impl Connection {
    pub(super) const fn new(open: SqliteConnection, lock: File, options: OutboxOptions) -> Self {
        Self { open: Some(open), lock, options }
    }

    /// Does something with the file. After an error the transaction is still open: it is rolled back; what cannot be
    /// rolled back is dropped, connection and all, and opened again the next time.
    pub(super) async fn with<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Cause> {
        let result = match self.get().await {
            Ok(connection) => work(connection).await,
            Err(e) => Err(e),
        };
        if result.is_err() {
            self.roll_back().await;
        }
        result.map_err(|e| error::cause(self.options.path(), &e))
    }

    async fn get(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        let connection = match self.open.take() {
            Some(connection) => connection,
            None => file::connect(&self.options).await?,
        };
        Ok(self.open.insert(connection))
    }

    async fn roll_back(&mut self) {
        let Some(mut connection) = self.open.take() else { return };
        let usable = match sqlx::query("ROLLBACK").execute(&mut connection).await {
            Ok(_) => true,
            // "no transaction is active": the error came before BEGIN, or ended the transaction itself
            Err(e) => e.as_database_error().is_some_and(|e| e.message().contains("no transaction is active")),
        };
        self.open = usable.then_some(connection);
    }

    /// Closes the file, and only then gives the lock back.
    pub(super) async fn close(self) {
        if let Some(connection) = self.open
            && let Err(e) = connection.close().await
        {
            tracing::warn!("closing the outbox {}: {e}", self.options.path().display());
        }
        drop(self.lock);
    }
}
