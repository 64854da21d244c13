//! Moving what was committed from the log into the file, beside the writer.
//!
//! SQLite leaves that to the connection that commits the page that makes the log too long: some 25 ms for 8000 pages, in
//! which no other one writes. Here a connection of its own moves what there is, often, while the writer goes on; little is
//! left for the writer when its turn comes.

use std::sync::Arc;

use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

use super::{SqliteOptions, Synchronous, error, sqlite};
use crate::sqlite::database_file::DatabaseFile;
use crate::sqlite::limit;

/// A checkpoint is due after about this many pages in the log. Each move syncs log and file.
const ENOUGH: usize = 2000;

/// What is to be moved is moved, until this is closed.
pub(super) struct Checkpoints {
    /// About how many pages were written since the last one.
    pages: usize,
    /// Never, where every commit syncs the log: another one who syncs beside it would cost each of them more than the
    /// stall costs one.
    enough: usize,
    wake: Arc<Notify>,
    /// Dropped, it ends the task.
    running: DropGuard,
    task: JoinHandle<()>,
}

impl Checkpoints {
    pub(super) fn start(options: SqliteOptions, db_file: Arc<DatabaseFile>) -> Self {
        let enough = match options.synchronous {
            Synchronous::Normal => ENOUGH,
            Synchronous::Full => usize::MAX,
        };
        let wake = Arc::new(Notify::new());
        let ended = CancellationToken::new();
        let task = tokio::spawn(run(options, db_file, Arc::clone(&wake), ended.clone()).in_current_span());
        Self { pages: 0, enough, wake, running: ended.drop_guard(), task }
    }

    /// A transaction with this many operations was committed.
    pub(super) fn committed(&mut self, operations: usize) {
        // Measured on lines of chat: one alone writes some six pages, many share them.
        self.pages = self.pages.saturating_add(6 + operations / 4);
        if self.pages >= self.enough {
            self.pages = 0;
            self.wake.notify_one();
        }
    }

    /// Moves what there is, soon.
    pub(super) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Ends it, and waits until its connection is closed.
    pub(super) async fn close(self) {
        drop(self.running);
        // It has nothing to say: what it has not moved stays in the log.
        let _ = self.task.await;
    }
}

async fn run(
    options: SqliteOptions,
    db_file: Arc<DatabaseFile>,
    wake: Arc<Notify>,
    ended: CancellationToken,
) {
    let mut connection = None;
    while ended.run_until_cancelled(wake.notified()).await.is_some() {
        // A log that is damaged, or belongs to another file, must not be moved.
        if db_file.readable().is_err()
            || !db_file.compare().is_ok_and(|(difference, _)| difference.is_of_sqlite())
        {
            continue;
        }
        match limit::within(move_what_there_is(&options, connection.take())).await {
            Ok(open) => connection = Some(open),
            // A full disk, a locked file: the writer meets the same, and says so.
            Err(error) => {
                tracing::debug!("the log could not be moved into the database: {}", error::cause(&error));
            }
        }
    }
    if let Some(connection) = connection {
        let _ = limit::within(connection.close()).await;
    }
}

/// Waits for no lock, and holds none that a writer waits for.
async fn move_what_there_is(
    options: &SqliteOptions,
    open: Option<SqliteConnection>,
) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = match open {
        Some(connection) => connection,
        None => sqlite::reopen(options).await?,
    };
    sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut connection).await?;
    Ok(connection)
}
