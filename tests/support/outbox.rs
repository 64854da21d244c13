//! The file of an outbox of one test.

use std::path::PathBuf;

use eitherway::outbox::{OutboxOptions, OutboxService};
use rosey::op::Op;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use super::rows;

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
        rows::number(self.connect().await, sql).await
    }

    /// How many events wait in it; none while it cannot be asked, because it is being made, or was taken away.
    pub(crate) async fn waiting(&self) -> Option<i64> {
        self.count("").await
    }

    /// Whether an event with this text waits in it; as above.
    pub(crate) async fn holds(&self, text: &str) -> Option<bool> {
        self.count(text).await.map(|number| number > 0)
    }

    async fn count(&self, text: &str) -> Option<i64> {
        const SQL: &str = "SELECT count(*) FROM waiting WHERE instr(payload, $1)";
        let options = SqliteConnectOptions::new().filename(self.path());
        let mut connection = SqliteConnection::connect_with(&options).await.ok()?;
        let number = sqlx::query_scalar(SQL).bind(text).fetch_one(&mut connection).await;
        connection.close().await.ok()?;
        number.ok()
    }

    pub(crate) async fn texts(&self, sql: &'static str) -> Vec<String> {
        rows::texts(self.connect().await, sql).await
    }

    pub(crate) async fn change(&self, sql: &'static str) {
        rows::execute(self.connect().await, sql).await;
    }
}
