//! A kind of failure that may repeat, and how often it is said.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Keeps a failure that repeats from filling the log: the first one is said, then at most one in an interval, which stands
/// for those before it; the rest is said when it is over. So every one of them is in one line or in a count.
///
/// An interval holds for all that comes within it: trouble that begins again before the interval is over is only counted at
/// first, and if it is over by then, that is said with the interval's end. So trouble that comes and goes is two lines in an
/// interval at most, one when it is said and one when it is over.
///
/// It writes nothing itself: it says when to, and how many there were.
///
/// ```
/// use rosey_layers::log::Trouble;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let refused = Trouble::new();
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
/// *Cost*: a lock for each failure; [`over`](Self::over), which successes may call, is one load while all is well, and while
/// it is not a clock read and a lock, which is not waited for.
pub struct Trouble {
    every: Duration,
    calm: Duration,
    going_on: AtomicBool,
    state: Mutex<State>,
}

struct State {
    /// The last line, whichever trouble it was about.
    said: Option<Instant>,
    now: Option<Current>,
}

/// Trouble that goes on.
#[derive(Clone, Copy)]
struct Current {
    began: Instant,
    last: Instant,
    all: u64,
    unsaid: u64,
}

/// How many were not said since the line before. As text it is fit to follow a sentence: nothing, or ` (17 more …)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct More(pub u64);

impl fmt::Display for More {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            more => write!(f, " ({more} more like it since the last such line)"),
        }
    }
}

/// Trouble that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// How often it happened.
    pub all: u64,
    /// Of these, how many no line stands for yet.
    pub unsaid: u64,
    /// From the first to the last of them.
    pub lasted: Duration,
}

impl Trouble {
    /// The usual shortest time between two lines.
    pub const EVERY: Duration = Duration::from_secs(10);
    /// For how long nothing must have happened, usually, before it counts as over.
    pub const CALM: Duration = Duration::from_secs(3);

    /// None so far.
    pub const fn new() -> Self {
        let state = State { said: None, now: None };
        Self {
            every: Self::EVERY,
            calm: Self::CALM,
            going_on: AtomicBool::new(false),
            state: Mutex::new(state),
        }
    }

    /// The shortest time between two lines.
    pub const fn every(self, every: Duration) -> Self {
        Self { every, ..Self::new() }
    }

    /// It has happened, again perhaps. Answers whether to say so.
    pub fn again(&self) -> Option<More> {
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
            Some(More(std::mem::take(&mut current.unsaid)))
        };
        if said.is_some() {
            state.said = Some(now);
        }
        self.going_on.store(true, Relaxed);
        said
    }

    /// It has not happened this time, or nobody knows: answers what there was if it has not happened for a moment now, once.
    /// Trouble and success that alternate go on as one trouble.
    #[inline]
    pub fn over(&self) -> Option<Past> {
        if self.is_going_on() { self.calmed() } else { None }
    }

    /// The same at the end of everything, however recent the last one or a line is.
    pub fn finish(&self) -> Option<Past> {
        self.end(&mut self.lock(), Instant::now())
    }

    /// Whether it has happened and is not over.
    #[inline]
    pub fn is_going_on(&self) -> bool {
        self.going_on.load(Relaxed)
    }

    #[cold]
    fn calmed(&self) -> Option<Past> {
        // Whoever has the lock is about to say it, or to have more to say.
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

    fn end(&self, state: &mut State, now: Instant) -> Option<Past> {
        let Current { began, last, all, unsaid } = state.now.take()?;
        if unsaid > 0 {
            state.said = Some(now);
        }
        self.going_on.store(false, Relaxed);
        Some(Past { all, unsaid, lasted: last.duration_since(began) })
    }

    /// Whether there was a line a moment ago.
    fn is_quiet(&self, state: &State, now: Instant) -> bool {
        state.said.is_some_and(|said| now.duration_since(said) < self.every)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Trouble {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trouble").field("going_on", &self.going_on).finish_non_exhaustive()
    }
}
