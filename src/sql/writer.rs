//! The writer: one task, one connection. It takes what is waiting, never waits for more, and commits it in one
//! transaction and one hop to SQLite's thread.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eitherway_layers::{Class, Classify};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::mpsc;
use tokio::time;

use super::batch::{self, Applied, Frames, Outcome};
use super::checkpoint::Checkpoints;
use super::concern::Backlog;
use super::held::Held;
use super::place::{Difference, Place};
use super::queue::{Answer, Batch, id_reused};
pub(super) use super::queue::{Item, Write};
use super::record::{self, Record};
use super::repeats::Repeats;
use super::retention::Removal;
use super::spin::Spin;
use super::turn::Turn;
use super::witness::Witness;
use super::{DeadLetter, SqliteOptions, audit, error, limit, trim};
use crate::error::{Cause, Code};

/// How often it is looked whether the path still names the file, while there is nothing to write.
const LOOK: Duration = Duration::from_millis(500);

/// What the writer begins with.
pub(super) struct Start {
    pub(super) connection: SqliteConnection,
    /// The connections for reading, which are closed where all must be.
    pub(super) readers: SqlitePool,
    pub(super) place: Arc<Place>,
    pub(super) witness: Witness,
    pub(super) options: SqliteOptions,
    pub(super) frames: Frames,
    /// See [`audit::frame`].
    pub(super) frame: String,
    pub(super) repeats: Repeats,
}

/// Runs until [`Item::Close`] comes, or all senders are dropped.
pub(super) async fn run(start: Start, mut queue: mpsc::Receiver<Item>) {
    let Start { connection, readers, place, witness, options, frames, frame, repeats } = start;
    let turn = Turn::new(&options);
    let checkpoints = Checkpoints::start(options.clone(), Arc::clone(&place));
    let held = Held { connection: Some(connection), options };
    let batch = batch::first_number();
    let spin = Spin::default();
    let mut writer = Writer {
        held,
        checkpoints,
        trim: trim::Trim::new(),
        turn,
        spin,
        frames,
        frame,
        repeats,
        batch,
        locked: None,
        readers,
        place,
        witness,
        examined: None,
        overwritten: false,
        backlog: Backlog::default(),
        disk_failed: None,
    };
    let mut looked = Instant::now();
    loop {
        // Also while there are nothing but pings.
        if looked.elapsed() >= LOOK {
            writer.look().await;
            writer.look_at_concerns().await;
            looked = Instant::now();
        }
        let first = match time::timeout(LOOK, queue.recv()).await {
            Ok(Some(first)) => first,
            Ok(None) => break,
            Err(_) => continue,
        };
        let mut batch = Batch::default();
        batch.add(first);
        while !batch.is_full() {
            match queue.try_recv() {
                Ok(item) => batch.add(item),
                Err(_) => break,
            }
        }
        let close = batch.close.take();
        writer.commit(batch).await;
        if let Some(tx) = close {
            queue.close();
            writer.close().await;
            let _ = tx.send(());
            return;
        }
    }
    writer.close().await;
}

