//! The pace of a primary.

#[path = "../../src/hedge/config.rs"]
mod config;
#[path = "../../src/hedge/pace.rs"]
#[allow(unexpected_cfgs, reason = "features of the other crate")]
mod pace;
#[path = "../../src/hedge/run.rs"]
mod run;

mod sync {
    pub(super) use crate::clock::Instant;
    pub(super) use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
}

pub(crate) use crate::budget::Budget;
use config::Config;
use pace::{Pace, Start};

mod tests {
    use super::*;
    use crate::{clock, handle::Handle, preempted, state::State};
    use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);
    const SILENCE: Duration = Duration::from_millis(100);

    /// A primary whose hedges are late after one millisecond, of which two in a row make it silent.
    struct Hedged {
        pace: Pace,
        circuit: Handle,
        start: Start,
        seen: AtomicUsize,
    }

    impl Hedged {
        /// Calls that have begun at this time.
        fn since(began: Duration) -> Self {
            let (circuit, now) = (Handle::closed(), clock::Instant::now());
            clock::set(Duration::ZERO);
            let config = Config::new().adaptive(1.0, Duration::ZERO, MS * 1000).silent_after(2, SILENCE);
            let pace = Pace::new(config.while_silent(Duration::ZERO)).with_circuit(circuit.clone());
            clock::set(began);
            let start = pace.begin().0;
            clock::set(now.duration_since(clock::Instant::at_zero()));
            Self { pace, circuit, start, seen: AtomicUsize::new(0) }
        }

        fn lose(&self) {
            self.pace.lost_to_secondary(&self.start);
        }

        fn hear(&self) {
            self.pace.heard();
        }

        fn is_open(&self) -> bool {
            self.circuit.state() == State::Open
        }
    }

    #[test]
    fn of_hedges_that_lose_at_once_one_finds_the_silence() {
        clock::set(SILENCE);
        let lost = || Hedged::since(Duration::ZERO);
        preempted(2, lost, &[Hedged::lose, Hedged::lose], |hedged| {
            assert_eq!((hedged.pace.counts().silences, hedged.pace.counts().won), (1, 2));
            assert!(hedged.pace.is_silent() && hedged.is_open());
        });
    }

    #[test]
    fn whatever_an_answer_comes_between_the_next_one_ends_the_silence_and_closes_the_circuit() {
        clock::set(SILENCE);
        let lost = || Hedged::since(Duration::ZERO);
        preempted(2, lost, &[Hedged::lose, Hedged::lose, Hedged::hear], |hedged| {
            hedged.hear();
            assert!(!hedged.pace.is_silent() && !hedged.is_open());
        });
    }

    #[test]
    fn two_that_lose_at_once_are_no_silence_however_long_ago_another_run_began() {
        clock::set(SILENCE * 100);
        let lost = || {
            let hedged = Hedged::since(Duration::ZERO);
            hedged.lose();
            hedged.hear();
            let start = hedged.pace.begin().0;
            Hedged { start, ..hedged }
        };
        preempted(3, lost, &[Hedged::lose, Hedged::lose], |hedged| {
            assert!(!hedged.pace.is_silent() && !hedged.is_open());
        });
    }

    #[test]
    fn of_requests_at_the_end_of_a_period_of_silence_exactly_one_waits_for_the_usual_delay() {
        fn begin(hedged: &Hedged) {
            let (start, late) = hedged.pace.begin();
            hedged.seen.fetch_add(usize::from(start.at < late), SeqCst);
        }
        clock::set(SILENCE * 100);
        let silent = || {
            let now = SILENCE * 100;
            clock::set(SILENCE);
            let hedged = Hedged::since(Duration::ZERO);
            hedged.lose();
            hedged.lose();
            clock::set(now);
            hedged
        };
        preempted(2, silent, &[begin, begin, begin], |hedged| {
            assert_eq!(hedged.seen.load(SeqCst), 1);
        });
    }

    #[test]
    fn calls_that_are_late_at_once_double_the_estimate_once() {
        fn late(hedged: &Hedged) {
            assert!(hedged.pace.late(&mut hedged.start.clone()).is_ok(), "silence is free");
        }
        clock::set(MS * 20);
        preempted(
            2,
            || Hedged::since(MS * 10),
            &[late, late],
            |hedged| {
                assert_eq!((hedged.pace.delay(), hedged.pace.counts().free), (MS * 2, 2));
            },
        );
    }

    #[test]
    fn no_count_is_lost_beside_another() {
        clock::set(MS);
        fn answer(hedged: &Hedged) {
            hedged.pace.answered(&hedged.start, true);
        }
        preempted(
            2,
            || Hedged::since(Duration::ZERO),
            &[answer, answer, Hedged::lose],
            |hedged| {
                let counts = hedged.pace.counts();
                assert_eq!((counts.won, counts.lost), (1, 2));
            },
        );
    }
}
