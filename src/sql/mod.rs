//! The path on the database itself: [`SqlService`], and the ledger that makes every operation take effect once.
//!
//! ```no_run
//! use eitherway::Db;
//! use eitherway::sql::{SqliteOptions, SqlService};
//! # use rosey::op::{Op, UserJoined};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let store = SqlService::<Op>::open(&SqliteOptions::new("sqlite://app.db")?).await?;
//! Db::new(store.clone()).call(UserJoined { username: "alice".into() }).await?;
//! store.close().await;
//! # Ok(())
//! # }
//! ```

pub(crate) mod address;
mod audit;
mod backlog;
pub mod backup;
pub(crate) mod batch;
mod checkpoint;
pub(crate) mod concern;
mod connection;
mod dead;
mod derive;
pub(crate) mod error;
mod fairness;
mod file_check;
mod future;
mod holders;
mod inspect;
mod instances;
mod lock;
mod migrate;
mod open_error;
mod options;
pub(crate) mod reader;
mod reads;
mod serve;
mod spin;
mod sqlite;
mod status;
mod store;
mod stores;
mod sweep;
pub mod take_over;
pub(crate) mod trim;
mod verify;
mod witness;
mod writer;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlitePool;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use crate::store::{Purged, Retention};
pub use audit::Unsound;
pub use dead::{DeadLetters, LetterGroup, StoredDeadLetter};
pub use future::SqlFuture;
pub use inspect::{Contents, inspect};
use reader::SqliteReader;
pub use sqlite::{OpenError, SqliteOptions};
pub use status::WriterStatus;
pub use stores::SqliteFiles;
use tracing::Instrument;
#[cfg(feature = "postgres")]
pub(crate) use verify::TOLD;
pub use verify::{Finding, Verdict, verify};
use writer::Start;

pub use crate::sqlite::Synchronous;
pub use crate::store::DeadLetter;
use crate::store::duplicates::Duplicates;
use crate::store::fold::{ByTheWriter, Folds};
use crate::store::keeper::Keeper;
use crate::store::options::StoreOptions;
use crate::store::pulse::Pulse;
use crate::store::queue::{Item, closed};
use crate::store::reader::Reader;
use crate::store::retention;
use crate::store::writer::Backend;

use crate::error::{Cause, Code};
use crate::operation::{Persist, validate_set};
use crate::sqlite::limit;

/// Applies operations to the database: writes through one writer that commits whatever waits in one transaction,
/// reads through a pool that can only read.
///
/// An operation takes effect **once per id**: its row in the ledger is written in the transaction of its effect,
/// and the same request again gets the same answer. The same id with another operation or payload is refused.
///
/// Always ready. A full queue is refused by `call` with class `Backend`, never waited for. Dropping a future
/// cancels nothing that was handed to the writer: its transaction ends as if the future were awaited.
///
/// Clones share writer and pool. The writer ends when the last clone is dropped; [`close`](Self::close) waits for
/// that.
pub struct SqlService<O> {
    shared: Arc<Shared>,
    operation: PhantomData<fn(O)>,
}

/// How long folding may take before that. The next one who opens it folds the rest.
const FOLDING: Duration = Duration::from_secs(5);

/// How long closing may take: the readers, then the writer.
const LAST: Duration = Duration::from_secs(15);

struct Shared {
    writes: mpsc::Sender<Item>,
    pulse: Pulse,
    reader: Arc<dyn Reader>,
    duplicates: Duplicates,
    future_tolerance: Duration,
    /// The most bytes of a list.
    answer_bytes: usize,
    past_tolerance: Duration,
    keeper: Arc<Keeper>,
    folds: Folds,
    /// Whether it folds by itself, and if so, also what others have left.
    folding: Option<bool>,
    database: String,
    shown: String,
    /// Ends retention and folding when it is closed, or with the last clone.
    ended: CancellationToken,
    _running: DropGuard,
}

/// What is known of a database that was opened, whatever it is.
pub(crate) struct Parts {
    pub(crate) database: String,
    pub(crate) shown: String,
    pub(crate) options: StoreOptions,
}

impl<O> Clone for SqlService<O> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), operation: PhantomData }
    }
}

impl<O> fmt::Debug for SqlService<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlService").field("database", &self.shared.database).finish_non_exhaustive()
    }
}

