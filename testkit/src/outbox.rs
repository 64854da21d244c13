//! The file of an outbox of one test.

use std::marker::PhantomData;
use std::path::PathBuf;

use eitherway::Operation;
use eitherway::outbox::{OutboxOptions, OutboxService};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use crate::rows;

/// A file in a directory of its own, which is removed with it. Nothing is created before it is opened.
#[derive(Debug)]
pub struct OutboxFile<O> {
    /// The directory.
    pub dir: tempfile::TempDir,
    operations: PhantomData<fn() -> O>,
}

impl<O: Operation> Default for OutboxFile<O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<O: Operation> OutboxFile<O> {
    /// A directory without a file yet.
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), operations: PhantomData }
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("test.outbox")
    }

    /// How a process opens it.
    pub fn options(&self) -> OutboxOptions {
        OutboxOptions::new(self.path())
    }

    /// Opens it, and takes its lock.
    pub async fn open(&self) -> OutboxService<O> {
        OutboxService::open(&self.options()).await.unwrap()
    }

    /// A connection of another program.
    pub async fn connect(&self) -> SqliteConnection {
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(self.path())).await.unwrap()
    }

    /// The number that a query answers.
    pub async fn number(&self, sql: &'static str) -> i64 {
        rows::number(self.connect().await, sql).await
    }

    /// How many events wait in it; none while it cannot be asked, because it is being made, or was taken away.
    pub async fn waiting(&self) -> Option<i64> {
        self.count("").await
    }

    /// Whether an event with this text waits in it; as above.
    pub async fn holds(&self, text: &str) -> Option<bool> {
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

    /// The texts that a query answers.
    pub async fn texts(&self, sql: &'static str) -> Vec<String> {
        rows::texts(self.connect().await, sql).await
    }

    /// Runs statements.
    pub async fn change(&self, sql: &'static str) {
        rows::execute(self.connect().await, sql).await;
    }
}
