//! The failures that a log still has to sum up.

#[path = "../../src/logging/failure_logs.rs"]
mod flag;

mod sync {
    pub(super) use loom::sync::atomic::{AtomicBool, Ordering};
}

/// As `failure_logs` knows it: every failure is counted only, and has stopped when it is looked for.
mod rate_limit {
    use loom::sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    };
    use std::{fmt::Display, mem, time::Duration};

    #[derive(Debug)]
    pub(super) struct Suppressed;

    pub(super) struct Summary {
        pub(super) unsaid: usize,
    }

    #[derive(Debug)]
    pub(super) struct RateLimitedLog {
        going_on: AtomicBool,
        unsaid: Mutex<usize>,
    }

    impl RateLimitedLog {
        pub(super) fn new() -> Self {
            Self { going_on: AtomicBool::new(false), unsaid: Mutex::new(0) }
        }

        pub(super) fn every(self, _: Duration) -> Self {
            self
        }

        pub(super) fn record_with(&self, _: &dyn Display) -> Option<Suppressed> {
            let mut unsaid = self.unsaid.lock().expect("no thread has panicked");
            *unsaid += 1;
            self.going_on.store(true, Relaxed);
            None
        }

        pub(super) fn is_going_on(&self) -> bool {
            self.going_on.load(Relaxed)
        }

        pub(super) fn recovered(&self) -> Option<Summary> {
            if self.is_going_on() { self.end(self.unsaid.try_lock().ok()?) } else { None }
        }

        pub(super) fn flush(&self) -> Option<Summary> {
            self.end(self.unsaid.lock().expect("no thread has panicked"))
        }

        fn end(&self, mut unsaid: loom::sync::MutexGuard<'_, usize>) -> Option<Summary> {
            self.going_on.store(false, Relaxed);
            Some(Summary { unsaid: mem::take(&mut *unsaid) })
        }
    }
}

mod tests {
    use super::flag::FailureLogs;
    use crate::preempted;
    use std::{
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
        time::Duration,
    };

    struct Log {
        failures: FailureLogs<2>,
        /// How many failures were told of. Not a part of the model.
        told: AtomicUsize,
    }

    impl Log {
        fn new() -> Self {
            Self { failures: FailureLogs::every(Duration::ZERO), told: AtomicUsize::new(0) }
        }

        fn fails(&self) {
            assert!(self.failures.record(0, &"why").is_none());
        }

        fn fails_otherwise(&self) {
            assert!(self.failures.record(1, &"why").is_none());
        }

        fn looks(&self) {
            self.failures.look(|_, past| {
                self.told.fetch_add(past.unsaid, SeqCst);
            });
        }
    }

    /// A look when all is over reports what no other look has reported.
    fn nothing_is_untold(log: &Log, failures: usize) {
        log.looks();
        assert_eq!(log.told.load(SeqCst), failures);
        log.failures.flush(|_, past| assert_eq!(past.unsaid, 0));
    }

    #[test]
    fn a_failure_beside_one_who_looks_is_told_of_by_the_next() {
        let failing = || {
            let log = Log::new();
            log.fails();
            log
        };
        preempted(2, failing, &[Log::fails, Log::looks, Log::looks], |log| nothing_is_untold(log, 2));
    }

    #[test]
    fn failures_of_two_kinds_at_once_are_both_told_of() {
        preempted(2, Log::new, &[Log::fails, Log::fails_otherwise, Log::looks], |log| {
            nothing_is_untold(log, 2);
        });
    }
}
