//! The holder's connection, which outlives its errors, the lock, and whether the file is still the one at its path.

use std::io::ErrorKind;

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use super::options::OutboxOptions;
use super::{error, file};
use crate::error::{Cause, Code};
use crate::sqlite::database_file::{DatabaseFile, Difference};
use crate::sqlite::statements::rolled_back;
use crate::sqlite::{limit, names};

pub(super) struct Connection {
    /// None after it was lost.
    open: Option<SqliteConnection>,
    lock: file::Lock,
    db_file: DatabaseFile,
    /// Whether it was said that the file is not the one at the path.
    missed: bool,
    options: OutboxOptions,
}

impl Connection {
    pub(super) const fn new(
        open: SqliteConnection,
        lock: file::Lock,
        db_file: DatabaseFile,
        options: OutboxOptions,
    ) -> Self {
        Self { open: Some(open), lock, db_file, missed: false, options }
    }

    /// Whether what is written is in the file at the path: that may be deleted, moved or replaced while it is open.
    ///
    /// # Errors
    /// `storage`: nothing that is written now is kept.
    pub(super) async fn is_at_its_path(&mut self) -> Result<(), Cause> {
        let right = match self.db_file.compare() {
            Ok((Difference::None, _)) => true,
            Ok((Difference::Written | Difference::Cut, now)) => {
                self.db_file.adopt(now);
                true
            }
            Ok((Difference::Sidecars, _)) => self.open_again().await,
            _ => false,
        };
        let path = self.options.path().display();
        if right {
            if std::mem::take(&mut self.missed) {
                tracing::info!("the outbox {path} is the right file again: events are kept");
            }
            return Ok(());
        }
        let file = std::fs::symlink_metadata(self.options.path());
        let why = match file.ok().and_then(|file| names::of_links(self.options.path(), &file)) {
            Some(why) => format!("the outbox {why}. No event is kept until then"),
            None => format!(
                "the outbox {path} was deleted, moved away, replaced or overwritten while it is in use: no event is kept until \
                 the file, with its -wal, is back as it was. To begin with what is there, or with an empty one, restart this \
                 process; what it held is offered until then"
            ),
        };
        if !std::mem::replace(&mut self.missed, true) {
            tracing::error!("{why}");
        }
        Err(Cause::new(Code::STORAGE, why))
    }

    /// What SQLite keeps beside the file was deleted: what is in its log goes into the file, where it is not lost.
    async fn open_again(&mut self) -> bool {
        if let Some(mut open) = self.open.take() {
            let moved = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut open);
            if let Err(e) = limit::within(moved).await {
                tracing::debug!("the log of the outbox could not be moved into it: {e}");
                self.open = Some(open).filter(|_| !limit::is_lost(&e));
                return false;
            }
            let _ = limit::within(open.close()).await;
        }
        self.open = limit::within(file::holding(&self.options)).await.ok();
        let Some(open) = &mut self.open else { return false };
        // The log is there once something was read.
        let read = limit::within(sqlx::query("SELECT count(*) FROM sqlite_schema").execute(open)).await;
        let now = self.db_file.look();
        match (read, now) {
            (Ok(_), Ok(now)) if self.db_file.open().compare(&now).is_of_the_file() => {
                self.db_file.adopt(now);
                true
            }
            _ => false,
        }
    }

    /// Does something with the file. After an error the transaction is still open: it is rolled back; what cannot be
    /// rolled back is dropped, connection and all, and opened again the next time.
    pub(super) async fn with<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Cause> {
        let result = match self.get().await {
            Ok(connection) => limit::within(work(connection)).await,
            Err(e) => Err(e),
        };
        match &result {
            Err(e) if limit::is_lost(e) => self.open = None,
            Err(_) => self.roll_back().await,
            Ok(_) => {}
        }
        result.map_err(|e| error::cause(self.options.path(), &e))
    }

    async fn get(&mut self) -> Result<&mut SqliteConnection, sqlx::Error> {
        let connection = match self.open.take() {
            Some(connection) => connection,
            // Another file may be there.
            None if !matches!(self.db_file.compare(), Ok((difference, _)) if difference.is_of_the_file()) => {
                return Err(sqlx::Error::Io(ErrorKind::NotFound.into()));
            }
            None => limit::within(file::holding(&self.options)).await?,
        };
        Ok(self.open.insert(connection))
    }

    async fn roll_back(&mut self) {
        if let Some(connection) = self.open.take() {
            self.open = rolled_back(connection).await;
        }
    }

    /// Closes the file, and only then gives the lock back.
    pub(super) async fn close(self) {
        if let Some(connection) = self.open
            && let Err(e) = limit::within(connection.close()).await
        {
            tracing::warn!("closing the outbox {}: {e}", self.options.path().display());
        }
        drop(self.lock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::store;
    use crate::sqlite::limit::tests::{LONG, SOON};

    #[tokio::test]
    async fn an_outbox_that_does_not_answer_is_given_up_with_a_sentence_and_opened_again()
    -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let options = OutboxOptions::new(folder.path().join("outbox"));
        let file::Opened { connection, lock, db_file, .. } = file::open(&options).await?;
        let mut outbox = Connection::new(connection, lock, db_file, options);
        tokio::time::pause();
        let since = tokio::time::Instant::now();
        let lost = outbox.with(async |c| sqlx::query(LONG).execute(c).await).await;
        assert_eq!(since.elapsed().as_secs(), 10, "and not for a rollback too");
        tokio::time::resume();
        assert!(lost.is_err_and(|cause| cause.to_string().contains("does not answer in time")));
        assert_eq!(tokio::time::timeout(SOON, outbox.with(store::held)).await??.waiting, 0);
        outbox.close().await;
        Ok(())
    }
}