impl<O: Persist> SqlService<O> {
    /// Opens the database: creates the file if it is missing, migrates it under a lock (two processes may start
    /// at once), starts the writer.
    ///
    /// # Errors
    /// When the file cannot be opened, locked or migrated, or is newer than this program; when a statement of an operation
    /// cannot be prepared, or may not be what it is (see [`Definition::STATEMENTS`](crate::operation::Definition::STATEMENTS)).
    pub async fn open(options: &SqliteOptions) -> Result<Self, OpenError> {
        const { validate_set::<O>() };
        audit::migrations(O::MIGRATIONS).map_err(OpenError::Unsound)?;
        let mut opened = sqlite::open(options, O::MIGRATIONS).await?;
        let queries = limit::within(audit::audit::<O>(&mut opened.writer)).await;
        let queries =
            queries.map_err(|error| OpenError::of(options.path(), error))?.map_err(OpenError::Unsound)?;
        let frame = limit::within(audit::frame(&mut opened.writer)).await;
        let frame = frame.map_err(|error| OpenError::of(options.path(), error))?;
        let db_file = Arc::new(opened.db_file);
        let reader = SqliteReader::new::<O>(opened.readers.clone(), Arc::clone(&db_file), queries);
        let keeper = Arc::new(Keeper::default());
        let mut frames = batch::BatchSql::of::<O>();
        frames.keeper = Arc::clone(&keeper);
        let start = Start {
            connection: opened.writer,
            readers: opened.readers,
            db_file: Arc::clone(&db_file),
            witness: opened.witness,
            // Wherever this process goes, and whatever becomes of its directory.
            options: options.at(db_file.said()),
            frames,
            frame,
        };
        let parts = Parts {
            database: opened.database,
            shown: options.path().display().to_string(),
            options: options.store.clone(),
        };
        Ok(Self::begin(parts, Arc::new(reader), keeper, start.writer(), None).await)
    }

    /// Starts the writer and what is to be done on a schedule.
    pub(crate) async fn begin(
        parts: Parts,
        reader: Arc<dyn Reader>,
        keeper: Arc<Keeper>,
        backend: impl Backend,
        folds: Option<Folds>,
    ) -> Self {
        let (writes, queue) = mpsc::channel(parts.options.queue);
        let folds = folds.unwrap_or_else(|| {
            let (reader, writes) = (Arc::clone(&reader), writes.downgrade());
            Folds::new(O::FOLDS, Arc::new(ByTheWriter { reader, writes }))
        });
        let duplicates = Duplicates::new(O::SPECS.len());
        // What cannot be read now is looked for again before anything is removed.
        let loaded = keeper.load(&*reader).await;
        if parts.options.trust_clock {
            keeper.trust();
        }
        let pulse = Pulse::new(parts.options.metrics_prefix);
        let appended = folds.appended.clone();
        let run = crate::store::writer::run(backend, duplicates.clone(), appended, pulse.clone(), queue);
        tokio::spawn(run.in_current_span());
        let ended = CancellationToken::new();
        // One that runs for long does what others have left: a command that asks or sends one thing does not.
        let left = parts.options.retention.is_some();
        if let Some(every) = parts.options.folding {
            let folding = folds.clone().keep_going(every, left, Arc::clone(&reader), ended.clone());
            tokio::spawn(folding.in_current_span());
        }
        if let Some(retention) = parts.options.retention {
            let (reader, writes) = (Arc::clone(&reader), writes.downgrade());
            let (keeper, folds, loaded) = (Arc::clone(&keeper), folds.clone(), loaded.is_ok());
            let kept = retention::keep_going(retention, keeper, loaded, folds, reader, writes, ended.clone());
            tokio::spawn(kept.in_current_span());
        }
        let shared = Shared {
            writes,
            pulse,
            reader,
            duplicates,
            future_tolerance: parts.options.future_tolerance,
            answer_bytes: parts.options.answer_bytes,
            past_tolerance: parts.options.past_tolerance,
            keeper,
            folds,
            folding: parts.options.folding.map(|_| left),
            database: parts.database,
            shown: parts.shown,
            ended: ended.clone(),
            _running: ended.drop_guard(),
        };
        Self { shared: Arc::new(shared), operation: PhantomData }
    }

