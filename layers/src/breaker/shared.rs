//! The state shared by all clones of one breaker, and all its transitions.
//!
//! Counting and leasing are operations on the word and take no lock. Every *change of state* is made with
//! `openings` locked, so that the deadline, the back-off and the word change together.
//!
//! The atomics, the lock and the clock come from `super::sync`, so that a model checker can replace them.

use super::{
    Config, Rejected,
    config::Rate,
    state::{AtomicState, Snapshot, State},
    sync::{AtomicU64, Instant, Mutex, MutexGuard, Ordering::Relaxed},
    tell,
    waiters::Waiters,
    window::{Times, Window},
};
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::PoisonError,
    time::Duration,
};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) state: AtomicState,
    pub(super) waiters: Waiters,
    window: Option<Window>,
    epoch: Instant,
    /// Nanoseconds since `epoch`: when an open circuit may become half-open, or when the leases of a
    /// half-open one expire. Stored before the word that it belongs to.
    due: AtomicU64,
    /// Milliseconds since `epoch`: the last failure while closed. Zero without a window of time.
    last_failure: AtomicU64,
    /// Of as many failures as open the circuit in a row, if there is a window of time.
    failures: Option<Times>,
    /// Locked for every change of state.
    openings: Mutex<Openings>,
}

/// What decides how long an open circuit stays open.
#[derive(Debug)]
struct Openings {
    /// How often the circuit has opened since it was last closed.
    count: u32,
    dice: u64,
}

/// The circuit's decision about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// The call may proceed, in this generation; in a half-open one the caller now holds a lease.
    Pass {
        generation: u32,
    },
    Reject(Rejected),
}

impl Shared {
    pub(super) fn new(config: Config) -> Self {
        let seed = config.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        Self {
            state: AtomicState::new(),
            waiters: Waiters::default(),
            window: config.rate.map(|rate| Window::new(rate.calls)),
            epoch: Instant::now(),
            due: AtomicU64::new(0),
            last_failure: AtomicU64::new(0),
            failures: config.within.and(config.consecutive).map(Times::new),
            openings: Mutex::new(Openings { count: 0, dice: seed }),
            config,
        }
    }

    // ## How a call begins

    #[inline]
    pub(super) fn admit(&self) -> Admission {
        loop {
            let Snapshot { state, generation, .. } = self.state.load();
            match state {
                State::Closed | State::ForcedClosed => return Admission::Pass { generation },
                State::OpenUntilHealthy | State::ForcedOpen => return Admission::Reject(Rejected::new(None)),
                State::HalfOpen if self.state.lease(generation, self.config.probes) => {
                    self.extend_leases(generation);
                    return Admission::Pass { generation };
                }
                State::Open | State::HalfOpen => {
                    let wait = self.until_due();
                    if !wait.is_zero() {
                        return Admission::Reject(Rejected::new(Some(wait)));
                    }
                    self.change(State::HalfOpen, |now| now.generation == generation);
                }
            }
        }
    }

    /// What [`admit`](Self::admit) would decide, without taking a place.
    #[cfg(feature = "balance")]
    pub(super) fn would_reject(&self) -> bool {
        let Snapshot { state, count, .. } = self.state.load();
        match state {
            State::Closed | State::ForcedClosed => false,
            State::OpenUntilHealthy | State::ForcedOpen => true,
            State::HalfOpen if count < self.config.probes => false,
            State::Open | State::HalfOpen => !self.until_due().is_zero(),
        }
    }

    /// A new probe proves that places come back: the leases of this generation run from now on.
    fn extend_leases(&self, generation: u32) {
        let _change = self.lock();
        if self.state.load().generation == generation {
            self.set_due(self.config.lease);
        }
    }

    fn set_due(&self, wait: Duration) {
        self.due.store(nanos(self.epoch.elapsed().saturating_add(wait)), Relaxed);
    }

    pub(super) fn until_due(&self) -> Duration {
        Duration::from_nanos(self.due.load(Relaxed)).saturating_sub(self.epoch.elapsed())
    }

    // ## How a call ends

    #[inline]
    pub(super) fn succeeded(&self, generation: u32) {
        let now = self.state.load();
        if now.generation != generation {
            return;
        }
        match now.state {
            State::Closed => {
                self.state.succeed(generation);
                if let Some(window) = &self.window {
                    window.record(generation, false, self.last_failure.load(Relaxed));
                }
            }
            // ## HalfOpen => Closed
            State::HalfOpen => {
                let proven = self.state.record_probe_success(generation);
                if proven.is_some_and(|successes| successes >= self.config.successes) {
                    self.change(State::Closed, |now| now.generation == generation);
                } else {
                    self.place_is_free();
                }
            }
            _ => {}
        }
    }

