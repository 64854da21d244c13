//! A SQLite file of one test, and a way to count in it that is not the code under test.

use std::path::{Path, PathBuf};
use std::time::Duration;

use eitherway::sql::{SqliteOptions, SqlxService, Verdict, verify};
use rosey::op::Op;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use super::rows;

pub(crate) struct DbFile {
    dir: tempfile::TempDir,
}

impl DbFile {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("rosey.db")
    }

    /// The directory that holds it and nothing else.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn url(&self) -> String {
        format!("sqlite://{}", self.path().display())
    }

    /// How a process opens it.
    pub(crate) fn options(&self) -> SqliteOptions {
        // A test machine may be so slow that a neighbour holds the lock for longer than the usual 400 ms.
        SqliteOptions::new(&self.url()).unwrap().busy_timeout(Duration::from_secs(4))
    }

    /// Opens it as one more process would.
    pub(crate) async fn open(&self) -> SqlxService<Op> {
        SqlxService::open(&self.options()).await.unwrap()
    }

    /// What `verify` says of it.
    pub(crate) async fn verdict(&self) -> Verdict {
        verify::<Op>(&self.options(), |_| {}).await.unwrap()
    }

    /// Fails with everything that is not as it must be.
    pub(crate) async fn assert_clean(&self) {
        let verdict = self.verdict().await;
        assert!(verdict.is_clean(), "`verify` disagrees: {:#?}", verdict.findings);
    }

    /// Moves the file and what belongs to it away, the file first: without it, nothing beside it is opened.
    pub(crate) fn move_away(&self) {
        self.move_to("", "moved-");
    }

    /// Moves all of it back, the file last.
    pub(crate) fn move_back(&self) {
        self.move_to("moved-", "");
    }

    fn move_to(&self, from: &str, to: &str) {
        let mut names = vec!["rosey.db", "rosey.db-wal", "rosey.db-shm"];
        if to.is_empty() {
            names.reverse();
        }
        for name in names {
            let path = |prefix: &str| self.dir.path().join(format!("{prefix}{name}"));
            if path(from).exists() {
                std::fs::rename(path(from), path(to)).unwrap();
            }
        }
    }

    /// Statements of somebody else's program.
    pub(crate) async fn execute(&self, sql: &'static str) {
        rows::execute(self.connect().await, sql).await;
    }

    /// The number that a query answers.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        rows::number(self.connect().await, sql).await
    }

    /// The texts that a query answers.
    pub(crate) async fn texts(&self, sql: &'static str) -> Vec<String> {
        rows::texts(self.connect().await, sql).await
    }

    /// A connection that may write: somebody else's program.
    pub(crate) async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path());
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    /// Takes the lock of the file, as somebody else's program: nobody writes until it is dropped.
    pub(crate) async fn hold(&self) -> Held {
        let mut connection = self.connect().await;
        sqlx::query("PRAGMA busy_timeout = 4000").execute(&mut connection).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
        Held(connection)
    }

    /// The same, if it is to be had within so many milliseconds.
    pub(crate) async fn try_hold(&self, patience: u64) -> Option<Held> {
        let options = SqliteConnectOptions::new().filename(self.path());
        let options = options.busy_timeout(Duration::from_millis(patience));
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        match sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await {
            Ok(_) => Some(Held(connection)),
            Err(e) => {
                assert!(e.to_string().contains("locked"), "{e}");
                None
            }
        }
    }

    /// Works out again everything that the database derives: all of it is as it must be.
    pub(crate) async fn assert_verified(&self) {
        let options = SqliteOptions::new(&self.url()).unwrap();
        let verdict = verify::<Op>(&options, |_| {}).await.unwrap();
        assert!(verdict.is_clean(), "{verdict:?}");
        assert!(verdict.compared.values().sum::<u64>() > 0, "something was compared");
    }

    /// How many operations have taken effect.
    pub(crate) async fn applied(&self) -> u64 {
        u64::try_from(self.number("SELECT count(*) FROM ledger").await).unwrap()
    }

    /// How many messages could not be understood.
    pub(crate) async fn buried(&self) -> u64 {
        u64::try_from(self.number("SELECT count(*) FROM dead_letters").await).unwrap()
    }
}

/// The lock of a file.
pub(crate) struct Held(SqliteConnection);

impl Held {
    pub(crate) async fn release(mut self) {
        sqlx::query("ROLLBACK").execute(&mut self.0).await.unwrap();
        self.0.close().await.unwrap();
    }
}