    /// The id that this database was given at its creation.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.shared.database
    }

    /// The file or the server, for people.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shared.shown
    }

    /// What is wrong with the file, as long as something is: that it was deleted or replaced while it is open, for one. Every
    /// operation is refused with this sentence then, class `Backend`; what is said here is in the log as well. It is looked
    /// at before every answer, and twice a second.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.reader.trouble().borrow().clone()
    }

    /// The same, now and on every change.
    #[must_use]
    pub fn watch_trouble(&self) -> watch::Receiver<Option<String>> {
        self.shared.reader.trouble()
    }

    /// What else is wrong with the file or its disk, now and on every change.
    pub(crate) fn watch_concerns(&self) -> watch::Receiver<crate::store::Concerns> {
        self.shared.reader.concerns()
    }

    /// How often the operation of this index came and had no effect, because the ledger knew it already: as a late delivery
    /// of what was served another way, as a redelivery, or as a client's second try. Counted since this was opened.
    #[must_use]
    pub fn duplicates(&self, index: usize) -> u64 {
        self.shared.duplicates.of(index)
    }

    /// A pool of connections that can only read, for queries of one's own, if the database is SQLite.
    #[must_use]
    pub fn readers(&self) -> Option<&SqlitePool> {
        self.shared.reader.sqlite()
    }

    /// How far in the future something may claim to have happened.
    #[must_use]
    pub fn future_tolerance(&self) -> Duration {
        self.shared.future_tolerance
    }

    /// Waits for a sign of life of the writer: at most for the transaction it is in. Says nothing of the disk
    /// or of locks, which operations tell. Cancel safe.
    ///
    /// # Errors
    /// `overloaded` when the queue is full, `database` when the writer has ended.
    pub async fn ping(&self) -> Result<(), Cause> {
        let (tx, rx) = oneshot::channel();
        self.enqueue(Item::Ping(tx))?;
        rx.await.map_err(|_| closed())
    }

    /// Waits until the writer has done what was handed to it before this call. Cancel safe.
    ///
    /// # Errors
    /// As [`ping`](Self::ping).
    pub async fn barrier(&self) -> Result<(), Cause> {
        let (tx, rx) = oneshot::channel();
        self.enqueue(Item::Barrier(tx))?;
        rx.await.map_err(|_| closed())
    }

    /// Keeps something that could not be understood; waits for the commit.
    ///
    /// # Errors
    /// Those of a write: nothing is kept then.
    pub async fn keep_dead_letter(&self, letter: DeadLetter) -> Result<(), Cause> {
        let (tx, rx) = oneshot::channel();
        self.enqueue(Item::DeadLetter(letter, tx))?;
        rx.await.map_err(|_| error::vanished())?
    }

    /// Removes what is too old at the time `now`, in unix milliseconds, and returns how much of what. A service does
    /// so by itself, see [`SqliteOptions::retention`]. Two may do it at the same time. Dropping the future ends it after
    /// the transaction it is in.
    ///
    /// # Errors
    /// The first failure. What was removed until then stays removed.
    pub async fn sweep(&self, retention: &Retention, now: i64) -> Result<Purged, Cause> {
        let (writes, folds) = (self.shared.writes.downgrade(), &self.shared.folds);
        retention::round(retention, now, None, folds, &*self.shared.reader, &writes).await
    }

    /// Folds what operations have appended until now, and returns how many rows that were (see
    /// [`Fold`](crate::operation::Fold)). A service does so by itself. Dropping the future ends it after the transaction it is
    /// in.
    ///
    /// # Errors
    /// The first failure; `busy` when another process folds all the time. What was folded until then stays folded.
    pub async fn fold(&self) -> Result<u64, Cause> {
        self.shared.folds.all().await
    }

    /// Ends the writer once everything handed to it is committed, and closes the file, within a limit. Requests from now on are
    /// refused. If no other process has it open, all of it is in the one file then, and what was appended is folded there.
    pub async fn close(&self) {
        self.shared.ended.cancel();
        if let Some(left) = self.shared.folding {
            let _ = tokio::time::timeout(FOLDING, self.shared.folds.end(left)).await;
        }
        // The last one to close moves the log into the file, and a reader could not.
        let readers = async { tokio::join!(self.shared.reader.close(), self.shared.folds.close()) };
        let _ = tokio::time::timeout(LAST, readers).await;
        let (tx, rx) = oneshot::channel();
        // A writer that has ended already is closed.
        if self.shared.writes.send(Item::Close(tx)).await.is_ok() {
            let closed = tokio::time::timeout(LAST, rx).await;
            if closed.is_err() {
                tracing::error!(
                    "the database did not close within {LAST:?}; exiting anyway; what was committed stays"
                );
            }
        }
    }

    fn enqueue(&self, item: Item) -> Result<(), Cause> {
        self.shared.writes.try_send(item).map_err(|e| match e {
            TrySendError::Full(_) => {
                Cause::new(Code::OVERLOADED, "the queue in front of the database is full")
            }
            TrySendError::Closed(_) => closed(),
        })
    }
}
