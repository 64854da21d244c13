//! The way into a stack: how many requests are in flight, and when no more are let in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use futures_util::future::{self, Either, MapErr, Ready};
use futures_util::{FutureExt, TryFutureExt};
use tokio::sync::Semaphore;
use tower::Service;
use tower::limit::GlobalConcurrencyLimitLayer;

use crate::client::Stack;
use crate::error::{Cause, Code, Error};
use crate::operation::Operation;
use crate::reply::Reply;
use crate::request::Request;

/// The admission of a stack: counts the requests in flight, and closes once. Clones share it.
#[derive(Clone, Debug)]
pub struct Admission {
    closed: Arc<AtomicBool>,
    places: Arc<Semaphore>,
    most: u32,
}

impl Admission {
    pub(super) fn new(most: usize) -> Self {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let places = Arc::new(Semaphore::new(usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS)));
        Self { closed: Arc::default(), places, most }
    }

    pub(super) fn limit(&self) -> GlobalConcurrencyLimitLayer {
        GlobalConcurrencyLimitLayer::with_semaphore(Arc::clone(&self.places))
    }

    /// Lets no more requests in: each is refused with class `NotSent`, on every clone of the stack. Those in flight go on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Whether it is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// How many requests are in flight; a clone of the stack that is ready for its next one counts as one.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        (self.most as usize).saturating_sub(self.places.available_permits())
    }

    /// Waits until no request is in flight. Close the admission first: until this has completed or is dropped, later requests
    /// wait behind it. Cancel safe.
    pub async fn idle(&self) {
        // The semaphore is never closed.
        let _ = self.places.acquire_many(self.most).await;
    }
}

/// A stack behind its admission.
#[derive(Clone, Debug)]
pub(super) struct Admitted<S> {
    pub(super) inner: S,
    pub(super) admission: Admission,
}

impl<O: Operation, S: Stack<O>> Service<Request<O>> for Admitted<S> {
    type Response = Reply<O::Answer>;
    type Error = Error<O>;
    type Future =
        Either<MapErr<S::Future, fn(S::Error) -> Error<O>>, Ready<Result<Self::Response, Error<O>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error<O>>> {
        if self.admission.is_closed() {
            return Poll::Ready(Ok(()));
        }
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, request: Request<O>) -> Self::Future {
        if self.admission.is_closed() {
            // Gives back what was reserved for this call.
            self.inner = self.inner.clone();
            let cause =
                Cause::new(Code::UNAVAILABLE, "this program is shutting down, and sends nothing more");
            return future::err(Error::new(cause, request)).right_future();
        }
        let into: fn(S::Error) -> Error<O> = Into::into;
        self.inner.call(request).map_err(into).left_future()
    }
}
