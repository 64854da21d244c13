//! Logs which path serves, whenever it changes.

use super::{
    level_callsite::TARGET,
    serving_path::{ByResponse, Parts, ServingPath, SinglePart},
};
use crate::{
    ByError, Class, Classifier,
    bounds::{Judges, PathsOf},
};
use pin_project::pin_project;
use std::{
    fmt::{self, Display},
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
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

/// The shortest time between two lines: normally, and at most while paths keep alternating.
const QUIET: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));

/// An interruption shorter than this is not logged if the same path serves afterwards.
const OUTAGE: Duration = Duration::from_secs(1);

/// The number of paths that are told apart. Further ones count as one, [`OTHERS`].
const PATHS: usize = 8;

/// The tag of all paths beyond the first [`PATHS`] that served.
const OTHERS: &str = "[OTHERS]";

/// No path has served yet.
const NONE: usize = usize::MAX;

/// Applies a [`PathChangeLog`] to services. All of them, and all their clones, share one state.
///
/// ```
/// use eitherway_layers::PathChangeLogLayer;
///
/// let layer = PathChangeLogLayer::new();
/// // Reads and writes may be served by different paths at the same time: each has its own lines.
/// let apart = PathChangeLogLayer::by(["reads", "writes"], |request: &&str| usize::from(*request != "GET"));
/// ```
#[derive(Clone, Debug)]
pub struct PathChangeLogLayer<P = SinglePart, V = ByResponse, C = ByError> {
    states: States,
    parts: P,
    via: V,
    classifier: C,
}

/// One state per part.
type States = Arc<[Arc<State>]>;

impl Default for PathChangeLogLayer {
    fn default() -> Self {
        Self { states: Arc::new([Arc::default()]), parts: SinglePart, via: ByResponse, classifier: ByError }
    }
}

impl PathChangeLogLayer {
    /// A layer that has not seen a path serve yet.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<P> PathChangeLogLayer<P> {
    /// Tracks parts of the calls separately. `names` are the names of the parts in the log, and `part`
    /// returns the index of a request's part. Parts that different paths may serve at the same time need
    /// separate states: a shared state would report a change with almost every call.
    ///
    /// An index beyond the last name counts as the last one. Without names there is one unnamed part.
    pub fn by(names: impl IntoIterator<Item = &'static str>, part: P) -> Self {
        let state = |what| Arc::new(State { what, ..State::default() });
        let states: States = names.into_iter().map(state).collect();
        let states = if states.is_empty() { Arc::new([Arc::default()]) } else { states };
        Self { states, parts: part, via: ByResponse, classifier: ByError }
    }
}

impl<P, V, C> PathChangeLogLayer<P, V, C> {
    /// Tells how many hedges of a part, by its index, the path with a tag has won so far. A path that has served because its
    /// hedge has won is named only when it serves again before the path that was named last does: one hedge alone is no
    /// change, unless it ends a second without a success. Asked where another path serves than was named. What is set first
    /// stays.
    #[must_use]
    pub fn hedges_won(self, count: impl Fn(usize, &'static str) -> u64 + Send + Sync + 'static) -> Self {
        let count: Arc<CountWon> = Arc::new(count);
        for (part, state) in self.states.iter().enumerate() {
            let _ = state.hedges_won.set(HedgesWon { part, count: Arc::clone(&count) });
        }
        self
    }

    /// Reads the tag of the path from the response by a closure, for responses of another crate.
    pub fn served_by<V2>(self, via: V2) -> PathChangeLogLayer<P, V2, C> {
        PathChangeLogLayer { states: self.states, parts: self.parts, via, classifier: self.classifier }
    }

    /// Sets what counts as a failure: a [`Classifier`], or a closure over the result. A failure is not served by a
    /// path, even if it is an `Ok`; an error that is none counts for no path and as no failure.
    pub fn classify_by<C2>(self, classifier: C2) -> PathChangeLogLayer<P, V, C2> {
        PathChangeLogLayer { states: self.states, parts: self.parts, via: self.via, classifier }
    }
}

impl<S, P: Clone, V: Clone, C: Clone> Layer<S> for PathChangeLogLayer<P, V, C> {
    type Service = PathChangeLog<S, P, V, C>;

