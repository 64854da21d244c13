//! Model checking of what the layers keep in atomics: the breaker's state word, window and deadlines, the budget of hedges and reroutes, the pace of
//! hedges, and which path the log has named. Loom's atomics replace the real ones, and the tests below explore the
//! interleavings of their threads.
//!
//! This is a separate crate, so that no other crate depends on loom. It is empty but for its tests: the files that they include
//! are another package's.

#![cfg(test)]
#![allow(dead_code, unreachable_pub, reason = "files of another crate, of which the models use a part")]

mod circuit;
mod clock;
mod failure_logs;
mod hedge;
mod path_change;
mod waiting;

mod sync {
    pub(super) use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    };
}

#[path = "../../src/fallback/budget.rs"]
mod budget;
#[path = "../../src/breaker/state.rs"]
mod state;
#[path = "../../src/breaker/waiters.rs"]
#[allow(unexpected_cfgs, reason = "features of the other crate")]
mod waiters;
#[path = "../../src/breaker/window.rs"]
mod window;

/// As `hedge` knows it.
mod fallback {
    pub(crate) use super::budget;
}

/// As `hedge` knows it.
mod breaker {
    pub(crate) use super::{handle, state};
}

mod handle;

/// Runs the closures concurrently, and then `check`. Two threads are explored in every order, three in
/// every order in which at most two of them are preempted.
fn beside<T: 'static>(
    state: impl Fn() -> T + Sync + Send + 'static,
    threads: &'static [fn(&T)],
    check: fn(&T),
) {
    preempted((threads.len() > 2).then_some(2), state, threads, check);
}

/// The same, in every order in which at most so many are preempted: for what takes many steps.
fn preempted<T: 'static>(
    most: impl Into<Option<usize>>,
    state: impl Fn() -> T + Sync + Send + 'static,
    threads: &'static [fn(&T)],
    check: fn(&T),
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = most.into();
    model.check(move || {
        let state = loom::sync::Arc::new(state());
        let spawned: Vec<_> = threads
            .iter()
            .map(|run| {
                let state = loom::sync::Arc::clone(&state);
                loom::thread::spawn(move || run(&state))
            })
            .collect();
        spawned.into_iter().for_each(|thread| thread.join().expect("a thread failed"));
        check(&state);
    });
}

mod tests {
    use super::{
        beside,
        budget::{Account, Budget},
        state::{AtomicState, State},
        sync::{AtomicU64, AtomicUsize, Ordering::*},
        window::{Seen, Times, Window},
    };

    fn ignore<T>(_: T) {}

    /// A word in its first half-open generation.
    fn half_open() -> (AtomicState, AtomicUsize) {
        let word = AtomicState::new();
        assert!(word.change(0, State::Open) && word.change(1, State::HalfOpen));
        (word, AtomicUsize::new(0))
    }
    const HALF_OPEN: u32 = 2;

    #[test]
    fn a_single_lease_is_never_held_twice_and_always_comes_back() {
        fn probe((word, holders): &(AtomicState, AtomicUsize)) {
            if word.lease(HALF_OPEN, 1) {
                assert_eq!(holders.fetch_add(1, SeqCst), 0, "two probes at once");
                holders.fetch_sub(1, SeqCst);
                word.release(HALF_OPEN);
            }
        }
        beside(half_open, &[probe, probe, probe], |(word, _)| {
            assert_eq!(word.load().count, 0);
            assert!(word.lease(HALF_OPEN, 1));
        });
    }

    #[test]
    fn of_failures_at_once_exactly_one_opens_the_circuit() {
        fn fail((word, opened): &(AtomicState, AtomicUsize)) {
            if word.fail(0).is_some_and(|failures| failures >= 2) && word.change(0, State::Open) {
                opened.fetch_add(1, SeqCst);
            }
        }
        beside(
            || (AtomicState::new(), AtomicUsize::new(0)),
            &[fail, fail, fail],
            |(word, opened)| {
                assert_eq!(opened.load(SeqCst), 1);
                let now = word.load();
                assert_eq!((now.state, now.generation, now.count), (State::Open, 1, 0));
            },
        );
    }

    #[test]
    fn of_two_changes_at_once_exactly_one_happens() {
        fn open((word, changes): &(AtomicState, AtomicUsize)) {
            changes.fetch_add(usize::from(word.change(0, State::Open)), SeqCst);
        }
        fn hold((word, changes): &(AtomicState, AtomicUsize)) {
            changes.fetch_add(usize::from(word.change(0, State::OpenUntilHealthy)), SeqCst);
        }
        beside(
            || (AtomicState::new(), AtomicUsize::new(0)),
            &[open, hold],
            |(word, changes)| assert_eq!((changes.load(SeqCst), word.load().generation), (1, 1)),
        );
    }

    #[test]
    fn an_outcome_beside_a_change_is_counted_before_it_or_not_at_all() {
        beside(
            AtomicState::new,
            &[
                |word: &AtomicState| assert!(word.change(0, State::Open)),
                |word| ignore(word.fail(0)),
                |word| word.succeed(0),
            ],
            |word| {
                let now = word.load();
                assert_eq!((now.state, now.count, now.successes), (State::Open, 0, 0));
            },
        );
    }

