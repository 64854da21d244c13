//! The alternative without Rosey: a pool, an `INSERT`, its own commit.

use std::path::Path;
use std::time::Duration;

use eitherway::sql::Synchronous;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlitePool};

/// A pool, and the lines that its callers insert, by whom.
#[derive(Clone)]
pub(crate) struct Bare {
    pool: SqlitePool,
    lines: &'static [(String, String)],
}

/// The settings of `SqlService`, so that settings do not differ; but a long limit for locks, because no call
/// may fail here.
pub(crate) fn options(file: &Path, synchronous: Synchronous) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(match synchronous {
            Synchronous::Normal => SqliteSynchronous::Normal,
            Synchronous::Full => SqliteSynchronous::Full,
        })
        .busy_timeout(Duration::from_secs(30))
        .pragma("wal_autocheckpoint", "8000")
        .disable_statement_logging()
}

impl Bare {
    pub(crate) async fn open(
        file: &Path,
        synchronous: Synchronous,
        connections: u32,
        lines: Vec<(String, String)>,
    ) -> Self {
        let pool = SqlitePoolOptions::new()
            .max_connections(connections)
            .min_connections(connections)
            .test_before_acquire(false)
            .acquire_timeout(Duration::from_secs(300))
            .connect_with(options(file, synchronous))
            .await
            .unwrap();
        sqlx::query(
            "CREATE TABLE chat (
                id INTEGER PRIMARY KEY, at INTEGER NOT NULL, username TEXT NOT NULL, message TEXT NOT NULL)",
        )
        .execute(&pool)
        .await
        .unwrap();
        Self { pool, lines: Vec::leak(lines) }
    }

    /// One line of this caller.
    pub(crate) async fn insert(self, caller: usize, turn: usize) {
        let (username, message) = &self.lines[(caller * 34 + turn) % self.lines.len()];
        sqlx::query("INSERT INTO chat (at, username, message) VALUES (?, ?, ?)")
            .bind(1_700_000_000_000_i64)
            .bind(username)
            .bind(message)
            .execute(&self.pool)
            .await
            .unwrap();
    }
}
