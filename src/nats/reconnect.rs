//! The back-off between attempts to reconnect.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The longest back-off in milliseconds, before jitter.
const LONGEST: u64 = 200;
/// What each attempt but the first adds to the back-off, in milliseconds.
const STEP: u64 = 5;
/// The back-off before the first attempt, in milliseconds: short, so that a connection that a message ended is back at once,
/// and not zero, so that one that ends each time is no busy loop.
const FIRST: u64 = 1;

/// The back-off before attempt number `attempt`. It starts short and stays short, so that a server that
/// returns is found within a second. A random factor between 0.5 and 1.5 spreads out clients that lost the
/// same server at the same moment.
pub(super) fn delay(attempt: usize) -> Duration {
    // `RandomState` is seeded randomly, so its hash is the source of randomness here.
    let random = RandomState::new().build_hasher().finish();
    let later = (attempt as u64).saturating_sub(1).saturating_mul(STEP);
    let pause = Duration::from_millis(later.clamp(FIRST, LONGEST));
    #[allow(clippy::cast_precision_loss)] // a fraction: the lost precision does not matter
    pause.mul_f64(0.5 + random as f64 / u64::MAX as f64)
}

/// Refusals that are tried again as soon as a loss: a server that starts may not know its users yet.
const PATIENT: u32 = 5;
/// The back-off after the first refusal that is answered with one, and the longest.
const REFUSED: Duration = Duration::from_millis(500);
const LONGEST_REFUSED: Duration = Duration::from_secs(5);

/// A connection that ends sooner than this is a short one.
const SHORT: Duration = Duration::from_secs(1);
/// This many short connections in a row are retried as soon as a loss.
const SHORT_ONES: u32 = 20;
/// What each short one after these adds to the back-off, and the longest.
const SHORT_STEP: Duration = Duration::from_millis(10);
const LONGEST_SHORT: Duration = Duration::from_millis(200);

/// How many connections in a row have ended right after they came up, as behind a proxy without a server, or on a server that
/// closes each one.
#[derive(Debug, Default)]
pub(super) struct ShortConnections(Mutex<InARow>);

#[derive(Debug, Default)]
struct InARow {
    up: Option<Instant>,
    ended: u32,
}

impl ShortConnections {
    pub(super) fn up(&self) {
        self.0.lock().up = Some(Instant::now());
    }

    /// A connection has ended. `at_message`: at a message that cannot be read, of which any peer may send many. Requests are
    /// answered between them only if the connection is back at once.
    pub(super) fn down(&self, at_message: bool) {
        let mut row = self.0.lock();
        let short = row.up.take().is_some_and(|up| up.elapsed() < SHORT) && !at_message;
        row.ended = if short { row.ended.saturating_add(1) } else { 0 };
    }

    /// What they add to the back-off.
    pub(super) fn delay(&self) -> Duration {
        let ended = self.0.lock().ended;
        SHORT_STEP.saturating_mul(ended.saturating_sub(SHORT_ONES)).min(LONGEST_SHORT)
    }
}

/// How often in a row the server has refused the user or password. Only an operator changes that, and every attempt is a line
/// in the server's log: the attempts become rarer.
#[derive(Debug, Default)]
pub(super) struct Refusals(AtomicU32);

impl Refusals {
    /// The server has refused the user or password.
    pub(super) fn record(&self) {
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_add(1));
    }

    /// The server is gone, or has let the client in.
    pub(super) fn recovered(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The back-off before attempt number `attempt`.
    pub(super) fn delay(&self, attempt: usize) -> Duration {
        let usual = delay(attempt);
        match self.0.load(Ordering::Relaxed).checked_sub(PATIENT) {
            None => usual,
            Some(more) => usual + REFUSED.saturating_mul(1 << more.min(8)).min(LONGEST_REFUSED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_password_is_tried_less_and_less_often_and_a_lost_server_as_before() {
        let refusals = Refusals::default();
        let within_a_second = |refusals: &Refusals| refusals.delay(1_000) <= Duration::from_millis(300);
        for _ in 1..PATIENT {
            refusals.record();
            assert!(within_a_second(&refusals));
        }
        for _ in 0..100 {
            refusals.record();
            assert!((REFUSED..LONGEST_REFUSED + REFUSED).contains(&refusals.delay(1_000)));
        }
        assert!(refusals.delay(1_000) >= LONGEST_REFUSED);
        refusals.recovered();
        assert!(within_a_second(&refusals));
    }

    #[test]
    fn connections_that_end_at_once_are_made_less_often_until_one_lasts() {
        let short = ShortConnections::default();
        let one = || {
            short.up();
            short.down(false);
            short.delay()
        };
        assert!((0..SHORT_ONES).all(|_| one().is_zero()));
        for _ in 0..100 {
            one();
        }
        assert_eq!(one(), LONGEST_SHORT);
        short.0.lock().up = Instant::now().checked_sub(SHORT);
        short.down(false);
        assert!(short.delay().is_zero());
        for _ in 0..1_000 {
            short.up();
            short.down(true);
        }
        assert!(short.delay().is_zero(), "a flood of messages that cannot be read");
    }

    #[test]
    fn the_first_tries_come_at_once_and_the_last_ones_never_late() {
        let soon: Duration = (0..4).map(delay).sum();
        assert!(soon <= Duration::from_millis(45), "{soon:?}");
        for attempt in [41, 1_000_000, usize::MAX] {
            let pause = delay(attempt);
            assert!(
                (Duration::from_millis(100)..=Duration::from_millis(300)).contains(&pause),
                "{attempt}: {pause:?}"
            );
        }
    }

    #[test]
    fn a_hundred_that_lost_one_server_together_never_try_in_step() {
        // Every pause is between 100 and 300 ms, so no tenth of that range holds more than a third of the
        // samples.
        for attempt in [41, 42, 10_000, usize::MAX] {
            let mut stretches = [0; 10];
            for _ in 0..100 {
                let pause = delay(attempt).as_millis().saturating_sub(100);
                stretches[usize::try_from(pause / 20).unwrap_or_default().min(9)] += 1;
            }
            assert!(stretches.iter().all(|n| *n <= 33), "{attempt}: {stretches:?}");
        }
    }
}
