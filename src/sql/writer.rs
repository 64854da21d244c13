//! What the writer does on SQLite: one connection, and one hop to SQLite's thread for a transaction.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, SqlitePool};

use super::backlog::Backlog;
use super::batch::{self, Applied, BatchSql};
use super::checkpoint::Checkpoints;
use super::connection::WriterConnection;
use super::fairness::WriteFairness;
use super::spin::AdaptiveSpin;
use super::witness::Witness;
use super::{DeadLetter, SqliteOptions, audit, error, trim};
use crate::error::{Cause, Code};
use crate::sqlite::database_file::{DatabaseFile, Difference};
use crate::sqlite::limit;
use crate::sqlite::statements::run;
use crate::store;
use crate::store::queue::Write;
use crate::store::record::{Record, Removal};
use crate::store::writer::Backend;

/// What the writer begins with.
pub(super) struct Start {
    pub(super) connection: SqliteConnection,
    /// The connections for reading, which are closed where all must be.
    pub(super) readers: SqlitePool,
    pub(super) db_file: Arc<DatabaseFile>,
    pub(super) witness: Witness,
    pub(super) options: SqliteOptions,
    pub(super) frames: BatchSql,
    /// See [`audit::frame`].
    pub(super) frame: String,
}

impl Start {
    /// The writer, ready for [`run`](crate::store::writer::run).
    pub(super) fn writer(self) -> Writer {
        let Self { connection, readers, db_file, witness, options, frames, frame } = self;
        Writer {
            fairness: WriteFairness::new(&options),
            checkpoints: Checkpoints::start(options.clone(), Arc::clone(&db_file)),
            connection: WriterConnection::new(connection, options),
            batch: batch::first_number(),
            spin: AdaptiveSpin::default(),
            trim: trim::Trim::new(),
            frames,
            frame,
            locked: None,
            readers,
            db_file,
            witness,
            examined: None,
            overwritten: false,
            backlog: Backlog::default(),
            disk_failed: None,
        }
    }
}

pub(super) struct Writer {
    pub(super) connection: WriterConnection,
    pub(super) checkpoints: Checkpoints,
    trim: trim::Trim,
    fairness: WriteFairness,
    spin: AdaptiveSpin,
    frames: BatchSql,
    /// The framework's own tables, as they were when the database was opened.
    frame: String,
    /// The number of the last transaction, unlike that of any other process.
    batch: i64,
    /// Since when another connection has the lock, as far as every try since then has found it.
    locked: Option<Instant>,
    pub(super) readers: SqlitePool,
    pub(super) db_file: Arc<DatabaseFile>,
    pub(super) witness: Witness,
    /// When the files were last examined.
    pub(super) examined: Option<Instant>,
    /// Whether another program has overwritten the file or its log, which is not put right yet.
    pub(super) overwritten: bool,
    pub(super) backlog: Backlog,
    /// When the disk has last failed, as long as it is not known to work.
    pub(super) disk_failed: Option<Instant>,
}

/// Why a transaction failed.
pub(super) enum Failure {
    Sqlite(sqlx::Error),
    /// The file is not the right one.
    File(Cause),
}

impl Failure {
    fn cause(self) -> Cause {
        match self {
            Self::Sqlite(error) => error::of_a_write(&error),
            Self::File(cause) => cause,
        }
    }

    /// Whether it comes of some operation in the batch, and the rest could be applied without it.
    fn is_of_an_operation(&self) -> bool {
        matches!(self, Self::Sqlite(error) if !error::is_of_the_environment(error))
    }

    fn is_of_a_statement(&self) -> bool {
        matches!(self, Self::Sqlite(error) if error::is_of_a_statement(error))
    }
}

/// Operations that were handed over within this time give up waiting for a lock together.
const TOGETHER: Duration = Duration::from_millis(20);

impl Writer {
    /// Whether these fail because the tables have been changed by hand: the framework's own; or those of their one kind, whose
    /// statements cannot be prepared any more, as all of them could when the database was opened.
    async fn is_of_the_schema(&mut self, failure: &Failure, writes: &[Write]) -> bool {
        if failure.is_of_an_operation() && self.is_of_the_frame().await {
            return true;
        }
        let kind = writes[0].index;
        if !failure.is_of_a_statement() || writes.iter().any(|write| write.index != kind) {
            return false;
        }
        let Ok(connection) = self.connection.get().await else { return true };
        let prepared = audit::prepares(connection, self.frames.statements(kind), self.frames.answer(kind));
        let prepared = limit::within(prepared).await;
        self.connection.after(prepared).await.is_err()
    }

