//! The outbox: a third path for events, for when neither NATS nor the database takes them.
//!
//! ```text
//! nats.fallback_to(db).fallback_to(outbox)
//! ```
//!
//! A file of its own (never the database that has just failed) keeps each event under its id until a path returns; a
//! [`Replayer`] then offers them again, the oldest first, with the ids, times and traces they came with. Operations are
//! order-free and the ledger knows every id: an event that had taken effect after all, or is offered twice, has no
//! second effect.

mod batch;
mod connection;
mod counts;
mod cursor;
mod entry;
mod error;
mod file;
mod future;
mod gauge;
mod list;
mod log;
mod options;
mod pace;
mod pass;
mod replay;
mod store;
mod time;
mod writer;

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tower::Service;
use tracing::Instrument;

pub use counts::{Counts, Retried, Which};
pub use error::OutboxError;
pub use future::OutboxFuture;
pub use list::{Listing, Refusal, Rows, list};
pub use options::{MAX_REPLAY_AGE, OutboxOptions};
pub use pass::{ReplayPass, Replayed};
pub use replay::Replayer;

use crate::error::{Cause, Code, Error};
use crate::namespace::Namespace;
use crate::operation::{Kind, Operation};
use crate::reply::Reply;
use crate::request::Request;
use entry::{NewEntry, StoredEntry};
use writer::Item;

/// Keeps events in a file until a path returns. A path of its own: answers [`Ack::Stored`](crate::Ack::Stored) by way of
/// [`Via::OUTBOX`](crate::Via::OUTBOX) once the event is as durable as
/// [`synchronous`](OutboxOptions::synchronous) says.
///
/// **Takes events only.** A call needs its answer and a query reads: both are refused with class `NotSent`, so that of
/// several errors a heavier one stands.
///
/// **Once per id**: the same event again is kept once; the same id with another operation or payload is refused as
/// `id_reused`, as the ledger does. An event that was set aside (refused, too old) is refused.
///
/// **Bounded**: beyond [`most_events`](OutboxOptions::most_events) or [`most_bytes`](OutboxOptions::most_bytes) it refuses
/// as `storage`, beyond its queue as `overloaded`, both of class `Backend`.
///
/// **Watched** through the facade crate `metrics`: the gauges `eitherway_outbox_events` (label `state`: `waiting`, `refused`,
/// `expired`) and `eitherway_outbox_bytes`; those of several outboxes in one process add up. Install the recorder before it is opened.
///
/// Always ready. Dropping a future takes back nothing that was handed over. Clones share one file, held under an
/// exclusive lock until the last clone is dropped or [`close`](Self::close) was called.
pub struct OutboxService<O> {
    shared: Arc<Shared>,
    operation: PhantomData<fn(O)>,
}

struct Shared {
    items: mpsc::Sender<Item>,
    counts: watch::Receiver<Counts>,
    options: OutboxOptions,
    namespace: Namespace,
}

impl<O> Clone for OutboxService<O> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), operation: PhantomData }
    }
}

