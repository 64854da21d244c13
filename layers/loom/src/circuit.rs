//! A whole circuit: its deadlines, and the times of its failures.

#[path = "../../src/breaker/config.rs"]
mod config;
#[path = "../../src/breaker/shared.rs"]
#[allow(unexpected_cfgs, reason = "features of the other crate")]
mod shared;

mod sync {
    pub(super) use crate::clock::Instant;
    pub(super) use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    };
}

/// Says nothing.
mod tell {
    use super::state::State;
    use std::time::Duration;

    pub(super) fn changed(_: &'static str, _: State, _: State, _: Duration) {}
}

/// As `shared` knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rejected(Option<Duration>);

impl Rejected {
    pub(crate) const fn new(retry_after: Option<Duration>) -> Self {
        Self(retry_after)
    }
}

use crate::{state, waiters, window};
use config::Config;
use shared::{Admission, Shared};
use std::time::Duration;

mod tests {
    use super::*;
    use crate::{clock, preempted, state::State};
    use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    const SECOND: Duration = Duration::from_secs(1);

    fn config() -> Config {
        clock::set(Duration::ZERO);
        Config::new()
            .consecutive_failures(1)
            .back_off(SECOND, SECOND * 30)
            .lease(SECOND * 5)
            .jitter(0.0)
            .seed(1)
    }

    /// A circuit, and how many calls it has let through.
    type Calls = (Shared, AtomicUsize);

    fn call((circuit, passed): &Calls) {
        match circuit.admit() {
            Admission::Pass { .. } => ignore(passed.fetch_add(1, SeqCst)),
            Admission::Reject(rejected) => assert_eq!(rejected, Rejected::new(Some(SECOND * 5))),
        }
    }

    fn ignore<T>(_: T) {}

    #[test]
    fn a_circuit_that_has_just_opened_lets_nobody_through_before_its_back_off_is_over() {
        fn call(circuit: &Shared) {
            match circuit.admit() {
                Admission::Pass { generation } => assert_eq!(generation, 0, "before it opened"),
                Admission::Reject(rejected) => assert_eq!(rejected, Rejected::new(Some(SECOND))),
            }
        }
        let closed = || Shared::new(config());
        preempted(2, closed, &[|circuit: &Shared| circuit.failed(0), call, call], |circuit| {
            assert_eq!((circuit.state.load().state, circuit.until_due()), (State::Open, SECOND));
        });
    }

    #[test]
    fn of_calls_at_once_after_the_back_off_one_is_the_probe_and_its_lease_is_told_to_the_others() {
        let over = || {
            let circuit = Shared::new(config());
            circuit.failed(0);
            clock::set(SECOND);
            (circuit, AtomicUsize::new(0))
        };
        preempted(3, over, &[call, call], |(circuit, passed)| {
            assert_eq!((circuit.state.load().state, passed.load(SeqCst)), (State::HalfOpen, 1));
        });
    }

    #[test]
    fn a_probe_that_begins_beside_one_that_fails_changes_no_back_off() {
        let half_open = || {
            let circuit = Shared::new(config().back_off(SECOND * 10, SECOND * 30).probes(2, 2));
            circuit.failed(0);
            clock::set(SECOND * 10);
            assert_eq!(circuit.admit(), Admission::Pass { generation: 2 });
            circuit
        };
        fn probe(circuit: &Shared) {
            match circuit.admit() {
                Admission::Pass { generation } => assert_eq!(generation, 2, "before it opened again"),
                Admission::Reject(rejected) => assert_eq!(rejected, Rejected::new(Some(SECOND * 20))),
            }
        }
        preempted(2, half_open, &[|circuit: &Shared| circuit.failed(2), probe], |circuit| {
            assert_eq!((circuit.state.load().state, circuit.until_due()), (State::Open, SECOND * 20));
        });
    }

    fn fails_at(circuit: &Shared, seconds: u32) {
        clock::forward(SECOND * seconds);
        circuit.failed(0);
    }

    #[test]
    fn of_failures_at_once_one_at_least_sees_how_many_there_are_whatever_its_clock_says() {
        let rate = || {
            let config = config().no_consecutive_failures().failures_within(SECOND * 10);
            Shared::new(config.failure_rate(0.5, 4, 2))
        };
        preempted(
            3,
            rate,
            &[|circuit: &Shared| fails_at(circuit, 1), |circuit| fails_at(circuit, 2)],
            |circuit| assert_eq!(circuit.state.load().state, State::Open),
        );
    }

    #[test]
    fn a_success_is_as_old_as_the_latest_of_failures_at_once() {
        let rate = || {
            let config = config().no_consecutive_failures().failures_within(SECOND);
            Shared::new(config.failure_rate(0.6, 10, 3))
        };
        preempted(
            3,
            rate,
            &[|circuit: &Shared| fails_at(circuit, 1), |circuit| fails_at(circuit, 2)],
            |circuit| {
                circuit.succeeded(0);
                // The success counts beside this failure and that of the second second: three calls, two of them failed.
                clock::set(SECOND * 2 + SECOND * 9 / 10);
                circuit.failed(0);
                assert_eq!(circuit.state.load().state, State::Open);
            },
        );
    }
}
