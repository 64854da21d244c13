//! The alternative without Rosey: a pool, an `INSERT`, its own commit.

use std::path::Path;
use std::time::Duration;

use eitherway::sql::Synchronous;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlitePool};
use tokio::runtime::Runtime;

use crate::load;
use crate::measure::{Round, Side, callers};

pub(crate) struct Bare<'a> {
    name: &'static str,
    runtime: &'a Runtime,
    pool: SqlitePool,
    rows: &'static [(String, String)],
}

/// The settings of `SqlxService`, so that settings do not differ; but a long limit for locks, because no call
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
    pub(crate) fn open(
        runtime: &'a Runtime,
        dir: &Path,
        name: &'static str,
        connections: u32,
        synchronous: Synchronous,
    ) -> Self {
        let file = crate::ours::file(dir, "bare");
        let options = options(&file, synchronous);
        let pool = runtime.block_on(async {
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
        let rows = Vec::leak((0..1000).map(|i| (load::name(i * 7 % 200), load::line(i))).collect());
        Self { name, runtime, pool, rows }
    }
}

impl Side for Bare<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, count: usize, time: Duration) -> Round {
        let (pool, rows) = (self.pool.clone(), self.rows);
        callers(self.runtime, count, time, move |caller, turn| {
            let pool = pool.clone();
            let (username, message) = &rows[(caller * 34 + turn) % rows.len()];
            async move {
                sqlx::query("INSERT INTO chat (at, username, message) VALUES (?, ?, ?)")
                    .bind(1_700_000_000_000_i64)
                    .bind(username)
                    .bind(message)
                    .execute(&pool)
                    .await
                    .unwrap();
            }
        })
    }
}
