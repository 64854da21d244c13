//! Says which path serves, whenever that changes.

use super::TARGET;
use crate::{Class, Classify, ServedBy};
use pin_project::pin_project;
use std::{
    fmt::{self, Display},
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

/// The shortest time between two lines, at first and while paths go on alternating.
const QUIET: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));

/// So long nothing must have been served, before the end of it is news where the path is the same.
const OUTAGE: Duration = Duration::from_secs(1);

/// Calls are counted by path for so many paths; further ones share the last place.
const PATHS: usize = 8;

/// No path has served yet.
const NOBODY: usize = usize::MAX;

/// Applies a [`Switch`] to services. All of them, and all their clones, share one state.
///
/// ```
/// use rosey_layers::SwitchLayer;
///
/// let layer = SwitchLayer::new();
/// // Reads and writes may be served by different paths at the same time: each has lines of its own.
/// let apart = SwitchLayer::by(["reads", "writes"], |request: &&str| usize::from(*request != "GET"));
/// ```
#[derive(Clone, Debug)]
pub struct SwitchLayer<P = Whole> {
    states: States,
    parts: P,
}

/// One for each part.
type States = Arc<[Arc<State>]>;

impl Default for SwitchLayer {
    fn default() -> Self {
        Self { states: Arc::new([Arc::default()]), parts: Whole }
    }
}

impl SwitchLayer {
    /// A layer that has not seen any path serve.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<P> SwitchLayer<P> {
    /// The same by parts of the calls, whose names its lines tell; `part` answers the place of a request's part among
    /// them. Parts that may be served by different paths at the same time want a state each: a common one would never come
    /// to rest.
    ///
    /// A place beyond the last name counts as the last. Without names there is one part without a name.
    pub fn by(names: impl IntoIterator<Item = &'static str>, part: P) -> Self {
        let state = |what| Arc::new(State { what, ..State::default() });
        let states: States = names.into_iter().map(state).collect();
        Self { states: if states.is_empty() { Arc::new([Arc::default()]) } else { states }, parts: part }
    }
}

impl<S, P: Clone> Layer<S> for SwitchLayer<P> {
    type Service = Switch<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        Switch { inner, states: Arc::clone(&self.states), parts: self.parts.clone() }
    }
}

/// Which part of the calls a request belongs to. Functions are such rules.
pub trait Parts<Req> {
    /// The place of its part among the names.
    fn of(&self, req: &Req) -> usize;
}

/// All calls are one part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whole;

impl<Req> Parts<Req> for Whole {
    fn of(&self, _: &Req) -> usize {
        0
    }
}

impl<Req, F: Fn(&Req) -> usize> Parts<Req> for F {
    fn of(&self, req: &Req) -> usize {
        self(req)
    }
}

/// Logs one `INFO` line when a call was served by another path than the one named last, with what went before.
///
/// | what happened | the line |
/// |---|---|
/// | the first success | `[NATS] serves now` |
/// | another path serves | `[DB] serves now. Before, in 6.4 s: 5252 over [NATS]` |
/// | one that had served before | `[NATS] serves now again. Before, in 38.2 s: 1204 over [DB], 3 failed` |
/// | the same, after a second and more in which nothing was served | `[DB] serves now again. Before, in 10.3 s: 231 failed` |
///
/// `failed` counts errors of every class but `Rejected`: those are the request's own. A line that follows a time in which
/// nothing was served says for how long: `…, 3 failed; for 2.0 s nothing served`.
///
/// Paths that alternate are named at most every 250 ms, and ever more seldom (every 8 s at last) as long as they go on; what
/// was not said then is said with the next call after that, if it is still true, and its counts include everything. A call
/// over the path that was named last takes no lock and reads no clock.
///
/// *Errors* pass through and are counted. *Drop*: drops the inner future; nothing is counted.
#[derive(Clone, Debug)]
pub struct Switch<S, P = Whole> {
    inner: S,
    states: States,
    parts: P,
}

impl<S, P, Req> Service<Req> for Switch<S, P>
where
    S: Service<Req>,
    P: Parts<Req>,
    S::Response: ServedBy,
    S::Error: Classify,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = SwitchFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        // Never empty: see `SwitchLayer`.
        let part = self.parts.of(&req).min(self.states.len() - 1);
        let state = Arc::clone(&self.states[part]);
        SwitchFuture { inner: self.inner.call(req), state }
    }
}

/// Response future of [`Switch`].
#[pin_project]
#[derive(Debug)]
pub struct SwitchFuture<F> {
    #[pin]
    inner: F,
    state: Arc<State>,
}

