//! The file of an outbox of one test.

use std::path::PathBuf;

use rosey::op::Op;
use rosey::outbox::{OutboxOptions, OutboxService};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

pub(crate) struct OutboxFile {
    pub(crate) dir: tempfile::TempDir,
}

impl OutboxFile {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("test.outbox")
    }

    pub(crate) fn options(&self) -> OutboxOptions {
        OutboxOptions::new(self.path())
    }

    pub(crate) async fn open(&self) -> OutboxService<Op> {
        OutboxService::open(&self.options()).await.unwrap()
    }

    /// A connection of somebody who knows nothing of us.
    pub(crate) async fn connect(&self) -> SqliteConnection {
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(self.path())).await.unwrap()
    }

    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let mut connection = self.connect().await;
        let number = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        number
    }

    /// How many events wait in it; none while it cannot be asked, because it is being made, or was taken away.
    pub(crate) async fn waiting(&self) -> Option<i64> {
        let options = SqliteConnectOptions::new().filename(self.path());
        let mut connection = SqliteConnection::connect_with(&options).await.ok()?;
        let number = sqlx::query_scalar("SELECT count(*) FROM waiting").fetch_one(&mut connection).await;
        connection.close().await.ok()?;
        number.ok()
    }

    pub(crate) async fn texts(&self, sql: &'static str) -> Vec<String> {
        let mut connection = self.connect().await;
        let texts = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        texts
    }

    pub(crate) async fn change(&self, sql: &'static str) {
        let mut connection = self.connect().await;
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }
}
