//! What is measured of a writer: how long its transactions take, how many operations each holds, and when it last turned to
//! its queue. Through the facade crate `metrics`, as the layers count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use eitherway_layers::{Class, Classify};
use metrics::{Counter, Histogram, Unit};
use parking_lot::Mutex;

use crate::error::Cause;

/// The measures of one writer. Clones are the same ones.
#[derive(Clone)]
pub(crate) struct Pulse {
    born: Instant,
    /// When it last turned to its queue, in milliseconds since then.
    turned: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    failing: Arc<Failing>,
    took: Histogram,
    operations: Histogram,
    committed: Counter,
    failed: Counter,
}

/// Why the writer cannot write, as far as its last try has told.
#[derive(Default)]
struct Failing {
    /// Whether there is something below: looked at with every commit.
    is_so: AtomicBool,
    why: Mutex<Option<(Cause, Instant)>>,
}

/// For so long nothing must have failed before it is tried whether the writer can write again.
const QUIET: Duration = Duration::from_secs(5);

impl Pulse {
    /// `{prefix}_commit_duration_seconds`, `{prefix}_commit_operations` and `{prefix}_commits_total{outcome}`. Resolves the
    /// handles: the recorder must have been installed before.
    pub(crate) fn new(prefix: &str) -> Self {
        let name = |rest| format!("{prefix}_{rest}");
        let (took, operations) = (name("commit_duration_seconds"), name("commit_operations"));
        let commits = name("commits_total");
        metrics::describe_histogram!(
            took.clone(),
            Unit::Seconds,
            "How long the writer's transactions took, with what they waited for the lock."
        );
        metrics::describe_histogram!(
            operations.clone(),
            Unit::Count,
            "How many operations were committed in one transaction."
        );
        metrics::describe_counter!(
            commits.clone(),
            Unit::Count,
            "Transactions of the writer, by how they ended."
        );
        let outcome = |outcome: &'static str| metrics::counter!(commits.clone(), "outcome" => outcome);
        Self {
            born: Instant::now(),
            turned: Arc::default(),
            ended: Arc::default(),
            failing: Arc::default(),
            took: metrics::histogram!(took),
            operations: metrics::histogram!(operations),
            committed: outcome("committed"),
            failed: outcome("failed"),
        }
    }

    /// The writer turns to its queue.
    pub(crate) fn turn(&self) {
        let millis = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.turned.store(millis, Ordering::Relaxed);
    }

    /// For how long it has not.
    pub(crate) fn silent(&self) -> Duration {
        self.born.elapsed().saturating_sub(Duration::from_millis(self.turned.load(Ordering::Relaxed)))
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// It has written something.
    pub(crate) fn works(&self) {
        if self.failing.is_so.swap(false, Ordering::Relaxed) {
            *self.failing.why.lock() = None;
        }
    }

    /// It could not write; counts if no operation is to blame.
    pub(crate) fn fails(&self, cause: &Cause) {
        if cause.class() != Class::Rejected {
            *self.failing.why.lock() = Some((cause.clone(), Instant::now()));
            self.failing.is_so.store(true, Ordering::Relaxed);
        }
    }

    /// Why it could not write when it tried last; none if it could, or has not tried yet.
    pub(crate) fn failing(&self) -> Option<Cause> {
        self.failing.why.lock().as_ref().map(|(cause, _)| cause.clone())
    }

    /// Whether it is to be tried: it has failed, and there was no request since.
    pub(crate) fn is_to_be_tried(&self) -> bool {
        self.failing.is_so.load(Ordering::Relaxed)
            && self.failing.why.lock().as_ref().is_some_and(|(_, at)| at.elapsed() >= QUIET)
    }

    /// A transaction of so many operations has ended, which was begun then.
    pub(crate) fn ended(&self, begun: Instant, operations: usize, committed: bool) {
        self.took.record(begun.elapsed());
        if committed {
            #[allow(clippy::cast_precision_loss)] // a batch is small
            self.operations.record(operations as f64);
            self.committed.increment(1);
        } else {
            self.failed.increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_fails_until_it_writes_again_and_not_because_of_an_operation() {
        use crate::error::Code;

        let pulse = Pulse::new("test");
        pulse.fails(&Cause::new(Code::INVALID, "of an operation"));
        assert!(pulse.failing().is_none());
        pulse.fails(&Cause::new(Code::BUSY, "locked"));
        assert_eq!(pulse.failing().map(|cause| cause.code()), Some(Code::BUSY));
        pulse.works();
        assert!(pulse.failing().is_none());
    }

    #[test]
    fn a_writer_that_does_not_turn_to_its_queue_is_silent_since_then() {
        let now = Instant::now();
        let Some(born) = now.checked_sub(Duration::from_secs(60)) else { return };
        let pulse = Pulse { born, ..Pulse::new("test") };
        assert!(pulse.silent() >= Duration::from_secs(60), "it has never turned");
        pulse.turn();
        assert!(pulse.silent() < Duration::from_secs(60));
    }
}
