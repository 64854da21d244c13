//! The alternative without Rosey: a pool, an `INSERT`, its own commit.

use std::path::Path;
use std::time::Duration;

use eitherway::sql::Synchronous;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlitePool};
use tokio::runtime::Runtime;

use crate::{Group, Setup, load, ours, rows};

pub(crate) struct Bare<'a> {
    runtime: &'a Runtime,
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

impl<'a> Bare<'a> {
    pub(crate) fn open(place: &Setup<'a>, connections: u32) -> Self {
        let options = options(&ours::file(place.dir, "bare"), place.synchronous);
        let pool = place.runtime.block_on(async {
            let pool = SqlitePoolOptions::new()
                .max_connections(connections)
                .min_connections(connections)
                .test_before_acquire(false)
                .acquire_timeout(Duration::from_secs(300))
                .connect_with(options)
                .await
                .unwrap();
            sqlx::query(
                "CREATE TABLE chat (
                    id INTEGER PRIMARY KEY, at INTEGER NOT NULL, username TEXT NOT NULL, message TEXT NOT NULL)",
            )
            .execute(&pool)
            .await
            .unwrap();
            pool
        });
        Self { runtime: place.runtime, pool, lines: load::said() }
    }

    pub(crate) fn row(&self, group: &mut Group<'_>, name: &str, callers: usize) {
        let (pool, lines) = (self.pool.clone(), self.lines);
        rows::row(group, self.runtime, name, callers, move |caller, turn| {
            let pool = pool.clone();
            let (username, message) = &lines[(caller * 34 + turn) % lines.len()];
            async move {
                sqlx::query("INSERT INTO chat (at, username, message) VALUES (?, ?, ?)")
                    .bind(1_700_000_000_000_i64)
                    .bind(username)
                    .bind(message)
                    .execute(&pool)
                    .await
                    .unwrap();
            }
        });
    }
}
