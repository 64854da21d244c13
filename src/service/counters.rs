//! What a service has done, counted by operation: the NATS client counts only what has a reply subject.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;

use crate::error::Cause;

/// What a database service has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Served {
    /// Requests, plain publishes and messages of the stream that were taken.
    pub taken: u64,
    /// Of these: done, and answered or acknowledged if a peer waits for that.
    pub done: u64,
    /// Repeats that came to this database here, over NATS or not, and had no second effect: the ledger knew their ids.
    pub repeated: u64,
    /// Of these: refused, because of what they asked.
    pub refused: u64,
    /// Of these: dropped, because their deadline had passed.
    pub expired: u64,
    /// Of these: failed, because of the database; the sender was told.
    pub failed: u64,
    /// Of these: given back to the stream at the end, not done; another instance or the next start does them.
    pub returned: u64,
    /// Plain publishes that were taken, and could not be applied before the end; only this number knows of them.
    pub lost: u64,
    /// Dead letters that were kept.
    pub buried: u64,
    /// How often requests came faster than they were taken, and some were lost on the way: a client that waits for one takes
    /// another path. Of the whole service, never of an operation.
    #[serde(skip)]
    pub overruns: u64,
}

/// The same, while it is counted.
#[derive(Debug)]
pub(super) struct Counters {
    operations: Vec<Operation>,
    /// Signs of life, and questions what is applied, that clients have asked for.
    asked: AtomicU64,
}

/// One operation's part.
#[derive(Debug, Default)]
pub(super) struct Operation {
    pub(super) taken: AtomicU64,
    pub(super) done: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) returned: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) buried: AtomicU64,
    nanos: AtomicU64,
    last_error: Mutex<String>,
}

impl Counters {
    pub(super) fn new(operations: usize) -> Self {
        Self { operations: (0..operations).map(|_| Operation::default()).collect(), asked: AtomicU64::new(0) }
    }

    /// A client asks for a sign of life.
    pub(super) fn asked(&self) {
        count(&self.asked);
    }

    /// The number of requests so far, of any kind: it changes only when a request comes.
    pub(super) fn wanted(&self) -> u64 {
        let taken = self.operations.iter().map(|operation| operation.taken.load(Ordering::Relaxed));
        taken.sum::<u64>() + self.asked.load(Ordering::Relaxed)
    }

    /// Those of the operation `index`.
    pub(super) fn of(&self, index: usize) -> &Operation {
        &self.operations[index]
    }
}

impl Served {
    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self {
            taken: self.taken + other.taken,
            done: self.done + other.done,
            repeated: self.repeated + other.repeated,
            refused: self.refused + other.refused,
            expired: self.expired + other.expired,
            failed: self.failed + other.failed,
            returned: self.returned + other.returned,
            lost: self.lost + other.lost,
            buried: self.buried + other.buried,
            overruns: self.overruns + other.overruns,
        }
    }
}

impl Operation {
    /// What is counted here.
    pub(super) fn read(&self) -> Served {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Served {
            taken: read(&self.taken),
            done: read(&self.done),
            refused: read(&self.refused),
            expired: read(&self.expired),
            failed: read(&self.failed),
            returned: read(&self.returned),
            lost: read(&self.lost),
            buried: read(&self.buried),
            ..Served::default()
        }
    }

    /// Time that one took, from its arrival here to its end.
    pub(super) fn took(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// One has failed, permanently or for now.
    pub(super) fn note(&self, cause: &Cause) {
        let said = format!("{}:{cause}", cause.code().status);
        *self.last_error.lock() = said;
    }

    /// What the last one failed of: status and sentence, as micro services write it; empty if none has.
    pub(super) fn last_error(&self) -> String {
        self.last_error.lock().clone()
    }

    /// The sum of these times.
    pub(super) fn nanos(&self) -> u64 {
        self.nanos.load(Ordering::Relaxed)
    }
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
