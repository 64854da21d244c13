//! What a caller holds of a circuit: before the call a gate, during the call a permit. Both give back on drop.

use super::{
    Rejected,
    shared::{Admission, Shared},
};
use crate::{Class, Failure};
use std::{mem, sync::Arc, task::Waker};
use tokio::time::Instant;

/// One instance's way from `poll_ready` to `call`.
///
/// In a half-open generation a turn that may go on holds a lease, from [`Gate::enter`] until the permit or the gate is
/// dropped.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) shared: Arc<Shared>,
    pub(super) turn: Turn,
    /// The slot among the waiters, while the inner service is pending.
    key: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Undecided,
    /// May go on; the inner service is not ready yet.
    Waits {
        generation: u32,
    },
    /// May go on, and the inner service is ready.
    Ready {
        generation: u32,
    },
    /// Rejected; the inner service was not asked.
    Rejected(Rejected),
}

impl Gate {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, turn: Turn::Undecided, key: None }
    }

    /// Asks the circuit. Only with no turn: a turn may hold a lease.
    #[inline]
    pub(super) fn enter(&mut self) {
        self.turn = match self.shared.admit() {
            Admission::Pass { generation } => Turn::Waits { generation },
            Admission::Reject(rejected) => Turn::Rejected(rejected),
        };
    }

    /// Gives back what the turn holds.
    #[inline]
    pub(super) fn leave(&mut self) {
        self.shared.waiters.release(&mut self.key);
        if let Turn::Waits { generation } | Turn::Ready { generation } =
            mem::replace(&mut self.turn, Turn::Undecided)
        {
            self.shared.neutral(generation);
        }
    }

    /// The inner service is pending: wakes this task when the circuit changes, too. Returns false if it has changed.
    pub(super) fn wait(&mut self, generation: u32, waker: &Waker) -> bool {
        self.shared.waiters.register(&mut self.key, waker);
        self.shared.word.load().generation == generation
    }

    /// The inner service is ready, and waits for its call.
    #[inline]
    pub(super) fn ready(&mut self, generation: u32) {
        self.shared.waiters.release(&mut self.key);
        self.turn = Turn::Ready { generation };
    }

    /// Turns the turn into a permit for one call. A circuit that has changed since is asked again.
    #[inline]
    pub(super) fn pass(&mut self) -> Result<Permit, Rejected> {
        if let Turn::Rejected(rejected) = self.turn {
            self.turn = Turn::Undecided;
            return Err(rejected);
        }
        let generation = match self.turn {
            Turn::Ready { generation } if self.shared.word.load().generation == generation => {
                self.turn = Turn::Undecided; // the lease, if any, goes into the permit
                generation
            }
            _ => {
                self.leave();
                match self.shared.admit() {
                    Admission::Pass { generation } => generation,
                    Admission::Reject(rejected) => return Err(rejected),
                }
            }
        };
        Ok(Permit::new(Arc::clone(&self.shared), generation))
    }
}

impl Drop for Gate {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}

/// One call's right to an outcome. Dropped without one, it was slow (a failure) or it says nothing.
#[derive(Debug)]
pub(super) struct Permit {
    shared: Arc<Shared>,
    generation: u32,
    start: Option<Instant>,
    settled: bool,
}

impl Permit {
    #[inline]
    fn new(shared: Arc<Shared>, generation: u32) -> Self {
        let start = shared.config.slow_calls_fail.then(Instant::now);
        Self { shared, generation, start, settled: false }
    }

    /// The call has to wait: from here on it may become slow.
    #[inline]
    pub(super) fn waits(&mut self) {
        self.start.get_or_insert_with(Instant::now);
    }

    #[inline]
    fn is_slow(&self) -> bool {
        self.start.is_some_and(|start| start.elapsed() >= self.shared.config.slow_after)
    }

    #[inline]
    pub(super) fn settle(mut self, failure: Option<Failure>) {
        self.settled = true;
        let neutral = self.shared.config.unsent_is_neutral;
        if neutral && failure.is_some_and(|failure| failure.class == Class::NotSent) {
            return self.shared.neutral(self.generation);
        }
        let about_the_service =
            failure.is_some_and(|failure| !matches!(failure.class, Class::Rejected | Class::TooLarge));
        if about_the_service || (self.shared.config.slow_calls_fail && self.is_slow()) {
            self.shared.failed(self.generation);
        } else {
            self.shared.succeeded(self.generation);
        }
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if self.settled {
        } else if self.is_slow() {
            self.shared.failed(self.generation);
        } else {
            self.shared.neutral(self.generation);
        }
    }
}
