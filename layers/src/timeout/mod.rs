//! Stops waiting for a response after a limit, and reports the limit.

mod error;
mod future;
mod layer;
mod limit;

pub use self::{
    error::Elapsed,
    future::TimeoutFuture,
    layer::TimeoutLayer,
    limit::{Fixed, Limit},
};

use crate::bounds::FailsWith;
use std::{
    task::{Context, Poll},
    time::Duration,
};
use tower_service::Service;

/// Returns an error made from [`Elapsed`] if the inner service takes longer than a limit.
///
/// The time starts when the call's future is first pending, so a call that is answered at once costs no
/// timer. Waiting for readiness is not limited.
///
/// *Errors*: those of the inner service, whose error type must implement `From<Elapsed>`. *Drop*: dropping
/// the future drops the inner future with it. When the limit is reached, the inner future lives until the
/// caller drops this one, which `await` does at once. *Runtime*: a call that has to wait needs a tokio
/// runtime with its timer enabled.
///
/// ```
/// use eitherway_layers::{Elapsed, Timeout};
/// use std::time::Duration;
/// use tower::{ServiceExt, service_fn};
///
/// #[derive(Debug)]
/// struct Error(String);
/// impl From<Elapsed> for Error {
///     fn from(elapsed: Elapsed) -> Self {
///         Error(elapsed.to_string())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let stuck = service_fn(|_: ()| std::future::pending::<Result<(), Error>>());
/// let error = Timeout::new(stuck, Duration::from_secs(2)).oneshot(()).await.unwrap_err();
/// assert_eq!(error.0, "no answer within 2s");
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Timeout<S, L = Fixed> {
    limit: L,
    inner: S,
}

impl<S> Timeout<S> {
    /// Limits every request to `after`.
    pub const fn new(inner: S, after: Duration) -> Self {
        Self { inner, limit: Fixed::after(after) }
    }

    /// Sets no limit: the stack keeps its type, and the calls pass through.
    pub const fn disabled(inner: S) -> Self {
        Self { inner, limit: Fixed::none() }
    }
}

impl<S, L> Timeout<S, L> {
    /// Sets a limit that depends on the request; see [`Limit`].
    pub const fn with_limit(inner: S, limit: L) -> Self {
        Self { inner, limit }
    }

    inner!("The service behind the limit.", S);
}

impl<S, L, Req> Service<Req> for Timeout<S, L>
where
    S: FailsWith<Elapsed, Req>,
    L: Limit<Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        TimeoutFuture { after: self.limit.limit(&req), sleep: None, inner: self.inner.call(req) }
    }
}