impl<O> fmt::Debug for OutboxService<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxService")
            .field("path", &self.path())
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl<O> OutboxService<O> {
    /// Opens the outbox, and takes the lock on it; creates the file if it is missing.
    ///
    /// # Errors
    /// When another process holds it; when the file is damaged, another program's, newer than this program, or kept for
    /// another namespace. Nothing is changed then.
    pub async fn open(options: &OutboxOptions) -> Result<Self, OutboxError> {
        let opened = file::open(options).await?;
        let store::Totals { waiting, refused, expired, bytes, .. } = opened.held;
        let (published, counts) = watch::channel(Counts { waiting, refused, expired, bytes });
        let namespace = opened.namespace.clone();
        let (items, queue) = mpsc::channel(options.queue);
        tokio::spawn(writer::run(opened, options.clone(), published, queue).in_current_span());
        let shared = Shared { items, counts, options: options.clone(), namespace };
        Ok(Self { shared: Arc::new(shared), operation: PhantomData })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.shared.options.path()
    }

    /// The namespace whose events it keeps.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.shared.namespace
    }

    /// What it holds now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// What it holds, now and on every change.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Counts> {
        self.shared.counts.clone()
    }

    /// When the oldest event that waits was taken, in unix milliseconds. Cancel safe.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub async fn oldest(&self) -> Result<Option<i64>, Cause> {
        Ok(self.next(0, i64::MIN, 1).await?.first().map(|entry| entry.taken_at))
    }

    /// Puts what was refused back to what waits, to be offered again under the same id, behind what waits already: all of it,
    /// or the event of this id. What is older than [`MAX_REPLAY_AGE`], counted from when it was first taken, stays where it is. A
    /// call that is dropped may have done it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn retry(&self, id: Option<&str>) -> Result<Retried, Cause> {
        self.ask(|told| Item::Retry(id.map(str::to_owned), told)).await
    }

    /// Removes events permanently; returns how many. They are never applied then. A call that is dropped may have done it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn discard(&self, which: Which) -> Result<u64, Cause> {
        self.ask(|told| Item::Drop(which, told)).await
    }

    /// Closes the file once everything handed over is kept, and gives the lock back. Requests from now on are refused.
    pub async fn close(&self) {
        let (tx, rx) = oneshot::channel();
        // One that has ended already is closed.
        if self.shared.items.send(Item::Close(tx)).await.is_ok() {
            let _ = rx.await;
        }
    }

    /// The oldest events behind a number that were taken after a time.
    async fn next(&self, after: i64, horizon: i64, most: u32) -> Result<Vec<StoredEntry>, Cause> {
        self.ask(|told| Item::Next(after, horizon, most, told)).await
    }

    /// Removes events that a path has taken.
    async fn forget(&self, entries: &[StoredEntry]) -> Result<(), Cause> {
        let seqs = entries.iter().map(|entry| entry.seq).collect();
        let bytes = entries.iter().map(StoredEntry::bytes).sum();
        self.ask(|told| Item::Forget(seqs, bytes, told)).await
    }

    /// Sets an event aside that was refused.
    async fn refuse(&self, entry: &StoredEntry, cause: Cause) -> Result<(), Cause> {
        self.ask(|told| Item::Refuse(entry.seq, cause, told)).await
    }

    /// Sets aside what was taken until a time; returns how many.
    async fn expire(&self, horizon: i64) -> Result<u64, Cause> {
        self.ask(|told| Item::Expire(horizon, told)).await
    }

    async fn ask<T>(&self, item: impl FnOnce(oneshot::Sender<Result<T, Cause>>) -> Item) -> Result<T, Cause> {
        let (tx, rx) = oneshot::channel();
        self.shared.items.send(item(tx)).await.map_err(|_| closed())?;
        rx.await.unwrap_or_else(|_| Err(future::vanished()))
    }
}

impl<O: Operation> OutboxService<O> {
    fn start(&self, request: &Request<O>) -> Result<oneshot::Receiver<Result<(), Cause>>, Cause> {
        if request.op.spec().kind != Kind::Event {
            let why = "the outbox keeps events, and neither calls nor queries";
            return Err(Cause::new(Code::UNAVAILABLE, why));
        }
        let (tx, rx) = oneshot::channel();
        self.shared
            .items
            .try_send(Item::NewEntry(NewEntry::new(request, &self.shared.options)?, tx))
            .map_err(|e| match e {
                TrySendError::Full(_) => {
                    Cause::new(Code::OVERLOADED, "the queue in front of the outbox is full")
                }
                TrySendError::Closed(_) => closed(),
            })?;
        Ok(rx)
    }
}

fn closed() -> Cause {
    Cause::new(Code::UNAVAILABLE, "the outbox is closed")
}

impl<O: Operation> Service<Request<O>> for OutboxService<O> {
    type Response = Reply<O::Answer>;
    type Error = Error<O>;
    type Future = OutboxFuture<O>;

    /// Always ready: what cannot be kept is refused by `call`.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<O>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<O>) -> OutboxFuture<O> {
        match self.start(&request) {
            Ok(rx) => OutboxFuture::writing(rx, request),
            Err(cause) => OutboxFuture::refused(Error::new(cause, request)),
        }
    }
}
