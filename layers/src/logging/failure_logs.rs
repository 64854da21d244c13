//! The failures of a log that repeat: which of them to log, and which are still to be summed up.
//!
//! The flag comes from `super::sync`, so that a model checker can replace it.

use super::{
    rate_limit::{RateLimitedLog, Summary, Suppressed},
    sync::{
        AtomicBool,
        Ordering::{AcqRel, Relaxed},
    },
};
use std::{array, fmt::Display, time::Duration};

/// The logs of `KINDS` kinds of failures, by their index.
#[derive(Debug)]
pub(super) struct FailureLogs<const KINDS: usize> {
    kinds: [RateLimitedLog; KINDS],
    /// Whether any failure may still have to be reported. The only thing that a call without a failure reads.
    failing: AtomicBool,
}

impl<const KINDS: usize> FailureLogs<KINDS> {
    /// None yet, and at most one line of a kind in this time.
    pub(super) fn every(interval: Duration) -> Self {
        let kinds = array::from_fn(|_| RateLimitedLog::new().every(interval));
        Self { kinds, failing: AtomicBool::new(false) }
    }

    /// Records a failure with this reason. Returns `Some` if it is to be logged.
    pub(super) fn record(&self, kind: usize, reason: &dyn Display) -> Option<Suppressed> {
        let said = self.kinds[kind].record_with(reason);
        // Not a store: a thread that clears the flag after it has to see the failure.
        self.failing.swap(true, AcqRel);
        said
    }

    /// Tells of the kinds that have stopped.
    #[inline]
    pub(super) fn look(&self, tell: impl Fn(usize, Summary)) {
        if self.failing.load(Relaxed) {
            self.report(RateLimitedLog::recovered, tell);
        }
    }

    /// Tells of what no line has reported yet.
    pub(super) fn flush(&self, tell: impl Fn(usize, Summary)) {
        self.report(RateLimitedLog::flush, tell);
    }

    #[cold]
    fn report(&self, end: impl Fn(&RateLimitedLog) -> Option<Summary>, tell: impl Fn(usize, Summary)) {
        for (kind, log) in self.kinds.iter().enumerate() {
            if let Some(past) = end(log) {
                tell(kind, past);
            }
        }
        let goes_on = || self.kinds.iter().any(RateLimitedLog::is_going_on);
        // Cleared only when all failures have stopped, so that concurrent calls share the flag; the second
        // check catches a failure that is recorded in between.
        if !goes_on() {
            self.failing.swap(false, AcqRel);
            if goes_on() {
                self.failing.swap(true, AcqRel);
            }
        }
    }
}
