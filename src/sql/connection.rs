//! The writer's connection, which outlives its errors.

use std::time::Duration;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::time;

use super::{SqliteOptions, error, sqlite};
use crate::sqlite::limit;
use crate::sqlite::statements::rolled_back;

/// How long SQLite may take to close.
const CLOSING: Duration = Duration::from_secs(5);

/// The writer's connection.
pub(super) struct WriterConnection {
    /// None after it was lost.
    pub(super) connection: Option<SqliteConnection>,
    pub(super) options: SqliteOptions,
    /// How many there were before it.
    opened: u64,
}

impl WriterConnection {
    pub(super) const fn new(connection: SqliteConnection, options: SqliteOptions) -> Self {
        Self { connection: Some(connection), options, opened: 0 }
    }

    /// Takes another one in its place.
    pub(super) fn replace(&mut self, connection: SqliteConnection) {
        self.opened += 1;
        self.connection = Some(connection);
    }

    /// The connection; opened again, if it was lost.
    pub(super) async fn get(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        self.numbered().await.map(|(connection, _)| connection)
    }

    /// The same with its number, which no other one has: what is temporary is gone with it.
    pub(super) async fn numbered(&mut self) -> Result<(&mut SqliteConnection, u64), sqlx::Error> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = limit::within(sqlite::reopen(&self.options)).await?;
                self.opened += 1;
                connection
            }
        };
        Ok((self.connection.insert(connection), self.opened))
    }

    /// After an error the transaction is still open. What cannot be rolled back is dropped, connection and all.
    pub(super) async fn after<T>(&mut self, result: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if result.as_ref().is_err_and(error::spoils) {
            // What it has open it closes when it ends, and the transaction with it.
            self.connection = None;
        } else if result.is_err()
            && let Some(connection) = self.connection.take()
        {
            self.connection = rolled_back(connection).await;
        }
        result
    }

    pub(super) async fn close(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match time::timeout(CLOSING, connection.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => tracing::warn!("closing the database: {e}"),
            Err(_) => {
                tracing::error!("the database does not close within {CLOSING:?}; what was committed stays")
            }
        }
    }
}