    /// Whether the framework's own tables are not what they were; also when that cannot be told.
    async fn is_of_the_frame(&mut self) -> bool {
        let frame = match self.connection.get().await {
            Ok(connection) => limit::within(audit::frame(connection)).await,
            Err(e) => Err(e),
        };
        self.connection.after(frame).await.map_or(true, |frame| frame != self.frame)
    }

    /// What it means that these cannot be applied, and that no other operation is to blame.
    async fn alone(&mut self, failure: Failure, writes: &[Write]) -> Cause {
        if failure.is_of_an_operation() && self.is_of_the_frame().await {
            let error = failure.cause();
            return Cause::new(
                Code::DATABASE,
                format!(
                    "another program has changed the tables of the database that are not the operations' (ledger, meta, \
                     dead_letters): put them back as they were ({error})"
                ),
            );
        }
        match failure {
            Failure::Sqlite(e) if error::is_of_a_statement(&e) => {
                let failure = Failure::Sqlite(e);
                let is_of_the_schema = self.is_of_the_schema(&failure, writes).await;
                match failure {
                    Failure::Sqlite(e) if !is_of_the_schema => error::refusal(&e),
                    failure => failure.cause(),
                }
            }
            failure => failure.cause(),
        }
    }

    /// Since when the oldest of some writes waits for the lock, at the least: it has waited in the queue too, and is not to
    /// wait behind those that wait for the same lock.
    fn waits_since(&self, begun: Instant, oldest: Option<Instant>) -> Instant {
        self.locked.zip(oldest).map_or(begun, |(locked, oldest)| locked.max(oldest))
    }

    /// Whether some of these have not waited for the lock for long enough.
    fn may_wait(&self, failure: &Failure, writes: &[Write]) -> bool {
        let now = Instant::now();
        let youngest = writes.iter().map(|write| write.since).max();
        matches!(failure, Failure::Sqlite(e) if error::is_busy(e))
            && now.saturating_duration_since(self.waits_since(now, youngest)) + TOGETHER
                < self.connection.options.busy_timeout
    }

    async fn in_one(&mut self, writes: &[Write]) -> Result<Applied, Failure> {
        let begun = Instant::now();
        let since = self.waits_since(begun, writes.iter().map(|write| write.since).min());
        let mut again = true;
        loop {
            self.ready().await.map_err(Failure::File)?;
            // A number of its own for each try: what one has committed is not new to the next.
            self.batch = self.batch.wrapping_add(1);
            let result = match self.connection.numbered().await {
                Ok(connection) => {
                    let applied = batch::apply(connection, &mut self.frames, self.batch, writes);
                    // Each of its strings has a limit of its own.
                    self.spin.wait(applied).await
                }
                Err(e) => Err(e),
            };
            let Some(result) = self.finish_since(since, begun, result).await else { continue };
            let applied = result.map_err(Failure::Sqlite)?;
            if applied.spoilt {
                self.connection.connection = None;
            }
            self.checkpoints.committed(writes.len());
            match self.kept().await {
                Ok(true) => {
                    let specs = self.frames.specs;
                    self.witness.committed(self.batch, applied.at, specs, writes, applied.new);
                    return Ok(applied);
                }
                // The files were exchanged meanwhile, and are put right: the ledger decides.
                Ok(false) if std::mem::take(&mut again) => {}
                Ok(false) => return Err(Failure::File(error::replaced())),
                Err(cause) => return Err(Failure::File(cause)),
            }
        }
    }

    /// Drops dead letters that are too many. What fails is done with the next ones.
    async fn trim(&mut self) {
        let since = Instant::now();
        loop {
            let result = match self.connection.get().await {
                Ok(connection) => limit::within(trim::trim(connection)).await,
                Err(e) => Err(e),
            };
            if let Some(result) = self.finish(since, result).await {
                if let Err(e) = result {
                    tracing::debug!("too many dead letters are not dropped: {e}");
                }
                return;
            }
        }
    }

    /// What became of a transaction that was begun then; nothing, if another connection has the lock and there is time
    /// to try again.
    async fn finish<T>(
        &mut self,
        begun: Instant,
        result: Result<T, sqlx::Error>,
    ) -> Option<Result<T, sqlx::Error>> {
        self.finish_since(begun, begun, result).await
    }