    pub(super) fn failed(&self, generation: u32) {
        let now = self.state.load();
        if now.generation != generation {
            return;
        }
        let opens = match now.state {
            // ## Closed => Open
            State::Closed => {
                let now = self.config.within.map_or(0, |_| millis(self.epoch.elapsed()));
                // A thread that was held up comes with an older time.
                self.last_failure.fetch_max(now, Relaxed);
                // CORRECTNESS: before the word is changed. Of failures at once, the last to change it sees all of them.
                if let Some(window) = &self.window {
                    window.record(generation, true, now);
                }
                let too_many = self.too_many(generation, now);
                self.too_often(generation, now) || too_many
            }
            // ## HalfOpen => Open
            State::HalfOpen => true,
            _ => false,
        };
        if opens {
            self.change(self.opened(), |now| now.generation == generation);
        }
    }

    /// The window of time in milliseconds.
    fn within(&self) -> u64 {
        self.config.within.map_or(u64::MAX, millis)
    }

    /// Records a failure at this time, and evaluates the rule of consecutive failures.
    fn too_many(&self, generation: u32, now: u64) -> bool {
        let oldest = self.failures.as_ref().map_or(now, |failures| failures.push(now));
        let in_a_row = self.state.fail(generation);
        in_a_row.zip(self.config.consecutive).is_some_and(|(failures, most)| failures >= most)
            && now.saturating_sub(oldest) <= self.within()
    }

    /// The state of a circuit that has opened by itself.
    pub(super) const fn opened(&self) -> State {
        if self.config.by_signal { State::OpenUntilHealthy } else { State::Open }
    }

    /// Records a call that ended without information about the service.
    #[inline]
    pub(super) fn neutral(&self, generation: u32) {
        if self.state.release(generation) {
            self.place_is_free();
        }
    }

    /// A probe has come back while the circuit is half-open: another caller may wait for its place.
    fn place_is_free(&self) {
        if self.config.unready_when_open {
            self.waiters.wake_all();
        }
    }

    /// Evaluates the rate of failures.
    fn too_often(&self, generation: u32, now: u64) -> bool {
        let (Some(window), Some(Rate { share, minimum, .. })) = (&self.window, self.config.rate) else {
            return false;
        };
        let seen = window.seen(generation, now, self.within());
        seen.calls >= minimum && seen.failures as f64 >= share * seen.calls as f64
    }

    // ## How the state changes

    /// Changes the state, unless `allowed` refuses the state that it finds under the lock.
    pub(super) fn change(&self, to: State, allowed: impl FnOnce(Snapshot) -> bool) {
        let mut openings = self.lock();
        let now = self.state.load();
        if !allowed(now) {
            return;
        }
        let wait = match to {
            State::Open => {
                let wait = self.back_off(openings.count, throw(&mut openings.dice));
                openings.count = openings.count.saturating_add(1);
                wait
            }
            State::HalfOpen => self.config.lease,
            State::Closed | State::ForcedClosed => {
                openings.count = 0;
                Duration::ZERO
            }
            State::OpenUntilHealthy | State::ForcedOpen => Duration::ZERO,
        };
        self.set_due(wait);
        // Only counts can change while the lock is held, so this succeeds.
        self.state.change(now.generation, to);
        tell::changed(self.config.tag, now.state, to, wait);
        drop(openings);
        self.waiters.wake_all();
    }

    fn lock(&self) -> MutexGuard<'_, Openings> {
        self.openings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time to stay open after this many openings, shortened by chance: by a number in [0, 1).
    fn back_off(&self, openings: u32, chance: f64) -> Duration {
        let factor = 1_u32.checked_shl(openings).unwrap_or(u32::MAX);
        let longest = self.config.back_off.saturating_mul(factor).min(self.config.cap);
        let shortened = longest.as_secs_f64() * (1.0 - self.config.jitter * chance);
        // Out of range only by rounding, where nothing is shortened.
        Duration::try_from_secs_f64(shortened).unwrap_or(longest).min(longest)
    }
}

/// A pseudo-random number in [0, 1): a Weyl sequence with mixed bits, for which any seed works.
fn throw(dice: &mut u64) -> f64 {
    let mut bits = *dice;
    *dice = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    bits = (bits ^ (bits >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    ((bits ^ (bits >> 32)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

// Not where a model checker includes this file: there, no lock is to be had outside a model.
#[cfg(all(test, feature = "breaker"))]
mod tests {
    use super::*;

    #[test]
    fn a_back_off_of_any_length_grows_up_to_its_cap_and_never_shrinks_again() {
        let lengths = [
            Duration::ZERO,
            Duration::from_nanos(1),
            Duration::from_secs(1),
            Duration::MAX / 3,
            Duration::MAX,
        ];
        for (first, cap) in lengths.into_iter().flat_map(|first| lengths.map(|cap| (first, cap))) {
            let shared = Shared::new(Config::new().back_off(first, cap).jitter(0.0));
            let mut before = shared.back_off(0, 0.0);
            assert!(first.min(cap) - before <= cap / (1 << 30), "{first:?}, {cap:?}: {before:?}");
            for openings in (1..100).chain([u32::MAX - 1, u32::MAX]) {
                let wait = shared.back_off(openings, 0.0);
                assert!(
                    (before..=cap).contains(&wait),
                    "{first:?}, {cap:?}, {openings}: {wait:?} after {before:?}"
                );
                before = wait;
            }
        }
    }
}
