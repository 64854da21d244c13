//! The writer and the file under it: whether it may write, whether what it wrote is kept, and how it comes back to the right
//! file after that was deleted, moved or exchanged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Row};
use tokio::time;

use super::checkpoint::Checkpoints;
use super::witness::FileMatch;
use super::writer::Writer;
use super::{error, sqlite};
use crate::error::Cause;
use crate::sqlite::database_file::Difference;
use crate::sqlite::limit;

/// The least time between two examinations, while something is wrong.
const PAUSE: Duration = Duration::from_millis(200);
/// How long queries may need that still run, before all connections are closed.
const QUERIES: Duration = Duration::from_secs(2);

impl Writer {
    /// Before a transaction: whether the path names the file that is open.
    ///
    /// # Errors
    /// Of class `Backend`.
    pub(super) async fn ready(&mut self) -> Result<(), Cause> {
        let usable = self.db_file.usable();
        if usable.is_ok() && self.connection.connection.is_some() && self.db_file.is_fresh() {
            return Ok(());
        }
        if usable.is_err() && self.examined.is_some_and(|at| at.elapsed() < PAUSE) {
            return usable;
        }
        if usable.is_ok()
            && self.connection.connection.is_some()
            && let Ok((Difference::None, now)) = self.db_file.compare()
        {
            self.db_file.adopt(now);
            return Ok(());
        }
        self.repair().await
    }

    /// While there is nothing to write. What it finds is told by the place.
    pub(super) async fn look(&mut self) {
        let _ = self.ready().await;
    }

    /// After a commit: whether it went into the file at the path. False: it may have gone elsewhere, and all is well again.
    ///
    /// # Errors
    /// Of class `Backend`: it is not the right file.
    pub(super) async fn kept(&mut self) -> Result<bool, Cause> {
        match self.db_file.compare() {
            Ok((Difference::None, now)) => {
                self.db_file.adopt(now);
                return Ok(true);
            }
            // What was there before is there still: then so is this.
            Ok((Difference::Written | Difference::Cut, _)) => self.repair().await.map(|()| true),
            _ => self.repair().await.map(|()| false),
        }
        .map_err(|why| error::perhaps(&why))
    }

    async fn repair(&mut self) -> Result<(), Cause> {
        let examined = self.examine().await;
        self.examined = Some(Instant::now());
        match examined {
            Ok(()) => {
                self.db_file.clear();
                Ok(())
            }
            Err(FileError::File(why)) => Err(self.db_file.raise(&why)),
            Err(FileError::Busy(cause)) => Err(cause),
        }
    }

    async fn examine(&mut self) -> Result<(), FileError> {
        let db_file = Arc::clone(&self.db_file);
        let (difference, now) = db_file.compare()?;
        let overwritten = self.overwritten;
        match (difference, self.connection.connection.as_mut()) {
            (Difference::MainBesideOldLog, _) => Err(db_file.old_log().into()),
            (Difference::Overwritten(how), _) => {
                self.overwritten = true;
                Err(db_file.overwritten(how).into())
            }
            (Difference::Log(how), _) => {
                self.overwritten = true;
                Err(db_file.damaged_log(how).into())
            }
            // What was read meanwhile is in the caches of all connections.
            (_, Some(_)) if overwritten && difference.is_of_the_file() => self.open_again().await,
            (Difference::Main, Some(_)) => {
                self.read(self.db_file.open().is_main_cut(&now)).await?;
                self.open_again().await
            }
            (Difference::Sidecars, Some(connection)) => {
                // What is in the log that was taken away goes into the file, where it is not lost.
                move_all(connection).await.map_err(|why| format!("{} ({why})", db_file.beside()))?;
                self.open_again().await?;
                tracing::warn!("{}: the database was opened again, and nothing is lost", db_file.beside());
                Ok(())
            }
            (Difference::Main | Difference::Sidecars, None) => self.open_again().await,
            (Difference::None | Difference::Written | Difference::Cut, Some(connection))
                if db_file.usable().is_ok() && !db_file.open().is_main_cut(&now) =>
            {
                // The same file, and SQLite has written to it: it is no copy, unless all three files were written over.
                match self.witness.ask(connection).await {
                    Ok(FileMatch::Right) => {}
                    Ok(FileMatch::Another) => return Err(db_file.renamed().into()),
                    Ok(FileMatch::Older) => {
                        let found = async {
                            let is_older = self.witness.is_after(connection).await?;
                            Ok::<_, sqlx::Error>((is_older, self.witness.again(connection).await?))
                        };
                        let found = found.await;
                        let (is_older, now) = found.map_err(|e| self.unreadable(e))?;
                        if is_older {
                            return Err(db_file.older().into());
                        }
                        self.witness = now;
                        tracing::warn!("{}", db_file.edited());
                    }
                    Err(e) => return Err(self.unreadable(e)),
                }
                db_file.adopt(now);
                Ok(())
            }
            (Difference::None | Difference::Written | Difference::Cut, Some(_)) => {
                self.read(self.db_file.open().is_main_cut(&now)).await?;
                if db_file.usable().is_err() {
                    // A reader may have opened what was there in between.
                    self.close_readers().await?;
                }
                db_file.adopt(now);
                Ok(())
            }
            (Difference::None | Difference::Written | Difference::Cut, None) => self.open_writer().await,
        }
    }

