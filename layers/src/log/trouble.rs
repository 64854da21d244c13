//! A kind of failure that may repeat, and how often it is said.

use std::{
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Keeps a failure that repeats from filling the log: the first one is said, then at most one in an interval, which stands
/// for those before it; the rest is said when it is over. So every one of them is in one line or in a count.
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
/// *Cost*: a lock for each failure; [`over`](Self::over), which successes may call, is one load while all is well.
pub struct Trouble {
    every: Duration,
    calm: Duration,
    going_on: AtomicBool,
    state: Mutex<Option<State>>,
}

/// Trouble that goes on.
#[derive(Clone, Copy)]
struct State {
    began: Instant,
    last: Instant,
    said: Instant,
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
        Self {
            every: Self::EVERY,
            calm: Self::CALM,
            going_on: AtomicBool::new(false),
            state: Mutex::new(None),
        }
    }

    /// The shortest time between two lines.
    pub const fn every(self, every: Duration) -> Self {
        Self { every, calm: self.calm, going_on: AtomicBool::new(false), state: Mutex::new(None) }
    }

    /// It has happened, again perhaps. Answers whether to say so.
    pub fn again(&self) -> Option<More> {
        let now = Instant::now();
        let mut state = self.lock();
        let Some(state) = state.as_mut() else {
            *state = Some(State { began: now, last: now, said: now, all: 1, unsaid: 0 });
            self.going_on.store(true, Relaxed);
            return Some(More(0));
        };
        state.last = now;
        state.all += 1;
        if now.duration_since(state.said) < self.every {
            state.unsaid += 1;
            return None;
        }
        state.said = now;
        Some(More(std::mem::take(&mut state.unsaid)))
    }

    /// It has not happened this time, or nobody knows: answers what there was if it has not happened for a moment now, once.
    /// Trouble and success that alternate go on as one trouble.
    #[inline]
    pub fn over(&self) -> Option<Past> {
        if self.is_going_on() { self.end(self.calm) } else { None }
    }

    /// The same at the end of everything, however recent the last one is.
    pub fn finish(&self) -> Option<Past> {
        self.end(Duration::ZERO)
    }

    /// Whether it has happened and is not over.
    #[inline]
    pub fn is_going_on(&self) -> bool {
        self.going_on.load(Relaxed)
    }

    #[cold]
    fn end(&self, calm: Duration) -> Option<Past> {
        let mut state = self.lock();
        let State { began, last, all, unsaid, .. } = (*state)?;
        if last.elapsed() < calm {
            return None;
        }
        *state = None;
        self.going_on.store(false, Relaxed);
        Some(Past { all, unsaid, lasted: last.duration_since(began) })
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
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
