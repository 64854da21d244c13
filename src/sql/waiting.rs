//! What is waiting for the writer, taken together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tokio::sync::oneshot;

use super::DeadLetter;
use super::record::Record;
use super::retention::Removal;
use super::writer::{Answer, Item, Write};
use crate::error::Cause;
use crate::request::OpId;

/// The most operations in a transaction: keeps it short.
const MOST: usize = 512;
/// The most bytes of payload in a transaction.
const MOST_BYTES: usize = 1 << 20;
/// What is waiting, taken together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) writes: Vec<Write>,
    /// Who waits for each of `writes`; several, if the same request came more than once.
    pub(super) waiting: Vec<Vec<oneshot::Sender<Answer>>>,
    by_id: HashMap<OpId, usize>,
    /// Who used the id of one of `writes` for something else.
    pub(super) rivals: Vec<(usize, oneshot::Sender<Answer>)>,
    pub(super) letters: Vec<DeadLetter>,
    pub(super) letters_waiting: Vec<oneshot::Sender<Result<(), Cause>>>,
    /// At the most one: its transaction follows that of the operations.
    pub(super) removal: Option<(Removal, oneshot::Sender<Result<u64, Cause>>)>,
    /// At the most one, likewise.
    pub(super) record: Option<(Record, oneshot::Sender<Result<(), Cause>>)>,
    pub(super) barriers: Vec<oneshot::Sender<()>>,
    pub(super) close: Option<oneshot::Sender<()>>,
    bytes: usize,
    /// Whether there is a claim. It is the last of its batch: whether claims have changed something is known of all of a
    /// transaction together.
    claims: bool,
}

impl Batch {
    pub(super) fn add(&mut self, item: Item) {
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

    fn add_write(&mut self, write: Write, tx: oneshot::Sender<Answer>) {
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
                    self.rivals.push((first, tx));
                }
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.writes.len() + self.letters.len() >= MOST
            || self.bytes >= MOST_BYTES
            || self.claims
            || self.removal.is_some()
            || self.record.is_some()
            || self.close.is_some()
    }
}
