//! Unix milliseconds, and the one clock of this process that never goes back.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

static LAST: AtomicI64 = AtomicI64::new(0);

/// The system's time in unix milliseconds. It may jump when somebody sets the clock.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A time for a new request, in unix milliseconds: never below the last one this process issued, so that a
/// clock set back does not put what happens next before what happened already.
#[must_use]
pub fn issue() -> i64 {
    let now = now();
    LAST.fetch_max(now, Ordering::Relaxed).max(now)
}

/// Whole seconds of a time in milliseconds, rounded down (also before 1970).
#[must_use]
pub const fn seconds(millis: i64) -> i64 {
    millis.div_euclid(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issued_time_is_never_below_the_last_one() {
        let future = now() + 60_000;
        LAST.fetch_max(future, Ordering::Relaxed);
        assert!(issue() >= future);
        assert!(issue() >= issue() - 1);
    }
}
