//! Says which path serves, whenever that changes.

use super::TARGET;
use crate::ServedBy;
use pin_project::pin_project;
use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

/// The shortest time between two lines.
const QUIET: Duration = Duration::from_millis(250);

/// No path has served yet.
const NOBODY: usize = usize::MAX;

/// Applies a [`Switch`] to services. All of them, and all their clones, share one state.
///
/// ```
/// use rosey_layers::SwitchLayer;
///
/// let layer = SwitchLayer::new();
/// ```
#[derive(Clone, Debug, Default)]
pub struct SwitchLayer {
    state: Arc<State>,
}

impl SwitchLayer {
    /// A layer that has not seen any path serve.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for SwitchLayer {
    type Service = Switch<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Switch { inner, state: Arc::clone(&self.state) }
    }
}

/// Logs one `INFO` line when a call was served by another path than the one named last.
///
/// The first success is a change too: `[DB] serves now`; later lines tell what went before: `[NATS] serves now (1204
/// operations over [DB] in 38.2 s before)`. Paths that alternate are named at most every 250 ms; what was not said then
/// is said with the next call after that, if it is still true. A call over the path that was named last takes no lock and
/// reads no clock.
///
/// *Errors* pass through and say nothing about a path. *Drop*: drops the inner future; nothing is counted.
#[derive(Clone, Debug)]
pub struct Switch<S> {
    inner: S,
    state: Arc<State>,
}

impl<S, Req> Service<Req> for Switch<S>
where
    S: Service<Req>,
    S::Response: ServedBy,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = SwitchFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        SwitchFuture { inner: self.inner.call(req), state: Arc::clone(&self.state) }
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
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let me = self.project();
        let result = ready!(me.inner.poll(cx));
        if let Ok(response) = &result {
            me.state.served(response.served_by(), T::PATHS);
        }
        Poll::Ready(result)
    }
}

#[derive(Debug)]
struct State {
    /// The path that was named last. Written only with `last_line` locked.
    named: AtomicUsize,
    /// Calls that it has served since.
    calls: AtomicU64,
    last_line: Mutex<Option<Instant>>,
}

impl Default for State {
    fn default() -> Self {
        Self { named: AtomicUsize::new(NOBODY), calls: AtomicU64::new(0), last_line: Mutex::new(None) }
    }
}

impl State {
    #[inline]
    fn served(&self, path: usize, tags: &[&str]) {
        if self.named.load(Relaxed) != path {
            self.other_path(path, tags);
        }
        // A call that is not named belongs to a path that has not taken over (yet): it is nobody's.
        if self.named.load(Relaxed) == path {
            self.calls.fetch_add(1, Relaxed);
        }
    }

    /// Names the path, unless another was named a moment ago. The line is written with the lock held, so that the last
    /// line is the last state.
    #[cold]
    fn other_path(&self, path: usize, tags: &[&str]) {
        let tag = |path: usize| tags.get(path).copied().unwrap_or("?");
        let mut last_line = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.named.load(Relaxed);
        if before == path {
            return;
        }
        let now = Instant::now();
        let Some(line_before) = *last_line else {
            self.named.store(path, Relaxed);
            *last_line = Some(now);
            tracing::info!(target: TARGET, "{} serves now", tag(path));
            return;
        };
        let since = now.duration_since(line_before);
        if since < QUIET {
            return;
        }
        self.named.store(path, Relaxed);
        *last_line = Some(now);
        let calls = self.calls.swap(0, Relaxed);
        tracing::info!(
            target: TARGET,
            "{} serves now ({calls} operations over {} in {:.1} s before)",
            tag(path),
            tag(before),
            since.as_secs_f64()
        );
    }
}
