//! A SQLite file of one test, and a way to count in it that is not the code under test.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::time::Duration;

use eitherway::operation::Persist;
use eitherway::sql::{SqlService, SqliteOptions, Verdict, verify};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};

use crate::rows;

/// A file in a directory of its own, which is removed with it. Nothing is created before it is opened.
#[derive(Debug)]
pub struct DbFile<O> {
    dir: tempfile::TempDir,
    operations: PhantomData<fn() -> O>,
}

impl<O: Persist> Default for DbFile<O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<O: Persist> DbFile<O> {
    /// A directory without a file yet.
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), operations: PhantomData }
    }

    /// Where it is: named as the service is.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join(O::SERVICE)
    }

    /// The directory that holds it and nothing else.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The same as the address of a database.
    pub fn url(&self) -> String {
        format!("sqlite://{}", self.path().display())
    }

    /// How a process opens it.
    pub fn options(&self) -> SqliteOptions {
        // A test machine may be so slow that a neighbour holds the lock for longer than the usual 400 ms.
        SqliteOptions::new(&self.url()).unwrap().busy_timeout(Duration::from_secs(4))
    }

    /// Opens it as one more process would.
    pub async fn open(&self) -> SqlService<O> {
        SqlService::open(&self.options()).await.unwrap()
    }

    /// What `verify` says of it.
    pub async fn verdict(&self) -> Verdict {
        verify::<O>(&self.options(), |_| {}).await.unwrap()
    }

    /// # Panics
    /// Something is not as it must be; with all of it.
    pub async fn assert_clean(&self) {
        let verdict = self.verdict().await;
        assert!(verdict.is_clean(), "`verify` disagrees: {:#?}", verdict.findings);
    }

    /// Moves the file and what belongs to it away, the file first: without it, nothing beside it is opened.
    pub fn move_away(&self) {
        self.move_to("", "moved-");
    }

    /// Moves all of it back, the file last.
    pub fn move_back(&self) {
        self.move_to("moved-", "");
    }

    fn move_to(&self, from: &str, to: &str) {
        let mut ends = vec!["", "-wal", "-shm"];
        if to.is_empty() {
            ends.reverse();
        }
        for end in ends {
            let path = |prefix: &str| self.dir.path().join(format!("{prefix}{}{end}", O::SERVICE));
            if path(from).exists() {
                std::fs::rename(path(from), path(to)).unwrap();
            }
        }
    }

    /// Statements of another program.
    pub async fn execute(&self, sql: &'static str) {
        rows::execute(self.connect().await, sql).await;
    }

    /// The number that a query answers.
    pub async fn number(&self, sql: &'static str) -> i64 {
        rows::number(self.connect().await, sql).await
    }

    /// The texts that a query answers.
    pub async fn texts(&self, sql: &'static str) -> Vec<String> {
        rows::texts(self.connect().await, sql).await
    }

    /// A connection that may write: that of another program.
    pub async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path());
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    /// Takes the lock of the file, as another program: no other connection writes until it is dropped.
    pub async fn hold(&self) -> FileLock {
        let mut connection = self.connect().await;
        sqlx::query("PRAGMA busy_timeout = 4000").execute(&mut connection).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
        FileLock(connection)
    }

    /// The same, if it is to be had within this many milliseconds.
    pub async fn try_hold(&self, patience: u64) -> Option<FileLock> {
        let options = SqliteConnectOptions::new().filename(self.path());
        let options = options.busy_timeout(Duration::from_millis(patience));
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        match sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await {
            Ok(_) => Some(FileLock(connection)),
            Err(e) => {
                assert!(e.to_string().contains("locked"), "{e}");
                None
            }
        }
    }

    /// As [`assert_clean`](Self::assert_clean), of a file that has something to compare.
    ///
    /// # Panics
    /// Something is not as it must be, or there is nothing to compare.
    pub async fn assert_verified(&self) {
        let verdict = self.verdict().await;
        assert!(verdict.is_clean(), "`verify` disagrees: {:#?}", verdict.findings);
        assert!(verdict.compared.values().sum::<u64>() > 0, "something was compared");
    }

    /// How many operations have taken effect.
    pub async fn applied(&self) -> u64 {
        u64::try_from(self.number("SELECT count(*) FROM ledger").await).unwrap()
    }

    /// How many messages could not be understood.
    pub async fn dead_letters(&self) -> u64 {
        u64::try_from(self.number("SELECT count(*) FROM dead_letters").await).unwrap()
    }
}

/// The lock of a file. Dropped, it is released some time later.
#[derive(Debug)]
pub struct FileLock(SqliteConnection);

impl FileLock {
    /// Releases the lock, and returns when it is free.
    pub async fn release(mut self) {
        sqlx::query("ROLLBACK").execute(&mut self.0).await.unwrap();
        self.0.close().await.unwrap();
    }
}
