//! Response bodies of HTTP, which outlive the call.
//!
//! To every other layer a call ends with the response's head. A body that comes in frames for minutes, stands still or breaks
//! off is behind its end: no [`Timeout`](crate::timeout::Timeout) limits it, no breaker counts it, no log line tells of it.
//! [`BodyLayer`] wraps each response's body in a [`Watched`] one, which limits the time between two frames and tells how it
//! ended.

mod future;
mod layer;
mod watched;

pub use self::{
    future::BodyFuture,
    layer::BodyLayer,
    watched::{BodyError, End, Outcome, Watched},
};

use std::{
    task::{Context, Poll},
    time::Duration,
};
use tower_service::Service;

/// Limits the time between the frames of a response's body, and tells how each body ended.
///
/// The time starts when the body is first pending, and again after each frame. *Errors*: of the call, those of the inner
/// service; of a body, [`BodyError`]. *Drop*: a body that is dropped before its end is told as [`Outcome::Dropped`].
/// *Runtime*: a body that has to be waited for needs a tokio runtime with its timer enabled.
///
/// ```
/// use eitherway_layers::{BodyLayer, BreakerLayer, body::End, breaker::Config};
/// use std::time::Duration;
///
/// // Five bodies in a row that stand still open the circuit, which sees only heads by itself.
/// # use std::sync::{Arc, atomic::{AtomicU32, Ordering::Relaxed}};
/// let breaker = BreakerLayer::new(Config::new());
/// let (circuit, broken) = (breaker.handle(), Arc::new(AtomicU32::new(0)));
/// let bodies = BodyLayer::new(Duration::from_secs(5)).on_end(move |end: &End| {
///     if !end.is_failure() {
///         broken.store(0, Relaxed);
///     } else if broken.fetch_add(1, Relaxed) == 4 {
///         circuit.trip();
///     }
/// });
/// # drop(bodies);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Body<S, F = fn(&End)> {
    inner: S,
    limit: Duration,
    ended: F,
}

impl<S, F> Body<S, F> {
    inner!("The service behind it.", S);
}

impl<S, F, Req, B> Service<Req> for Body<S, F>
where
    S: Service<Req, Response = http::Response<B>>,
    B: http_body::Body,
    F: Fn(&End) + Clone,
{
    type Response = http::Response<Watched<B, F>>;
    type Error = S::Error;
    type Future = BodyFuture<S::Future, F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        BodyFuture::new(self.inner.call(req), self.limit, self.ended.clone())
    }
}