    #[test]
    fn a_probe_that_returns_beside_a_new_generation_takes_nothing_from_it() {
        fn set_up() -> (AtomicState, AtomicUsize) {
            let state = half_open();
            assert!(state.0.lease(HALF_OPEN, 1));
            state
        }
        beside(
            set_up,
            &[
                |(word, _)| {
                    // The lease expires: a new half-open generation, in which another caller holds a probe.
                    assert!(word.change(HALF_OPEN, State::HalfOpen));
                    assert!(word.lease(HALF_OPEN + 1, 1));
                },
                |(word, _)| ignore(word.release(HALF_OPEN)),
                |(word, _)| ignore(word.record_probe_success(HALF_OPEN)),
            ],
            |(word, _)| {
                let now = word.load();
                assert_eq!((now.generation, now.count), (HALF_OPEN + 1, 1));
                // A success before the change stays; one after it is too late.
                assert!(now.successes <= 1);
            },
        );
    }

    #[test]
    fn of_probes_that_succeed_at_once_exactly_one_is_the_last_that_was_needed() {
        fn set_up() -> (AtomicState, AtomicUsize) {
            let state = half_open();
            assert!(state.0.lease(HALF_OPEN, 2) && state.0.lease(HALF_OPEN, 2));
            state
        }
        fn record_probe_success((word, last): &(AtomicState, AtomicUsize)) {
            last.fetch_add(usize::from(word.record_probe_success(HALF_OPEN) == Some(2)), SeqCst);
        }
        beside(set_up, &[record_probe_success, record_probe_success], |(word, last)| {
            assert_eq!((last.load(SeqCst), word.load().count), (1, 0));
        });
    }

    #[test]
    fn no_failure_and_no_success_is_lost_between_two_threads() {
        beside(
            AtomicState::new,
            &[|word: &AtomicState| ignore(word.fail(0)), |word| ignore(word.fail(0)), |word| word.succeed(0)],
            // The success came before, between or after the failures.
            |word| assert!(word.load().count <= 2),
        );
        beside(
            AtomicState::new,
            &[|word: &AtomicState| ignore(word.fail(0)), |word| ignore(word.fail(0))],
            |word| assert_eq!(word.load().count, 2),
        );
    }

    #[test]
    fn whoever_sees_the_change_sees_the_deadline_that_was_stored_before_it() {
        beside(
            || (AtomicState::new(), AtomicU64::new(0)),
            &[
                |(word, due): &(AtomicState, AtomicU64)| {
                    due.store(7, Relaxed);
                    word.change(0, State::Open);
                },
                |(word, due)| {
                    if word.load().state == State::Open {
                        assert_eq!(due.load(Relaxed), 7);
                    }
                },
            ],
            |_| {},
        );
    }

    #[test]
    fn the_window_counts_every_outcome_of_its_generation_and_no_other() {
        beside(
            || Window::new(4),
            &[
                |window: &Window| window.record(1, true, 0),
                |window| window.record(1, false, 0),
                |window| window.record(0, true, 0),
            ],
            |window| assert_eq!(window.seen(1, 0, u64::MAX), Seen { calls: 2, failures: 1 }),
        );
    }

    #[test]
    fn of_failures_at_once_one_at_least_sees_that_all_are_recent() {
        fn fail((times, seen): &(Times, AtomicUsize)) {
            seen.fetch_add(usize::from(times.push(7) == 7), SeqCst);
        }
        beside(
            || (Times::new(3), AtomicUsize::new(0)),
            &[fail, fail, fail],
            |(_, seen)| assert!(seen.load(SeqCst) >= 1),
        );
    }

    /// An account and the number of hedges that it has paid for.
    type Paid = (Account, AtomicUsize);

    fn hedge((account, paid): &Paid, now: u32) {
        paid.fetch_add(usize::from(account.withdraw(now)), SeqCst);
    }

    #[test]
    fn of_hedges_at_once_no_more_are_paid_for_than_the_account_holds() {
        beside(
            || (Account::new(Budget::new(0.0, 1, 5)), AtomicUsize::new(0)),
            &[|paid: &Paid| hedge(paid, 0), |paid| hedge(paid, 0), |paid| hedge(paid, 0)],
            |(_, paid)| assert_eq!(paid.load(SeqCst), 1),
        );
    }

    #[test]
    fn what_a_second_earns_is_earned_once_and_an_older_clock_earns_nothing() {
        beside(
            || {
                let account = Account::new(Budget::new(0.0, 1, 1));
                assert!(account.withdraw(0));
                (account, AtomicUsize::new(0))
            },
            &[|paid: &Paid| hedge(paid, 1000), |paid| hedge(paid, 1000), |paid| hedge(paid, 500)],
            |(account, paid)| {
                assert_eq!(paid.load(SeqCst), 1);
                assert!(!account.withdraw(1999) && account.withdraw(2000));
            },
        );
    }

    #[test]
    fn no_deposit_is_lost_beside_a_withdrawal_and_none_goes_beyond_the_most() {
        beside(
            || (Account::new(Budget::new(0.5, 1, 1)), AtomicUsize::new(0)),
            &[
                |(account, _): &Paid| account.deposit(),
                |(account, _)| account.deposit(),
                |paid| hedge(paid, 0),
            ],
            // Full at first: what was deposited before the withdrawal is lost, what came after it is not.
            |(account, paid)| {
                assert_eq!(paid.load(SeqCst), 1);
                account.deposit();
                account.deposit();
                assert!(account.withdraw(0) && !account.withdraw(0));
            },
        );
        beside(
            || {
                let account = Account::new(Budget::new(0.5, 1, 1));
                assert!(account.withdraw(0));
                (account, AtomicUsize::new(0))
            },
            &[
                |(account, _): &Paid| account.deposit(),
                |(account, _)| account.deposit(),
                |paid| hedge(paid, 0),
            ],
            |paid| {
                hedge(paid, 0);
                assert_eq!(paid.1.load(SeqCst), 1, "half and half are one");
            },
        );
    }
}