    fn layer(&self, inner: S) -> Self::Service {
        PathChangeLog { inner, layer: self.clone() }
    }
}

/// Logs one `INFO` line when the path that serves a call differs from the path named last, with counts since
/// the previous line.
///
/// | event | line |
/// |---|---|
/// | the first success | `[NATS] is serving` |
/// | another path serves | `[DB] is serving after 6.4s (5252 requests served by [NATS])` |
/// | a path that has served before | `[NATS] is serving again after 38.2s (1204 requests served by [DB], 3 failed)` |
/// | the same path, after at least a second without a success | `[DB] is serving again after 10.3s (231 failed)` |
///
/// `failed` counts errors of every class except `Rejected`, which are the requests' own. If no call succeeded
/// for at least a second within that time, the line says for how long: `…, 3 failed, nothing served for
/// 2.0s)`.
///
/// Paths that alternate are named at most every 250 ms; while they keep alternating, the interval grows to 8
/// s. A change within the interval is logged with the next call after it, if the change still holds, and the
/// counts of that line include everything. So is a change by a hedge alone, where
/// [`hedges_won`](PathChangeLogLayer::hedges_won) tells of hedges. A call over the path that was named last takes no lock and reads
/// no clock.
///
/// *Errors* pass through and are counted. *Drop*: drops the inner future; nothing is counted.
#[derive(Clone, Debug)]
pub struct PathChangeLog<S, P = SinglePart, V = ByResponse, C = ByError> {
    inner: S,
    layer: PathChangeLogLayer<P, V, C>,
}

impl<S, P, V, C> PathChangeLog<S, P, V, C> {
    inner!("The service behind the layer.", S);
}

impl<S, P, V, C, Req> Service<Req> for PathChangeLog<S, P, V, C>
where
    S: Service<Req>,
    P: Parts<Req>,
    V: PathsOf<S, Req> + Clone,
    C: Judges<S, Req> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = SwitchFuture<S::Future, V, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        // `states` is never empty: see `PathChangeLogLayer`.
        let PathChangeLogLayer { states, parts, via, classifier } = &self.layer;
        let state = Arc::clone(&states[parts.of(&req).min(states.len() - 1)]);
        SwitchFuture { inner: self.inner.call(req), state, via: via.clone(), classifier: classifier.clone() }
    }
}

/// Response future of [`PathChangeLog`].
#[pin_project]
#[derive(Debug)]
pub struct SwitchFuture<F, V = ByResponse, C = ByError> {
    #[pin]
    inner: F,
    state: Arc<State>,
    via: V,
    classifier: C,
}

impl<F, T, E, V, C> Future for SwitchFuture<F, V, C>
where
    F: Future<Output = Result<T, E>>,
    V: ServingPath<T>,
    C: Classifier<T, E>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let me = self.project();
        let result = ready!(me.inner.poll(cx));
        match (me.classifier.failure(&result), &result) {
            (None, Ok(response)) => me.state.served(me.via.of(response)),
            (Some(failure), _) if failure.class != Class::Rejected => me.state.failed(),
            (Some(_), _) | (None, Err(_)) => {}
        }
        Poll::Ready(result)
    }
}

#[derive(Debug)]
struct State {
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
    hedges_won: OnceLock<HedgesWon>,
    book: Mutex<Book>,
}

/// By the index of a part and the tag of a path.
type CountWon = dyn Fn(usize, &'static str) -> u64 + Send + Sync;

struct HedgesWon {
    part: usize,
    count: Arc<CountWon>,
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
        Self {
            what: "",
            tags: [const { OnceLock::new() }; PATHS],
            named: AtomicUsize::new(NONE),
            failing: AtomicBool::new(false),
            calls: [const { AtomicU64::new(0) }; PATHS + 1],
            failed: AtomicU64::new(0),
            hedges_won: OnceLock::new(),
            book: Mutex::default(),
        }
    }
}

impl State {
    #[inline]
    fn served(&self, tag: &'static str) {
        let path = self.path(tag);
        if self.named.load(Relaxed) != path || self.failing.load(Relaxed) {
            self.changed(path);
        }
        self.calls[path].fetch_add(1, Relaxed);
    }

    /// The index of the path with this tag, which it gets when it first serves; at most [`PATHS`].
    #[inline]
    fn path(&self, tag: &'static str) -> usize {
        self.tags.iter().position(|known| *known.get_or_init(|| tag) == tag).unwrap_or(PATHS)
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
        let calls = std::array::from_fn(|path| self.calls[path].swap(0, Relaxed));
        let line = Line {
            tags: &self.tags,
            path,
            what: self.what,
            again,
            // If the path has not changed, its earlier successes are not part of the interruption.
            calls: if same { [0; PATHS + 1] } else { calls },
            failed: self.failed.swap(0, Relaxed),
            before,
            outage: std::mem::take(&mut book.outage),
        };
        tracing::info!(target: TARGET, "{line}");
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

/// The content of a line.
struct Line<'a> {
    tags: &'a [OnceLock<&'static str>],
    path: usize,
    what: &'a str,
    again: bool,
    calls: [u64; PATHS + 1],
    failed: u64,
    before: Duration,
    outage: Duration,
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = |path: usize| self.tags.get(path).and_then(OnceLock::get).copied().unwrap_or(OTHERS);
        write!(f, "{} is serving", tag(self.path))?;
        if !self.what.is_empty() {
            write!(f, " {}", self.what)?;
        }
        if self.again {
            f.write_str(" again")?;
        }
        let mut parts = (0..=PATHS).filter(|path| self.calls[*path] > 0).peekable();
        if parts.peek().is_none() && self.failed == 0 {
            return Ok(());
        }
        write!(f, " after {:.1}s (", self.before.as_secs_f64())?;
        let mut comma = "";
        for path in parts {
            let requests = if self.calls[path] == 1 { "request" } else { "requests" };
            write!(f, "{comma}{} {requests} served by {}", self.calls[path], tag(path))?;
            comma = ", ";
        }
        if self.failed > 0 {
            write!(f, "{comma}{} failed", self.failed)?;
        }
        if self.outage >= OUTAGE && self.outage < self.before {
            write!(f, ", nothing served for {:.1}s", self.outage.as_secs_f64())?;
        }
        f.write_str(")")
    }
}
