//! Which path of a part was named last, and whether it is time to name another one.
//!
//! Counting takes no lock. Whatever leads to a line happens with `book` locked, so that the last line describes the last state.
//!
//! The atomics and the lock come from `super::sync`, so that a model checker can replace them.

use super::{
    line::{Line, OUTAGE, PATHS},
    sync::{
        AtomicBool, AtomicU64, AtomicUsize, Instant, Mutex,
        Ordering::{Relaxed, SeqCst},
    },
};
use std::{
    array, fmt, mem, ptr,
    sync::{Arc, OnceLock, PoisonError},
    time::Duration,
};

/// The shortest time between two lines: normally, and at most while paths keep alternating.
const QUIET: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));

/// No path has served yet.
const NONE: usize = usize::MAX;

/// What is known of the calls of one part.
#[derive(Debug)]
pub(super) struct State {
    /// The name of the part; empty if the switch is not split into parts.
    what: &'static str,
    /// The tags of the paths that have served, in the order in which they first did.
    tags: [OnceLock<&'static str>; PATHS],
    /// The path that was named last, as an index into `tags`. Written only while `book` is locked.
    named: AtomicUsize,
    /// Whether the last call failed. Set and cleared only while `book` is locked.
    failing: AtomicBool,
    /// Successful calls by path since the last line.
    calls: [AtomicU64; PATHS + 1],
    failed: AtomicU64,
    pub(super) hedges_won: OnceLock<HedgesWon>,
    book: Mutex<Book>,
}

/// By the index of a part and the tag of a path.
pub(super) type CountWon = dyn Fn(usize, &'static str) -> u64 + Send + Sync;

pub(super) struct HedgesWon {
    pub(super) part: usize,
    pub(super) count: Arc<CountWon>,
}

impl fmt::Debug for HedgesWon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgesWon").field("part", &self.part).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Book {
    /// The hedges that each path had won when this was last asked.
    hedges_won: [u64; PATHS],
    /// How many calls the named path had served when a hedge of another one won.
    doubt: Option<u64>,
    last_line: Option<Instant>,
    /// The interval that applies to the next line, if it is longer than the default.
    quiet: Duration,
    /// Bit `1 << path` is set once the path has been named.
    known: u64,
    failing_since: Option<Instant>,
    /// The longest time without a success that no line has reported yet.
    outage: Duration,
}

impl Default for State {
    fn default() -> Self {
        Self::of("")
    }
}

impl State {
    /// Nothing is known yet of the part with this name.
    pub(super) fn of(what: &'static str) -> Self {
        Self {
            what,
            tags: [const { OnceLock::new() }; PATHS],
            named: AtomicUsize::new(NONE),
            failing: AtomicBool::new(false),
            calls: array::from_fn(|_| AtomicU64::new(0)),
            failed: AtomicU64::new(0),
            hedges_won: OnceLock::new(),
            book: Mutex::new(Book::default()),
        }
    }

    #[inline]
    pub(super) fn served(&self, tag: &'static str) {
        let path = self.path(tag);
        if self.named.load(Relaxed) != path || self.failing.load(Relaxed) {
            self.changed(path);
        }
        self.calls[path].fetch_add(1, Relaxed);
    }

    /// The index of the path with this tag, which it gets when it first serves; at most [`PATHS`].
    #[inline]
    fn path(&self, tag: &'static str) -> usize {
        let is_it = |known: &OnceLock<&'static str>| {
            let known = *known.get_or_init(|| tag);
            ptr::eq(known, tag) || known == tag
        };
        self.tags.iter().position(is_it).unwrap_or(PATHS)
    }

    #[cold]
    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
        if !self.failing.load(Relaxed) {
            let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            book.failing_since.get_or_insert_with(Instant::now);
            self.failing.store(true, SeqCst);
        }
    }

    /// Whether this path, another than the named one, has served by a hedge, for the first time since that one has served.
    fn may_be_alone(&self, path: usize, book: &mut Book) -> bool {
        let Some(HedgesWon { part, count }) = self.hedges_won.get() else { return false };
        let before = book.hedges_won;
        // Also those of the other paths: what they have won while they were named is no doubt later.
        for (won, tag) in book.hedges_won.iter_mut().zip(self.tags.iter().map_while(OnceLock::get)) {
            *won = count(*part, tag);
        }
        let has_won = book.hedges_won.get(path) != before.get(path);
        let named = self.calls.get(self.named.load(Relaxed)).map_or(0, |calls| calls.load(Relaxed));
        has_won && book.doubt.replace(named) != Some(named)
    }

    /// Names the path, unless a line was written within the interval. The line is written while the lock is
    /// held, so that the last line describes the last state.
    #[cold]
    fn changed(&self, path: usize) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        self.failing.store(false, SeqCst);
        let failing_since = book.failing_since.take();
        let outage = failing_since.map_or(Duration::ZERO, |since| now.duration_since(since));
        book.outage = book.outage.max(outage);
        let same = self.named.load(Relaxed) == path;
        if same && book.outage < OUTAGE {
            return;
        }
        if !same && self.may_be_alone(path, &mut book) && book.outage < OUTAGE {
            return;
        }
        let first = book.last_line.is_none();
        // If no call has ever succeeded, the time starts with the first failure.
        let since = match (same, book.last_line) {
            (false, Some(line)) => Some(line),
            _ => failing_since,
        };
        let before = since.map_or(Duration::ZERO, |since| now.duration_since(since));
        if !same && !first && before < book.quiet.max(QUIET.0) {
            return;
        }
        book.quiet = book.quiet_after(before);
        let again = book.known & (1 << path) != 0;
        book.known |= 1 << path;
        book.last_line = Some(now);
        book.doubt = None;
        self.named.store(path, Relaxed);
        let calls = array::from_fn(|path| self.calls[path].swap(0, Relaxed));
        Line {
            tags: &self.tags,
            path,
            what: self.what,
            again,
            // If the path has not changed, its earlier successes are not part of the interruption.
            calls: if same { [0; PATHS + 1] } else { calls },
            failed: self.failed.swap(0, Relaxed),
            before,
            outage: mem::take(&mut book.outage),
        }
        .tell();
    }
}

impl Book {
    /// Paths that change soon after the interval has ended are flapping.
    fn quiet_after(&self, before: Duration) -> Duration {
        let quiet = self.quiet.max(QUIET.0);
        match before {
            soon if soon < quiet * 2 => (quiet * 2).min(QUIET.1),
            late if late >= quiet * 4 => QUIET.0,
            _ => quiet,
        }
    }
}
