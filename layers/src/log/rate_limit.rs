//! Rate limiting for log messages about failures that repeat.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Keeps a repeating failure from flooding the log. The first occurrence is logged, then at most one per
/// interval with the number of those suppressed since; when the failure has stopped, a summary reports the
/// remaining ones. So each occurrence is either logged or counted.
///
/// The interval also applies across interruptions: a failure that stops and starts again within the interval
/// is only counted at first. If it has stopped by the end of the interval, the summary follows then. A
/// failure that comes and goes thus causes at most two lines per interval: one while it lasts and one when it
/// has stopped.
///
/// `RateLimitedLog` writes no log itself: it says when to log, and how many occurrences to report.
///
/// ```
/// use eitherway_layers::log::RateLimitedLog;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let refused = RateLimitedLog::new();
/// for reason in ["too long", "empty", "too long"] {
///     if let Some(more) = refused.again() {
///         println!("refused: {reason}{more}");    // once: "refused: too long"
///     }
/// }
/// if let Some(past) = refused.finish() {
///     assert_eq!((past.all, past.unsaid), (3, 2));
/// }
/// # });
/// ```
///
/// *Cost*: a lock per failure. [`over`](Self::over), which successes may call, is one load while the failure
/// does not occur; otherwise a clock read and a `try_lock`.
pub struct RateLimitedLog {
    every: Duration,
    calm: Duration,
    going_on: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// The time of the last line, about this or an earlier period of failure.
    said: Option<Instant>,
    now: Option<Current>,
}

/// A period of failure that goes on.
#[derive(Clone, Copy)]
struct Current {
    began: Instant,
    last: Instant,
    all: u64,
    unsaid: u64,
}

/// The number of messages suppressed since the previous line. Its `Display` form follows a sentence: empty,
/// or ` (17 similar messages suppressed)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suppressed(pub u64);

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            1 => f.write_str(" (1 similar message suppressed)"),
            more => write!(f, " ({more} similar messages suppressed)"),
        }
    }
}

/// A period of failure that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// The number of occurrences.
    pub all: u64,
    /// The number of occurrences that no line has reported yet.
    pub unsaid: u64,
    /// The time from the first to the last occurrence.
    pub lasted: Duration,
}

impl RateLimitedLog {
    /// The default minimum time between two lines.
    pub const EVERY: Duration = Duration::from_secs(10);
    /// The time without an occurrence after which the failure counts as ended.
    pub const CALM: Duration = Duration::from_secs(3);

    /// A failure that has not occurred yet.
    pub const fn new() -> Self {
        let state = State { said: None, now: None };
        Self {
            every: Self::EVERY,
            calm: Self::CALM,
            going_on: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// Sets the minimum time between two lines.
    pub const fn every(self, every: Duration) -> Self {
        Self { every, ..Self::new() }
    }

    /// Records an occurrence. Returns `Some` if it is to be logged.
    pub fn again(&self) -> Option<Suppressed> {
        let now = Instant::now();
        let mut state = self.lock();
        let quiet = self.is_quiet(&state, now);
        let current = state.now.get_or_insert(Current { began: now, last: now, all: 0, unsaid: 0 });
        current.last = now;
        current.all += 1;
        let said = if quiet {
            current.unsaid += 1;
            None
        } else {
            Some(Suppressed(std::mem::take(&mut current.unsaid)))
        };
        if said.is_some() {
            state.said = Some(now);
        }
        self.going_on.store(true, Relaxed);
        said
    }

    /// Checks whether the failure has ended: returns the period, once, when the last occurrence is at least
    /// [`CALM`](Self::CALM) ago. May be called after a success or at any other time. Failures that alternate
    /// with successes count as one period.
    #[inline]
    pub fn over(&self) -> Option<Summary> {
        if self.is_going_on() { self.calmed() } else { None }
    }

    /// Ends the period immediately, for example at shutdown.
    pub fn finish(&self) -> Option<Summary> {
        self.end(&mut self.lock(), Instant::now())
    }

    /// Whether the failure has occurred and not ended.
    #[inline]
    pub fn is_going_on(&self) -> bool {
        self.going_on.load(Relaxed)
    }

    #[cold]
    fn calmed(&self) -> Option<Summary> {
        // The holder of the lock is about to report the period, or to record another occurrence.
        let mut state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        let now = Instant::now();
        let Current { last, all, unsaid, .. } = state.now?;
        let never_said = all == unsaid;
        if now.duration_since(last) < self.calm || (never_said && self.is_quiet(&state, now)) {
            return None;
        }
        self.end(&mut state, now)
    }

    fn end(&self, state: &mut State, now: Instant) -> Option<Summary> {
        let Current { began, last, all, unsaid } = state.now.take()?;
        if unsaid > 0 {
            state.said = Some(now);
        }
        self.going_on.store(false, Relaxed);
        Some(Summary { all, unsaid, lasted: last.duration_since(began) })
    }

    /// Whether the last line is more recent than the interval.
    fn is_quiet(&self, state: &State, now: Instant) -> bool {
        state.said.is_some_and(|said| now.duration_since(said) < self.every)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for RateLimitedLog {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for RateLimitedLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitedLog").field("going_on", &self.going_on).finish_non_exhaustive()
    }
}