impl<F, T, E> Future for SwitchFuture<F>
where
    F: Future<Output = Result<T, E>>,
    T: ServedBy,
    E: Classify,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let me = self.project();
        let result = ready!(me.inner.poll(cx));
        match &result {
            Ok(response) => me.state.served(response.served_by(), T::PATHS),
            Err(error) if error.class() == Class::Rejected => {}
            Err(_) => me.state.failed(),
        }
        Poll::Ready(result)
    }
}

#[derive(Debug)]
struct State {
    /// What is served; nothing where it is everything.
    what: &'static str,
    /// The path that was named last. Written only with `book` locked.
    named: AtomicUsize,
    /// Whether the last call failed. Set with `book` locked, and unset.
    failing: AtomicBool,
    /// Since the last line: calls by path, and those that failed.
    calls: [AtomicU64; PATHS],
    failed: AtomicU64,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    last_line: Option<Instant>,
    /// How long the next line must wait for, if that is more than usual.
    quiet: Duration,
    /// Bit `1 << path`: it was named once.
    known: u64,
    failing_since: Option<Instant>,
    /// The longest time in which nothing was served, and which no line has told.
    outage: Duration,
}

impl Default for State {
    fn default() -> Self {
        Self {
            what: "",
            named: AtomicUsize::new(NOBODY),
            failing: AtomicBool::new(false),
            calls: [const { AtomicU64::new(0) }; PATHS],
            failed: AtomicU64::new(0),
            book: Mutex::default(),
        }
    }
}

impl State {
    #[inline]
    fn served(&self, path: usize, tags: &[&str]) {
        if self.named.load(Relaxed) != path || self.failing.load(Relaxed) {
            self.changed(path, tags);
        }
        self.calls[path.min(PATHS - 1)].fetch_add(1, Relaxed);
    }

    #[cold]
    fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
        if !self.failing.load(Relaxed) {
            let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            book.failing_since.get_or_insert_with(Instant::now);
            self.failing.store(true, SeqCst);
        }
    }

    /// Names the path, unless another was named a moment ago. The line is written with the lock held, so that the last
    /// line is the last state.
    #[cold]
    fn changed(&self, path: usize, tags: &[&str]) {
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
        let first = book.last_line.is_none();
        // Where nothing was ever served, the story begins with the first failure.
        let since = match (same, book.last_line) {
            (false, Some(line)) => Some(line),
            _ => failing_since,
        };
        let before = since.map_or(Duration::ZERO, |since| now.duration_since(since));
        if !same && !first && before < book.quiet.max(QUIET.0) {
            return;
        }
        book.quiet = book.quiet_after(before);
        let again = book.known & (1 << path.min(63)) != 0;
        book.known |= 1 << path.min(63);
        book.last_line = Some(now);
        self.named.store(path, Relaxed);
        let calls = std::array::from_fn(|path| self.calls[path].swap(0, Relaxed));
        let line = Line {
            tags,
            path,
            what: self.what,
            again,
            // The path that goes on has served before, too; that is no part of this story.
            calls: if same { [0; PATHS] } else { calls },
            failed: self.failed.swap(0, Relaxed),
            before,
            outage: std::mem::take(&mut book.outage),
        };
        tracing::info!(target: TARGET, "{line}");
    }
}

impl Book {
    /// Paths that change soon after they may are flapping.
    fn quiet_after(&self, before: Duration) -> Duration {
        let quiet = self.quiet.max(QUIET.0);
        match before {
            soon if soon < quiet * 2 => (quiet * 2).min(QUIET.1),
            late if late >= quiet * 4 => QUIET.0,
            _ => quiet,
        }
    }
}

/// What a line tells.
struct Line<'a> {
    tags: &'a [&'a str],
    path: usize,
    what: &'a str,
    again: bool,
    calls: [u64; PATHS],
    failed: u64,
    before: Duration,
    outage: Duration,
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = |path: usize| self.tags.get(path).copied().unwrap_or("?");
        write!(f, "{} serves now", tag(self.path))?;
        if self.again {
            f.write_str(" again")?;
        }
        if !self.what.is_empty() {
            write!(f, ": {}", self.what)?;
        }
        let mut parts = (0..PATHS).filter(|path| self.calls[*path] > 0).peekable();
        if parts.peek().is_none() && self.failed == 0 {
            return Ok(());
        }
        write!(f, ". Before, in {:.1} s:", self.before.as_secs_f64())?;
        let mut comma = "";
        for path in parts {
            write!(f, "{comma} {} over {}", self.calls[path], tag(path))?;
            comma = ",";
        }
        if self.failed > 0 {
            write!(f, "{comma} {} failed", self.failed)?;
        }
        if self.outage >= OUTAGE && self.outage < self.before {
            write!(f, "; for {:.1} s nothing served", self.outage.as_secs_f64())?;
        }
        Ok(())
    }
}
