//! What is handed to the writer, and what of it is taken together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};

use super::DeadLetter;
use super::record::{Record, Removal};
use crate::deadline::Deadline;
use crate::error::{Cause, Code};
use crate::operation::Operation;
use crate::request::{OpId, Payload, Request, Trace};

/// The most operations in a transaction: keeps it short.
const MOST: usize = 512;
/// The most bytes of payload in a transaction.
const MOST_BYTES: usize = 1 << 20;
/// The answer as JSON.
pub(crate) type Answer = Result<String, Cause>;

/// What is handed to the writer.
pub(crate) enum Item {
    Write(Write, oneshot::Sender<Answer>),
    DeadLetter(DeadLetter, oneshot::Sender<Result<(), Cause>>),
    Removal(Removal, oneshot::Sender<Result<u64, Cause>>),
    Record(Record, oneshot::Sender<Result<(), Cause>>),
    /// Answered as soon as the writer looks.
    Ping(oneshot::Sender<()>),
    /// Answered when everything before it is done.
    Barrier(oneshot::Sender<()>),
    Close(oneshot::Sender<()>),
}

/// Has the writer do it when its turn comes; waits for a place in the queue: for what is in no hurry.
pub(crate) async fn hand_over<T>(
    writes: &mpsc::WeakSender<Item>,
    item: impl FnOnce(oneshot::Sender<Result<T, Cause>>) -> Item,
) -> Result<T, Cause> {
    let (tx, rx) = oneshot::channel();
    let sender = writes.upgrade().ok_or_else(closed)?;
    sender.send(item(tx)).await.map_err(|_| closed())?;
    drop(sender);
    rx.await.map_err(|_| closed())?
}

/// An operation as the batch takes it.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) id: OpId,
    pub(crate) index: usize,
    pub(crate) occurred_at: i64,
    pub(crate) trace: Option<Arc<Trace>>,
    pub(crate) deadline: Option<Deadline>,
    /// A JSON object: with what is derived from it.
    pub(crate) payload: Payload,
    /// Of operation and payload: the same id must not come with another one.
    pub(crate) hash: i64,
    /// The most bytes of its answer, if that is a list.
    pub(crate) answer_bytes: usize,
    /// See [`Spec::claim`](crate::operation::Spec::claim).
    pub(crate) claim: bool,
    /// Since when it waits, also for a lock.
    pub(crate) since: Instant,
}

impl Write {
    /// A request, as the batch takes it.
    ///
    /// # Errors
    /// When its payload cannot be encoded.
    pub(crate) fn new<O: Operation>(
        request: &Request<O>,
        index: usize,
        answer_bytes: usize,
    ) -> Result<Self, Cause> {
        let mut hash = Sha256::new();
        hash.update(O::NAMES[index]);
        hash.update([0]);
        hash.update(request.op.payload()?);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.finalize()[..8]);
        Ok(Self {
            id: request.head.id.clone(),
            index,
            occurred_at: request.head.occurred_at,
            trace: request.head.trace.clone(),
            deadline: request.head.deadline,
            payload: request.op.bound()?,
            hash: i64::from_be_bytes(first),
            answer_bytes,
            claim: O::SPECS[index].claim,
            since: Instant::now(),
        })
    }
}

/// What is waiting, taken together.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) writes: Vec<Write>,
    /// Who waits for each of `writes`; several, if the same request came more than once.
    pub(crate) waiting: Vec<Vec<oneshot::Sender<Answer>>>,
    by_id: HashMap<OpId, usize>,
    /// Who used the id of one of `writes` for something else.
    pub(crate) id_conflicts: Vec<(usize, oneshot::Sender<Answer>)>,
    pub(crate) letters: Vec<DeadLetter>,
    pub(crate) letters_waiting: Vec<oneshot::Sender<Result<(), Cause>>>,
    /// At most one: its transaction follows that of the operations.
    pub(crate) removal: Option<(Removal, oneshot::Sender<Result<u64, Cause>>)>,
    /// At most one, likewise.
    pub(crate) record: Option<(Record, oneshot::Sender<Result<(), Cause>>)>,
    pub(crate) barriers: Vec<oneshot::Sender<()>>,
    pub(crate) close: Option<oneshot::Sender<()>>,
    bytes: usize,
    /// Whether there is a claim. It is the last of its batch: whether claims have changed something is known of all of a
    /// transaction together.
    claims: bool,
}

impl Batch {
    pub(crate) fn add(&mut self, item: Item) {
        match item {
            Item::Write(write, tx) => self.add_write(write, tx),
            Item::DeadLetter(letter, tx) => {
                self.bytes += letter.payload.len();
                self.letters.push(letter);
                self.letters_waiting.push(tx);
            }
            Item::Removal(removal, tx) => self.removal = Some((removal, tx)),
            Item::Record(record, tx) => self.record = Some((record, tx)),
            Item::Ping(tx) => {
                let _ = tx.send(());
            }
            Item::Barrier(tx) => self.barriers.push(tx),
            Item::Close(tx) => self.close = Some(tx),
        }
    }

    /// One whose caller has gone is dropped, whatever it has waited for.
    fn add_write(&mut self, write: Write, tx: oneshot::Sender<Answer>) {
        if let Some(Err(expired)) = write.deadline.map(Deadline::check) {
            let _ = tx.send(Err(expired));
            return;
        }
        self.bytes += write.payload.len();
        self.claims |= write.claim;
        match self.by_id.entry(write.id.clone()) {
            Entry::Vacant(place) => {
                place.insert(self.writes.len());
                self.writes.push(write);
                self.waiting.push(vec![tx]);
            }
            Entry::Occupied(first) => {
                let first = *first.get();
                let known = &self.writes[first];
                if (known.index, known.hash) == (write.index, write.hash) {
                    self.waiting[first].push(tx);
                } else {
                    self.id_conflicts.push((first, tx));
                }
            }
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.writes.len() + self.letters.len() >= MOST
            || self.bytes >= MOST_BYTES
            || self.claims
            || self.removal.is_some()
            || self.record.is_some()
            || self.close.is_some()
    }
}

pub(crate) fn id_reused() -> Cause {
    Cause::new(Code::ID_REUSED, "this id was used for another operation or payload")
}

/// The writer has ended, or is told to.
pub(crate) fn closed() -> Cause {
    Cause::new(Code::DATABASE, "the database is closed")
}
