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
/// use eitherway_layers::logging::RateLimitedLog;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let refused = RateLimitedLog::new();
/// for reason in ["too long", "empty", "too long"] {
///     if let Some(more) = refused.record() {
///         println!("refused: {reason}{more}");    // once: "refused: too long"
///     }
/// }
/// if let Some(past) = refused.flush() {
///     assert_eq!((past.all, past.unsaid), (3, 2));
/// }
/// # });
/// ```
///
/// *Cost*: a lock per failure. [`recovered`](Self::recovered), which successes may call, is one load while the failure
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
    /// The texts since that line, by their hashes.
    texts: [u64; RateLimitedLog::TEXTS],
    now: Option<Current>,
}

impl State {
    /// Whether this text has not been said since the last line, and may be.
    fn is_new(&mut self, text: u64) -> bool {
        if self.texts.contains(&text) {
            return false;
        }
        let free = self.texts.iter_mut().find(|known| **known == 0);
        free.map(|free| *free = text).is_some()
    }
}

/// FNV-1a over a text without its digits.
struct TextHash(u64);

impl Default for TextHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl fmt::Write for TextHash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes().filter(|byte| !byte.is_ascii_digit()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
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

    /// The number of different texts within the interval.
    pub const TEXTS: usize = 4;

    /// A failure that has not occurred yet.
    pub const fn new() -> Self {
        let state = State { said: None, texts: [0; Self::TEXTS], now: None };
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
    pub fn record(&self) -> Option<Suppressed> {
        self.count(None)
    }

    /// Records an occurrence with this text. Returns `Some` if it is to be logged: also within the interval, if the text is a
    /// new one, for up to [`TEXTS`](Self::TEXTS) texts in all. Digits make no new text.
    ///
    /// ```
    /// use eitherway_layers::logging::RateLimitedLog;
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let lost = RateLimitedLog::new();
    /// assert!(lost.record_with(&"reset after 12 ms").is_some());
    /// assert!(lost.record_with(&"reset after 31 ms").is_none());
    /// assert!(lost.record_with(&"certificate has expired").is_some());
    /// # });
    /// ```
    pub fn record_with(&self, text: &dyn fmt::Display) -> Option<Suppressed> {
        let mut hash = TextHash::default();
        // Cannot fail.
        let _ = fmt::write(&mut hash, format_args!("{text}"));
        self.count(Some(hash.0 | 1)) // never the zero of a free place
    }

    fn count(&self, text: Option<u64>) -> Option<Suppressed> {
        let now = Instant::now();
        let mut state = self.lock();
        let quiet = self.is_quiet(&state, now);
        if !quiet {
            state.texts = [0; Self::TEXTS];
        }
        let new = text.is_some_and(|text| state.is_new(text));
        let current = state.now.get_or_insert(Current { began: now, last: now, all: 0, unsaid: 0 });
        current.last = now;
        current.all += 1;
        let said = match (quiet, new) {
            (false, _) => Some(Suppressed(std::mem::take(&mut current.unsaid))),
            (true, true) => Some(Suppressed(0)),
            (true, false) => {
                current.unsaid += 1;
                None
            }
        };
        if !quiet {
            state.said = Some(now);
        }
        self.going_on.store(true, Relaxed);
        said
    }

    /// Checks whether the failure has ended: returns the period, once, when the last occurrence is at least
    /// [`CALM`](Self::CALM) ago. May be called after a success or at any other time. Failures that alternate
    /// with successes count as one period.
    #[inline]
    pub fn recovered(&self) -> Option<Summary> {
        if self.is_going_on() { self.calmed() } else { None }
    }

    /// Ends the period immediately, for example at shutdown.
    pub fn flush(&self) -> Option<Summary> {
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