    /// Closes all connections, and opens the file at the path.
    async fn open_again(&mut self) -> Result<(), FileError> {
        self.db_file.close(true);
        let opened = async {
            self.close_readers().await?;
            let fresh = Checkpoints::start(self.connection.options.clone(), Arc::clone(&self.db_file));
            std::mem::replace(&mut self.checkpoints, fresh).close().await;
            self.connection.close().await;
            // Before it is opened for writing, which may change it.
            self.read(false).await?;
            self.open_writer().await
        };
        let opened = opened.await;
        self.db_file.close(false);
        opened
    }

    async fn open_writer(&mut self) -> Result<(), FileError> {
        let before = self.db_file.look()?;
        let opened = limit::within(sqlite::reopen(&self.connection.options)).await;
        let mut connection = opened.map_err(|e| self.unreadable(e))?;
        let found = self.witness.ask(&mut connection).await;
        let now = self.db_file.look()?;
        if !before.compare(&now).is_of_the_file() {
            return Err(self.db_file.another().into());
        }
        self.verdict(found)?;
        self.connection.replace(connection);
        self.overwritten = false;
        self.db_file.adopt(now);
        Ok(())
    }

    /// What is at the path, through a connection that knows nothing of what was there before; `whole`: all of its pages.
    async fn read(&self, whole: bool) -> Result<(), FileError> {
        let opened = limit::within(sqlite::looking(&self.connection.options)).await;
        let mut connection = opened.map_err(|e| self.unreadable(e))?;
        let mut found = self.verdict(self.witness.ask(&mut connection).await);
        if whole && found.is_ok() {
            let check = sqlx::query_scalar::<_, String>("PRAGMA quick_check(1)").fetch_one(&mut connection);
            found = match limit::within(check).await {
                Err(e) if limit::is_lost(&e) => {
                    tracing::warn!("{}", self.db_file.unchecked());
                    return Ok(());
                }
                Ok(ok) if ok == "ok" => Ok(()),
                Ok(damage) => Err(self.db_file.unreadable(&damage).into()),
                Err(e) => Err(self.unreadable(e)),
            };
        }
        let closed = limit::within(connection.close()).await;
        found?;
        closed.map_err(|e| self.unreadable(e))
    }

    fn verdict(&self, found: Result<FileMatch, sqlx::Error>) -> Result<(), FileError> {
        match found {
            Ok(FileMatch::Right) => Ok(()),
            Ok(FileMatch::Another) => Err(self.db_file.foreign().into()),
            Ok(FileMatch::Older) => Err(self.db_file.older().into()),
            Err(e) => Err(self.unreadable(e)),
        }
    }

    fn unreadable(&self, error: sqlx::Error) -> FileError {
        if error::is_busy(&error) || limit::is_lost(&error) {
            return FileError::Busy(error::cause(&error));
        }
        self.db_file.unreadable(&error).into()
    }

    /// SQLite shares what it has open among all connections of a process to one file: new ones see it afresh only if there
    /// is no old one left.
    async fn close_readers(&self) -> Result<(), String> {
        let since = Instant::now();
        loop {
            while let Some(reader) = self.readers.try_acquire() {
                if let Err(e) = reader.close().await {
                    tracing::debug!("closing a connection: {e}");
                }
            }
            if self.readers.size() == 0 || self.readers.is_closed() {
                return Ok(());
            }
            if since.elapsed() > QUERIES {
                return Err(format!("{} (queries still run on the former one)", self.db_file.another()));
            }
            time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Why the file cannot be used.
enum FileError {
    /// It is not the right one, in a sentence.
    File(String),
    /// That cannot be told just now.
    Busy(Cause),
}

impl From<String> for FileError {
    fn from(why: String) -> Self {
        Self::File(why)
    }
}

/// Moves all of the log into the file, and waits for no lock.
async fn move_all(connection: &mut SqliteConnection) -> Result<(), String> {
    let moved = limit::within(sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(connection)).await;
    match moved.and_then(|row| row.try_get::<i64, _>(0)) {
        Ok(0) => Ok(()),
        Ok(_) => Err("another process is in the way; tried again".to_owned()),
        Err(e) => Err(e.to_string()),
    }
}
