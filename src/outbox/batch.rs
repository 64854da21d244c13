//! Events that wait to be written, taken together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tokio::sync::oneshot;

use super::entry::NewEntry;
use crate::error::{Cause, Code};

/// The most events in a transaction: keeps it short.
const MOST: usize = 512;
/// The most bytes in a transaction.
const MOST_BYTES: u64 = 1 << 20;

/// The caller that waits until its event is kept.
pub(super) type Waiter = oneshot::Sender<Result<(), Cause>>;

/// What is waiting, taken together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) puts: Vec<NewEntry>,
    /// Who waits for each of `puts`; several, if the same request came more than once.
    waiting: Vec<Vec<Waiter>>,
    by_id: HashMap<String, usize>,
    /// Who used the id of one of `puts` for something else.
    id_conflicts: Vec<(usize, Waiter)>,
    bytes: u64,
}

impl Batch {
    pub(super) fn add(&mut self, put: NewEntry, waiter: Waiter) {
        self.bytes += put.bytes();
        match self.by_id.entry(put.id.clone()) {
            Entry::Vacant(place) => {
                place.insert(self.puts.len());
                self.puts.push(put);
                self.waiting.push(vec![waiter]);
            }
            Entry::Occupied(first) => {
                let first = *first.get();
                if self.puts[first].same(&put) {
                    self.waiting[first].push(waiter);
                } else {
                    self.id_conflicts.push((first, waiter));
                }
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.puts.len() >= MOST || self.bytes >= MOST_BYTES
    }

    /// Tells all waiters. A waiter that is gone is no reason to stop.
    pub(super) fn tell(self, outcomes: &[Result<(), Cause>]) {
        for (first, waiter) in self.id_conflicts {
            // The id is taken only if the first one took it; otherwise this one has failed with it.
            let _ = waiter.send(outcomes[first].clone().and_then(|()| Err(id_reused())));
        }
        for (outcome, waiting) in outcomes.iter().zip(self.waiting) {
            for waiter in waiting {
                let _ = waiter.send(outcome.clone());
            }
        }
    }
}

pub(super) fn id_reused() -> Cause {
    Cause::new(Code::ID_REUSED, "this id was used for another operation or payload")
}
