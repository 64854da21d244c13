//! Unix milliseconds, and the one clock of this process that never goes back.
//!
//! ```
//! use eitherway::clock;
//!
//! let (first, second) = (clock::issue(), clock::issue());
//! assert!(first <= second);
//! assert_eq!(clock::seconds(1999), 1);
//! ```

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A unix millisecond as RFC 3339 writes it, in UTC.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use crate::rfc3339::format as rfc3339;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use crate::rfc3339::millis as millis_of_rfc3339;

static LAST: AtomicI64 = AtomicI64::new(0);

/// The system's time in unix milliseconds. It may jump when the clock is set.
#[must_use]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX).saturating_add(*WRONG)
}

/// By how much the clock of this process is wrong on purpose, in milliseconds: for tests of what a wrong clock does.
static WRONG: LazyLock<i64> = LazyLock::new(|| {
    std::env::var("EITHERWAY_TEST_CLOCK_OFFSET_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
});

/// A time for a new request, in unix milliseconds: never below the last one this process issued, so that a
/// clock set back a little does not put what happens next before what happened already. A clock that was far ahead is
/// not waited for.
#[must_use]
pub fn issue() -> i64 {
    let now = now();
    let before = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(after(last, now)));
    let last = before.unwrap_or_else(|last| last);
    if last > now + FAR {
        tracing::warn!(
            "the clock was {} s ahead and has been set back; times go on from there",
            (last - now) / 1000
        );
    }
    after(last, now)
}

/// From how far ahead on a time that was issued is taken for a mistake of the clock.
const FAR: i64 = 60_000;

const fn after(last: i64, now: i64) -> i64 {
    if last > now && last - now <= FAR { last } else { now }
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
        let future = now() + 50_000;
        LAST.fetch_max(future, Ordering::Relaxed);
        assert!(issue() >= future);
        assert!(issue() >= issue() - 1);
    }

    #[test]
    fn a_clock_that_was_years_ahead_is_not_waited_for() {
        assert_eq!(after(100 + FAR, 100), 100 + FAR);
        assert_eq!(after(101 + FAR, 100), 100);
        assert_eq!(after(i64::MAX, 100), 100);
        assert_eq!(after(0, 100), 100);
    }
}
