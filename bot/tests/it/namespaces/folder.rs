//! A service over a folder of databases.

use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::support::program::write;
use crate::support::*;

/// What the log says of a namespace that is closed.
pub(super) const CLOSED: &str = "no client needs it";

/// A service process over a folder of databases.
pub(super) struct Folder {
    pub(super) dir: tempfile::TempDir,
    pub(super) process: ServeProcess,
}

impl Folder {
    /// With an empty file for each of these.
    pub(super) async fn serve(server: &impl Url, names: &[&str], options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        names.iter().for_each(|name| write(&dir.path().join(format!("{name}.db")), ""));
        let (url, path) = (server.url(), dir.path().display().to_string());
        let arguments = ["serve", "--nats-url", &url, "--namespaces-dir", &path];
        let mut process = ServeProcess::begin(&[&arguments[..], options].concat());
        process.serves().await;
        Self { dir, process }
    }

    pub(super) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(format!("{name}.db"))
    }

    /// The number that a query answers; -1 while its table is not there yet.
    pub(super) async fn number(&self, name: &str, sql: &'static str) -> i64 {
        let file = SqliteConnectOptions::new().filename(self.path(name)).read_only(true);
        sqlx::query_scalar(sql).fetch_one(&mut file.connect().await.unwrap()).await.unwrap_or(-1)
    }

    pub(super) async fn applied(&self, name: &str) -> i64 {
        self.number(name, "SELECT count(*) FROM ledger").await
    }

    /// Whether no other process has the file open: only then it can be had alone.
    pub(super) async fn is_free(&self, name: &str) -> bool {
        let alone = SqliteConnectOptions::new()
            .filename(self.path(name))
            .locking_mode(sqlx::sqlite::SqliteLockingMode::Exclusive)
            .busy_timeout(Duration::ZERO);
        let Ok(mut file) = alone.connect().await else { return false };
        let wrote = sqlx::raw_sql("BEGIN EXCLUSIVE; PRAGMA user_version; ROLLBACK").execute(&mut file).await;
        file.close().await.unwrap();
        wrote.is_ok()
    }

    /// How often this was said of a namespace.
    pub(super) fn said(&self, name: &str, what: &str) -> usize {
        let of = format!("namespace={name}");
        let log = self.process.log();
        log.lines().filter(|line| line.ends_with(&of) && line.contains(what)).count()
    }
}