pub(super) struct Writer {
    pub(super) held: Held,
    pub(super) checkpoints: Checkpoints,
    trim: trim::Trim,
    turn: Turn,
    spin: Spin,
    frames: Frames,
    /// The framework's own tables, as they were when the database was opened.
    frame: String,
    repeats: Repeats,
    /// The number of the last transaction, unlike that of any other process.
    batch: i64,
    /// Since when another connection has the lock, as far as every try since then has found it.
    locked: Option<Instant>,
    pub(super) readers: SqlitePool,
    pub(super) place: Arc<Place>,
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
enum Failure {
    Sqlite(sqlx::Error),
    /// The file is not the right one.
    Place(Cause),
}

impl Failure {
    fn cause(self) -> Cause {
        match self {
            Self::Sqlite(error) => error::of_a_write(&error),
            Self::Place(cause) => cause,
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

impl Writer {
    /// Commits the batch and tells all waiters. A waiter that is gone is no reason to stop.
    async fn commit(&mut self, batch: Batch) {
        let Batch { writes, waiting, rivals, letters, letters_waiting, removal, record, barriers, .. } =
            batch;
        let outcomes = self.apply(&writes).await;
        for (first, tx) in rivals {
            // The id is taken only if the first one took it; otherwise this one has failed with it.
            let _ = tx.send(outcomes[first].clone().and(Err(id_reused())));
        }
        // A database that is locked for the operations is so for the letters: waiting twice is of no use.
        let busy =
            outcomes.iter().find_map(|o| o.as_ref().err()).filter(|c| c.class() == Class::Backend).cloned();
        for ((outcome, waiting), write) in outcomes.into_iter().zip(waiting).zip(&writes) {
            if outcome.is_ok() {
                // They have met here, and share one row of the ledger.
                self.repeats.add(write.index, waiting.len() as u64 - 1);
            }
            for tx in waiting {
                let _ = tx.send(outcome.clone());
            }
        }
        if !letters.is_empty() {
            let kept = match busy {
                Some(cause) => Err(cause),
                None => self.bury(&letters).await,
            };
            for tx in letters_waiting {
                let _ = tx.send(kept.clone());
            }
        }
        if let Some((removal, tx)) = removal {
            let _ = tx.send(self.remove(&removal).await);
        }
        if let Some((record, tx)) = record {
            let _ = tx.send(self.record(&record).await);
        }
        for tx in barriers {
            let _ = tx.send(());
        }
    }

    /// Applies writes in one transaction. If it fails because of one of them, whatever SQLite calls that, halves are tried,
    /// down to the one that fails alone; its neighbours commit.
    async fn apply(&mut self, writes: &[Write]) -> Vec<Answer> {
        if writes.is_empty() {
            return Vec::new();
        }
        // Depth first, so that outcomes come in the order of the writes.
        let mut outcomes = Vec::with_capacity(writes.len());
        let mut parts = vec![writes];
        while let Some(part) = parts.pop() {
            match self.transaction(part).await {
                Ok(applied) => {
                    for index in applied.repeats {
                        self.repeats.add(index, 1);
                    }
                    outcomes.extend(applied.outcomes.into_iter().map(|outcome| match outcome {
                        Outcome::Answer(json) => Ok(json),
                        Outcome::IdReused => Err(id_reused()),
                        Outcome::Refused(cause) => Err(cause),
                    }));
                }
                Err(e)
                    if part.len() > 1 && e.is_of_an_operation() && !self.is_of_the_schema(&e, part).await =>
                {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.push(second);
                    parts.push(first);
                }
                Err(e) => {
                    let cause = self.alone(e, part).await;
                    self.failed(&cause);
                    tracing::debug!(operations = part.len(), "a transaction failed: {cause}");
                    outcomes.extend(part.iter().map(|_| Err(cause.clone())));
                }
            }
        }
        outcomes
    }

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
        let Ok(connection) = self.held.get().await else { return true };
        let prepared = audit::prepares(connection, self.frames.statements(kind), self.frames.answer(kind));
        let prepared = limit::within(prepared).await;
        self.held.after(prepared).await.is_err()
    }

    /// Whether the framework's own tables are not what they were; also when that cannot be told.
    async fn is_of_the_frame(&mut self) -> bool {
        let frame = match self.held.get().await {
            Ok(connection) => limit::within(audit::frame(connection)).await,
            Err(e) => Err(e),
        };
        self.held.after(frame).await.map_or(true, |frame| frame != self.frame)
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

    async fn transaction(&mut self, writes: &[Write]) -> Result<Applied, Failure> {
        let begun = Instant::now();
        // A claim is the last of its transaction: several that wait for a lock must not do so one after another.
        let youngest = writes.iter().map(|write| write.since).max();
        let since = self.locked.zip(youngest).map_or(begun, |(locked, youngest)| locked.max(youngest));
        let mut again = true;
        loop {
            self.ready().await.map_err(Failure::Place)?;
            // A number of its own for each try: what one has committed is not new to the next.
            self.batch = self.batch.wrapping_add(1);
            let result = match self.held.get().await {
                Ok(connection) => {
                    let applied = batch::apply(connection, &mut self.frames, self.batch, writes);
                    // Each of its strings has a limit of its own.
                    self.spin.wait(applied).await
                }
                Err(e) => Err(e),
            };
            let Some(result) = self.settle_for(since, begun, result).await else { continue };
            let applied = result.map_err(Failure::Sqlite)?;
            if applied.spoilt {
                self.held.connection = None;
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
                Ok(false) => return Err(Failure::Place(super::unclear())),
                Err(cause) => return Err(Failure::Place(cause)),
            }
        }
    }

    /// The last one to close moves the log into the file.
    async fn close(mut self) {
        self.checkpoints.close().await;
        let wrong = matches!(self.place.compare(), Ok((Difference::Overwritten(_) | Difference::Log(_), _)));
        if self.overwritten || wrong {
            // To close would move a log into the file that is damaged, or does not belong to it.
            std::mem::forget(self.held.connection.take());
        }
        self.held.close().await;
    }

    async fn bury(&mut self, letters: &[DeadLetter]) -> Result<(), Cause> {
        let since = Instant::now();
        loop {
            self.ready().await?;
            let result = match self.held.get().await {
                Ok(connection) => limit::within(batch::bury(connection, letters)).await,
                Err(e) => Err(e),
            };
            if let Some(result) = self.settle(since, result).await {
                let last = result.map_err(|e| error::of_the_frame(&e)).inspect_err(|e| self.failed(e))?;
                return if self.kept().await? {
                    self.witness.buried(last);
                    if self.trim.is_due(letters) {
                        self.trim().await;
                    }
                    Ok(())
                } else {
                    Err(super::unclear())
                };
            }
        }
    }

    async fn remove(&mut self, removal: &Removal) -> Result<u64, Cause> {
        let since = Instant::now();
        loop {
            self.ready().await?;
            let result = match self.held.get().await {
                Ok(connection) => limit::within(batch::remove(connection, removal)).await,
                Err(e) => Err(e),
            };
            if let Some(result) = self.settle(since, result).await {
                return result.map_err(|e| error::of_a_write(&e));
            }
        }
    }

    /// Drops dead letters that are too many. What fails is done with the next ones.
    async fn trim(&mut self) {
        let since = Instant::now();
        loop {
            let result = match self.held.get().await {
                Ok(connection) => limit::within(trim::trim(connection)).await,
                Err(e) => Err(e),
            };
            if let Some(result) = self.settle(since, result).await {
                if let Err(e) = result {
                    tracing::debug!("too many dead letters are not dropped: {e}");
                }
                return;
            }
        }
    }

    async fn record(&mut self, record: &Record) -> Result<(), Cause> {
        let since = Instant::now();
        loop {
            self.ready().await?;
            let result = match self.held.get().await {
                Ok(connection) => limit::within(record::write(connection, record)).await,
                Err(e) => Err(e),
            };
            if let Some(result) = self.settle(since, result).await {
                result.map_err(|e| error::of_a_write(&e))?;
                return if self.kept().await? { Ok(()) } else { Err(super::unclear()) };
            }
        }
    }

    /// What became of a transaction that was begun then; nothing, if another connection has the lock and there is time
    /// to try again.
    async fn settle<T>(
        &mut self,
        begun: Instant,
        result: Result<T, sqlx::Error>,
    ) -> Option<Result<T, sqlx::Error>> {
        self.settle_for(begun, begun, result).await
    }

    /// The same for writes that wait for the lock since then.
    async fn settle_for<T>(
        &mut self,
        since: Instant,
        begun: Instant,
        result: Result<T, sqlx::Error>,
    ) -> Option<Result<T, sqlx::Error>> {
        let result = self.held.after(result).await;
        if result.as_ref().is_err_and(error::is_busy) {
            self.locked.get_or_insert(begun);
            if since.elapsed() < self.held.options.busy_timeout {
                self.turn.wait(begun.elapsed()).await;
                return None;
            }
        } else {
            self.locked = None;
        }
        self.turn.over(begun).await;
        Some(result)
    }
}
