//! Which path the log has named.

#[path = "../../src/logging/path_change/state.rs"]
mod state;

mod sync {
    pub(super) use crate::clock::Instant;
    pub(super) use loom::sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    };
}

/// As `state` knows it: the lines are kept.
mod line {
    use std::{cell::RefCell, sync::OnceLock, time::Duration};

    pub(super) const OUTAGE: Duration = Duration::from_secs(1);
    pub(super) const PATHS: usize = 8;

    pub(super) struct Line<'a> {
        pub(super) tags: &'a [OnceLock<&'static str>],
        pub(super) path: usize,
        pub(super) what: &'a str,
        pub(super) again: bool,
        pub(super) calls: [u64; PATHS + 1],
        pub(super) failed: u64,
        pub(super) before: Duration,
        pub(super) outage: Duration,
    }

    /// What a line says: the tag of the path, how many calls other paths and this one have served, and how many have failed.
    pub(super) type Said = (&'static str, u64, u64);

    thread_local! {
        static SAID: RefCell<Vec<Said>> = const { RefCell::new(Vec::new()) };
    }

    impl Line<'_> {
        pub(super) fn tell(&self) {
            let tag = self.tags[self.path].get().copied().unwrap_or_default();
            SAID.with_borrow_mut(|said| said.push((tag, self.calls.iter().sum(), self.failed)));
        }
    }

    pub(super) fn said() -> Vec<Said> {
        SAID.take()
    }
}

use state::State;

mod tests {
    use super::{State, line::said};
    use crate::{clock, preempted};
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    /// NATS was named, and has served one call since.
    fn named() -> State {
        clock::set(Duration::ZERO);
        let state = State::default();
        state.served("NATS");
        assert_eq!(said(), [("NATS", 0, 0)]);
        clock::set(SECOND * 10);
        state
    }

    /// Names another path, so that everything is told which was counted since.
    fn flush(state: &State) {
        clock::set(SECOND * 100);
        state.served("OUTBOX");
    }

    #[test]
    fn of_calls_at_once_over_another_path_one_names_it_and_all_are_counted() {
        fn db(state: &State) {
            state.served("DB");
        }
        preempted(2, named, &[db, db], |state| {
            flush(state);
            let [("DB", before, 0), ("OUTBOX", since, 0)] = said()[..] else { panic!("two lines") };
            // The one that NATS has served, and both of these.
            assert_eq!(before + since, 3);
        });
    }

    #[test]
    fn calls_over_several_paths_at_once_are_counted_each_by_its_own_and_the_last_line_is_true() {
        preempted(
            2,
            named,
            &[
                |state: &State| state.served("DB"),
                |state| state.served("OTHER"),
                |state| state.served("NATS"),
            ],
            |state| {
                flush(state);
                let said = said();
                assert!(
                    said.len() <= 3,
                    "named once each at most, and not again within the interval: {said:?}"
                );
                assert_eq!(said.last().map(|(tag, ..)| *tag), Some("OUTBOX"));
                assert_eq!(said.iter().map(|(_, calls, _)| calls).sum::<u64>(), 4, "{said:?}");
            },
        );
    }

    #[test]
    fn no_failure_goes_uncounted_and_an_outage_ends_with_the_next_success() {
        preempted(2, named, &[State::failed, State::failed, |state: &State| state.served("NATS")], |state| {
            // Ends the failures, unless that has happened.
            state.served("NATS");
            // Half a second later is no outage, so nothing of the former one is left.
            clock::set(SECOND * 50);
            state.failed();
            clock::set(SECOND * 50 + SECOND / 2);
            state.served("NATS");
            assert_eq!(said(), []);
            flush(state);
            assert_eq!(said(), [("OUTBOX", 4, 3)]);
        });
    }
}
