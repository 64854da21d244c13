//! What a caller holds of a circuit: a reservation before the call, a permit during the call. Both release it on
//! drop.

use super::{
    Rejected,
    shared::{Admission, Shared},
};
use crate::{Class, Failure, held::Held};
use std::{
    cell::Cell,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};
use tokio::time::{Instant, Sleep, sleep_until};

/// The state of one instance between `poll_ready` and `call`.
///
/// In a half-open generation, an admitted reservation holds a lease, from [`Reservation::enter`] until the permit or the
/// reservation is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    pub(super) shared: Held<Shared>,
    pub(super) readiness: Readiness,
    /// The slot among the waiters, while the inner service or the circuit is waited for.
    key: Option<usize>,
    /// Until the circuit may be asked again; only with [`Config::unready_when_open`](super::Config::unready_when_open).
    timer: Option<Pin<Box<Sleep>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Readiness {
    Undecided,
    /// Admitted; the inner service is not ready yet.
    Waits {
        generation: u32,
    },
    /// Admitted, and the inner service is ready.
    Ready {
        generation: u32,
    },
    /// Rejected; the inner service was not polled.
    Rejected(Rejected),
}

impl Reservation {
    pub(super) const fn new(shared: Held<Shared>) -> Self {
        Self { shared, readiness: Readiness::Undecided, key: None, timer: None }
    }

    /// Asks the circuit for admission. Must not be called while it is admitted, because it may hold a lease.
    #[inline]
    pub(super) fn enter(&mut self) {
        self.readiness = match self.shared.admit() {
            Admission::Pass { generation } => Readiness::Waits { generation },
            Admission::Reject(rejected) => Readiness::Rejected(rejected),
        };
    }

    /// Asks the circuit for admission until it admits. Must not be called while it is admitted.
    pub(super) fn poll_enter(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // CORRECTNESS: registered before the circuit is asked, so that a change after the answer wakes this task.
            self.shared.waiters.register(&mut self.key, cx.waker());
            self.enter();
            let Readiness::Rejected(rejected) = self.readiness else {
                self.timer = None;
                return Poll::Ready(());
            };
            self.readiness = Readiness::Undecided;
            let Some(after) = rejected.retry_after() else { return Poll::Pending };
            let due = Instant::now().checked_add(after);
            let Some(due) = due else { return Poll::Pending }; // not in this life
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            timer.as_mut().reset(due);
            ready!(timer.as_mut().poll(cx));
        }
    }

    /// Releases what the turn holds.
    #[inline]
    pub(super) fn release(&mut self) {
        self.shared.waiters.release(&mut self.key);
        if let Readiness::Waits { generation } | Readiness::Ready { generation } =
            mem::replace(&mut self.readiness, Readiness::Undecided)
        {
            self.shared.neutral(generation);
        }
    }

    /// Registers the waker of a task whose inner service is pending, to be woken when the circuit changes.
    /// Returns `false` if the circuit has changed already.
    pub(super) fn wait(&mut self, generation: u32, waker: &Waker) -> bool {
        self.shared.waiters.register(&mut self.key, waker);
        self.shared.state.load().generation == generation
    }

    /// Records that the inner service is ready.
    #[inline]
    pub(super) fn ready(&mut self, generation: u32) {
        self.shared.waiters.release(&mut self.key);
        self.readiness = Readiness::Ready { generation };
    }

    /// Turns the turn into a permit for one call. If the circuit has changed since, asks it again.
    #[inline]
    pub(super) fn pass(&mut self) -> Result<CallPermit, Rejected> {
        match self.readiness {
            Readiness::Ready { generation } if self.shared.state.load().generation == generation => {
                self.readiness = Readiness::Undecided; // the lease, if any, moves into the permit
                Ok(CallPermit::new(self.shared.clone(), generation))
            }
            _ => {
                self.release();
                CallPermit::ask(&self.shared)
            }
        }
    }
}

impl Drop for Reservation {
    #[inline]
    fn drop(&mut self) {
        self.release();
    }
}

/// The right of one call to report its outcome. Dropped without an outcome, it counts as a failure if the inner
/// service has panicked, or if the call was slow and that was asked for; otherwise not at all.
#[derive(Debug)]
pub(super) struct CallPermit {
    shared: Held<Shared>,
    generation: u32,
    start: Option<Instant>,
    finished: bool,
    /// Whether the inner service is running right now: dropped meanwhile, it has panicked.
    inside: bool,
}

impl CallPermit {
    /// Asks the circuit for admission of one call.
    #[inline]
    pub(super) fn ask(shared: &Held<Shared>) -> Result<Self, Rejected> {
        match shared.admit() {
            Admission::Pass { generation } => Ok(Self::new(shared.clone(), generation)),
            Admission::Reject(rejected) => Err(rejected),
        }
    }

    #[inline]
    fn new(shared: Held<Shared>, generation: u32) -> Self {
        let start = shared.config.slow_calls_fail.then(Instant::now);
        Self { shared, generation, start, finished: false, inside: false }
    }

    /// The inner service begins to run. If it panics, the call has failed.
    #[inline]
    pub(super) const fn enters(&mut self) {
        self.inside = true;
    }

    /// The inner service has returned.
    #[inline]
    pub(super) const fn leaves(&mut self) {
        self.inside = false;
    }

    /// The call is pending: from here on it may become slow.
    #[inline]
    pub(super) fn waits(&mut self) {
        self.leaves();
        if self.shared.config.slow_drops_fail {
            self.start.get_or_insert_with(Instant::now);
        }
    }

    #[inline]
    fn is_slow(&self) -> bool {
        self.start.is_some_and(|start| start.elapsed() >= self.shared.config.slow_after)
    }

    /// Whether a drop counts as a failure.
    #[inline]
    fn is_given_up(&self) -> bool {
        self.shared.config.slow_drops_fail && self.is_slow()
    }

    #[inline]
    pub(super) fn finish(&mut self, failure: Option<Failure>) {
        self.finished = true;
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

thread_local! {
    static NEUTRAL: Cell<bool> = const { Cell::new(false) };
}

/// Runs `drop_loser`, which drops a call that has lost a race and was not given up: no breaker on its way
/// counts it as a failure.
#[cfg(feature = "hedge")]
pub(crate) fn neutrally(drop_loser: impl FnOnce()) {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            NEUTRAL.set(self.0);
        }
    }
    let _restore = Restore(NEUTRAL.replace(true));
    drop_loser();
}

impl Drop for CallPermit {
    #[inline]
    fn drop(&mut self) {
        if self.finished {
        } else if self.inside || (self.is_given_up() && !NEUTRAL.get()) {
            self.shared.failed(self.generation);
        } else {
            self.shared.neutral(self.generation);
        }
    }
}
