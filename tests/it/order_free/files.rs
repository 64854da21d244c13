//! A database file with two writers, in memory where the machine has a folder for that.

use std::path::Path;
use std::time::Duration;

use eitherway::sql::{SqlService, SqliteOptions, Verdict, verify};
use rosey::op::Op;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::base::{APPLIED_BEFORE, Base, LAST_APPLIED};
use super::dump::{self, Dump};

/// One file.
pub(crate) struct Files {
    pub(crate) writers: [SqlService<Op>; 2],
    /// A connection past the service.
    pub(crate) raw: Mutex<SqliteConnection>,
    pub(crate) options: SqliteOptions,
    pub(crate) hedged: bool,
    clear: String,
    _folder: TempDir,
}

impl Files {
    pub(crate) async fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory).ok() } else { None };
        let folder = folder.unwrap_or_else(|| tempfile::tempdir().unwrap());
        let [path, empty] = ["rosey.db", "empty.db"].map(|name| folder.path().join(name));
        open(&options(&empty)).await.close().await;
        let options = options(&path);
        let writers = [open(&options).await, open(&options).await];
        let mut raw = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
        sqlx::query("ATTACH $1 AS empty").bind(empty.to_str()).execute(&mut raw).await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM empty.sqlite_master WHERE type = 'table' AND name NOT LIKE '%sql%' AND name <> 'meta'
             ORDER BY name IN ('outbound_messages', 'user_stats', 'channel_stats', 'current_status')",
        )
        .fetch_all(&mut raw)
        .await
        .unwrap();
        // To the writers it stays the file that they know: one whose ledger has forgotten everything, and that counts its dead
        // letters on.
        let mut clear = "BEGIN IMMEDIATE; DELETE FROM main.sqlite_sequence WHERE name <> 'dead_letters';\
             DELETE FROM main.meta WHERE key LIKE 'swept.%';\
             INSERT INTO main.meta VALUES ('swept.ledger', '9223372036854775807');"
            .to_owned();
        for table in tables {
            clear.push_str(&format!(
                "DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM empty.{table};"
            ));
        }
        clear.push_str("COMMIT");
        Self { writers, raw: Mutex::new(raw), options, hedged: false, clear, _folder: folder }
    }
}

impl Base for Files {
    fn writers(&self) -> &[SqlService<Op>] {
        &self.writers
    }

    fn hedged(&self) -> bool {
        self.hedged
    }

    async fn clear(&self) {
        let mut raw = self.raw.lock().await;
        sqlx::raw_sql(AssertSqlSafe(self.clear.as_str())).execute(&mut *raw).await.unwrap();
    }

    async fn verdict(&self) -> Verdict {
        verify::<Op>(&self.options, |_| {}).await.unwrap()
    }

    async fn dump(&self) -> Dump {
        dump::of(&self.writers[0]).await
    }

    async fn last_applied(&self) -> Result<i64, String> {
        let last = sqlx::query_scalar(LAST_APPLIED).fetch_one(self.writers[0].readers().unwrap());
        last.await.map_err(|e| e.to_string())
    }

    async fn applied_before(&self, until: i64) -> Result<Vec<String>, String> {
        let ids =
            sqlx::query_scalar(APPLIED_BEFORE).bind(until).fetch_all(self.writers[0].readers().unwrap());
        ids.await.map_err(|e| e.to_string())
    }
}

fn options(path: &Path) -> SqliteOptions {
    SqliteOptions::new(path.to_str().unwrap())
        .unwrap()
        .readers(1)
        .retention(None) // removing is part of the cases
        .past_tolerance(Duration::MAX) // their clock begins at 1
        // Waiting for the other writer is no failure here.
        .busy_timeout(Duration::from_secs(30))
}

async fn open(options: &SqliteOptions) -> SqlService<Op> {
    SqlService::open(options).await.unwrap()
}