    /// The same for writes that wait for the lock since then.
    async fn finish_since<T>(
        &mut self,
        since: Instant,
        begun: Instant,
        result: Result<T, sqlx::Error>,
    ) -> Option<Result<T, sqlx::Error>> {
        let result = self.connection.after(result).await;
        if result.as_ref().is_err_and(error::is_busy) {
            self.locked.get_or_insert(begun);
            if since.elapsed() < self.connection.options.busy_timeout {
                self.fairness.wait(begun.elapsed()).await;
                return None;
            }
            // The lock was not ours, so there is nothing to leave free: the next ones wait for it too.
            self.fairness.give_up();
        } else {
            self.locked = None;
            self.fairness.over(begun).await;
        }
        Some(result)
    }
}

impl Backend for Writer {
    type Failure = Failure;
    const SYSTEM: &'static str = "sqlite";

    async fn look(&mut self) {
        Self::look(self).await;
        self.look_at_concerns().await;
    }

    async fn transaction(&mut self, writes: &[Write]) -> Result<store::writer::Applied, Failure> {
        let batch::Applied { outcomes, duplicates, .. } = self.in_one(writes).await?;
        Ok(store::writer::Applied { outcomes, duplicates })
    }

    async fn is_of_some(&mut self, failure: &Failure, writes: &[Write]) -> bool {
        self.may_wait(failure, writes)
            || (failure.is_of_an_operation() && !self.is_of_the_schema(failure, writes).await)
    }

    async fn cause(&mut self, failure: Failure, writes: &[Write]) -> Cause {
        let cause = self.alone(failure, writes).await;
        self.failed(&cause);
        cause
    }

    async fn keep_dead_letter(&mut self, letters: &[DeadLetter]) -> Result<(), Cause> {
        let since = Instant::now();
        loop {
            self.ready().await?;
            let result = match self.connection.get().await {
                Ok(connection) => limit::within(batch::keep_dead_letter(connection, letters)).await,
                Err(e) => Err(e),
            };
            if let Some(result) = self.finish(since, result).await {
                let last = result.map_err(|e| error::of_the_frame(&e)).inspect_err(|e| self.failed(e))?;
                return if self.kept().await? {
                    self.witness.dead_letters_kept(last);
                    if self.trim.is_due(letters) {
                        self.trim().await;
                    }
                    Ok(())
                } else {
                    Err(error::replaced())
                };
            }
        }
    }

    async fn remove(&mut self, removal: &Removal) -> Result<u64, Cause> {
        let since = self.locked.unwrap_or_else(Instant::now);
        loop {
            self.ready().await?;
            let result = match self.connection.get().await {
                Ok(connection) => limit::within(batch::remove(connection, removal)).await,
                Err(e) => Err(e),
            };
            if let Some(result) = self.finish(since, result).await {
                let rows = result.map_err(|e| error::of_a_write(&e))?;
                self.checkpoints.committed(usize::try_from(rows).unwrap_or_default());
                return if self.kept().await? { Ok(rows) } else { Err(error::replaced()) };
            }
        }
    }

    async fn record(&mut self, record: &Record) -> Result<(), Cause> {
        let since = self.locked.unwrap_or_else(Instant::now);
        loop {
            self.ready().await?;
            let result = match self.connection.get().await {
                Ok(connection) => limit::within(write_record(connection, record)).await,
                Err(e) => Err(e),
            };
            if let Some(result) = self.finish(since, result).await {
                result.map_err(|e| error::of_a_write(&e))?;
                return if self.kept().await? { Ok(()) } else { Err(error::replaced()) };
            }
        }
    }

    /// The last one to close moves the log into the file.
    async fn close(mut self) {
        self.checkpoints.close().await;
        let wrong =
            matches!(self.db_file.compare(), Ok((Difference::Overwritten(_) | Difference::Log(_), _)));
        if self.overwritten || wrong {
            // To close would move a log into the file that is damaged, or does not belong to it.
            std::mem::forget(self.connection.connection.take());
        }
        self.connection.close().await;
    }
}

/// Writes facts about the file, in one transaction.
async fn write_record(connection: &mut SqliteConnection, record: &Record) -> Result<(), sqlx::Error> {
    let sql = format!("BEGIN IMMEDIATE; {} COMMIT", record.statements);
    run(connection, sqlx::query(AssertSqlSafe(sql)).bind(&record.value)).await.map(drop)
}
