//! Logs which path serves, whenever it changes.

mod line;
mod state;

/// The atomics, the lock and the clock of `state`.
mod sync {
    pub(super) use std::sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    };
    pub(super) use tokio::time::Instant;
}

use super::serving_path::{ByResponse, Parts, ServingPath, SinglePart};
use crate::{
    ByError, Class, Classifier,
    bounds::{Judges, PathsOf},
    held::Held,
};
use pin_project::pin_project;
use state::{CountWon, HedgesWon, State};
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

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
type States = Held<[Held<State>]>;

fn of(names: impl IntoIterator<Item = &'static str>) -> States {
    Held::Counted(names.into_iter().map(|what| Held::new(State::of(what))).collect())
}

impl Default for PathChangeLogLayer {
    fn default() -> Self {
        Self { states: of([""]), parts: SinglePart, via: ByResponse, classifier: ByError }
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
        let states = of(names);
        let states = if states.is_empty() { of([""]) } else { states };
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

    /// Never frees what it counts, as [`Box::leak`] does, so that no clone and no call has to count who still uses it: four
    /// atomic changes less for a call on a clone. For a stack that lives as long as the program. Some hundred bytes a part.
    #[must_use]
    pub fn leak(self) -> Self {
        let states = self.states.iter().map(|state| state.clone().leak()).collect();
        Self { states: Held::Counted(states).leak(), ..self }
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
    layer: PathChangeLogLayer<P, V, C>,
    inner: S,
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
        let state = states[parts.of(&req).min(states.len() - 1)].clone();
        SwitchFuture { state, via: via.clone(), classifier: classifier.clone(), inner: self.inner.call(req) }
    }
}

/// Response future of [`PathChangeLog`].
#[pin_project]
#[derive(Debug)]
pub struct SwitchFuture<F, V = ByResponse, C = ByError> {
    #[pin]
    inner: F,
    state: Held<State>,
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
        let polled = me.inner.poll(cx);
        if let Poll::Ready(result) = &polled {
            match (me.classifier.failure(result), result) {
                (None, Ok(response)) => me.state.served(me.via.of(response)),
                (Some(failure), _) if failure.class != Class::Rejected => me.state.failed(),
                (Some(_), _) | (None, Err(_)) => {}
            }
        }
        polled
    }
}
