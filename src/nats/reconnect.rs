//! How long a lost connection waits before each try.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The longest pause between two tries, before chance has its part.
const LONGEST: u64 = 200;
/// What each try but the first adds to it, in milliseconds.
const STEP: u64 = 5;
/// The pause before the first one: a connection that ended at what came over it is back at once, and one that ends each time
/// as soon as it is there is no loop without an end.
const FIRST: u64 = 1;

/// The pause before this try, of however many: short at first, and never long, because a server that returns is to be found
/// within a second. Half of it and up to half as much again are left to chance, so that those who lost a server together do
/// not come back in step.
pub(super) fn delay(attempt: usize) -> Duration {
    // Its keys are random.
    let dice = RandomState::new().build_hasher().finish();
    let later = (attempt as u64).saturating_sub(1).saturating_mul(STEP);
    let pause = Duration::from_millis(later.clamp(FIRST, LONGEST));
    #[allow(clippy::cast_precision_loss)] // a share, not a number
    pause.mul_f64(0.5 + dice as f64 / u64::MAX as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        // Each hundred tries within 200 ms: of ten stretches of these, none has more than a third.
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
