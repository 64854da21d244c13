//! Reads the tables themselves, past the store, on either database.

use sqlx::postgres::{PgConnectOptions, PgPool, PgRow};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{FromRow, Sqlite};

use super::super::exit::{Exit, Failure};

/// The tables of the demo's database.
pub(super) enum Rows {
    File(SqlitePool),
    Server(PgPool),
}

fn failed(e: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("the demo's database: {e}"))
}

impl Rows {
    /// Those at this address.
    pub(super) async fn open(url: &str) -> Result<Self, Failure> {
        if !url.starts_with("postgres:") {
            return SqlitePool::connect(url).await.map(Self::File).map_err(failed);
        }
        let options = url.parse::<PgConnectOptions>().map_err(failed)?.options([("search_path", "rosey")]);
        PgPool::connect_with(options).await.map(Self::Server).map_err(failed)
    }

    /// What a query finds that means the same on both.
    pub(super) async fn all<T>(&self, sql: &'static str) -> Result<Vec<T>, Failure>
    where
        T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin,
    {
        let found = match self {
            Self::File(pool) => sqlx::query_as::<Sqlite, T>(sql).fetch_all(pool).await,
            Self::Server(pool) => sqlx::query_as::<_, T>(sql).fetch_all(pool).await,
        };
        found.map_err(|e| failed(format!("{sql}: {e}")))
    }

    /// The number that a query finds; 0 where that is nothing.
    pub(super) async fn number(&self, sql: &'static str) -> Result<i64, Failure> {
        let found = self.all::<(Option<i64>,)>(sql).await?;
        Ok(found.first().and_then(|(number,)| *number).unwrap_or_default())
    }

    pub(super) async fn close(self) {
        match self {
            Self::File(pool) => pool.close().await,
            Self::Server(pool) => pool.close().await,
        }
    }
}
