//! Limits how many calls a service has at once, and how long others wait for a slot.

mod error;
mod layer;

pub use self::{error::Full, layer::BulkheadLayer};

use crate::bounds::FailsWith;
use pin_project::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tower_service::Service;

/// Gives a service at most a number of calls at once. A request waits for a slot no longer than a limit, then it is
/// refused with an error made from [`Full`], and the service is not called.
///
/// Around a secondary it keeps an outage of the primary from burying the service that is left. `tower`'s
/// `ConcurrencyLimit` and `LoadShed` do the like, with boxed errors, and without a wait that ends.
///
/// **Readiness.** `poll_ready` waits for a slot, in the order of arrival, and then for the inner service. An instance
/// that is ready holds its slot until it is called or dropped. When the wait ends without a slot, the instance is
/// ready, and `call` refuses the request, unless there is a slot by then and the inner service is ready at once.
///
/// *Cost*: an atomic change to take a slot and one to give it back; a request that has to wait allocates its wait.
/// *Errors*: those of the inner service, whose error type must implement `From<Full>`. *Drop*: dropping the future
/// drops the inner call, and gives back its slot. *Runtime*: a request that has to wait needs a tokio runtime
/// with its timer enabled.
///
/// ```
/// use eitherway_layers::{BulkheadLayer, bulkhead::Full};
/// use std::time::Duration;
/// use tower::{Layer, Service, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let stuck = service_fn(|_: u32| std::future::pending::<Result<u32, Full>>());
/// let layer = BulkheadLayer::new(1).wait(Duration::from_millis(20));
/// let mut first = layer.layer(stuck);
/// let _in_flight = first.ready().await.unwrap().call(1);
/// let error = first.clone().oneshot(2).await.unwrap_err();
/// assert_eq!(error.to_string(), "1 call in flight, and none has ended within 20ms");
/// # }
/// ```
pub struct Bulkhead<S> {
    inner: S,
    shared: Arc<Shared>,
    slot: Slot,
}

#[derive(Debug)]
struct Shared {
    permits: Arc<Semaphore>,
    full: Full,
}

impl Shared {
    fn take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_owned().ok()
    }
}

type Wait = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send + Sync>>;

/// What this instance has for its next call.
enum Slot {
    None,
    Waits(Wait),
    Taken(OwnedSemaphorePermit),
    Refused,
}

impl<S> Bulkhead<S> {
    inner!("The service behind the limit.", S);

    fn wait(&self) -> Wait {
        let (permits, limit) = (Arc::clone(&self.shared.permits), self.shared.full.waited());
        Box::pin(async move { timeout(limit, permits.acquire_owned()).await.ok()?.ok() })
    }

    fn poll_place(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.slot = match &mut self.slot {
                Slot::Taken(_) | Slot::Refused => return Poll::Ready(()),
                Slot::None => match self.shared.take() {
                    Some(slot) => Slot::Taken(slot),
                    None if self.shared.full.waited().is_zero() => Slot::Refused,
                    None => Slot::Waits(self.wait()),
                },
                // CORRECTNESS: the semaphore and the timer have registered the waker.
                Slot::Waits(wait) => ready!(wait.as_mut().poll(cx)).map_or(Slot::Refused, Slot::Taken),
            };
        }
    }

    /// The slot for a call: the one that was taken, or one that has become free since the refusal.
    fn slot<Req>(&mut self) -> Option<OwnedSemaphorePermit>
    where
        S: Service<Req>,
    {
        match std::mem::replace(&mut self.slot, Slot::None) {
            Slot::Taken(slot) => Some(slot),
            Slot::None | Slot::Waits(_) | Slot::Refused => {
                let slot = self.shared.take()?;
                let ready = self.inner.poll_ready(&mut Context::from_waker(Waker::noop()));
                matches!(ready, Poll::Ready(Ok(()))).then_some(slot)
            }
        }
    }
}

impl<S, Req> Service<Req> for Bulkhead<S>
where
    S: FailsWith<Full, Req>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BulkheadFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        ready!(self.poll_place(cx));
        match self.slot {
            Slot::Refused => Poll::Ready(Ok(())),
            _ => self.inner.poll_ready(cx),
        }
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        match self.slot::<Req>() {
            Some(slot) => {
                BulkheadFuture { state: State::Running { call: self.inner.call(req), _place: slot } }
            }
            None => BulkheadFuture { state: State::Refused(self.shared.full) },
        }
    }
}

/// A clone has no slot.
impl<S: Clone> Clone for Bulkhead<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared), slot: Slot::None }
    }
}

impl<S: fmt::Debug> fmt::Debug for Bulkhead<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulkhead")
            .field("inner", &self.inner)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

/// Response future of [`Bulkhead`].
#[pin_project]
#[derive(Debug)]
pub struct BulkheadFuture<F> {
    #[pin]
    state: State<F>,
}

#[pin_project(project = StateProj)]
#[derive(Debug)]
enum State<F> {
    Refused(Full),
    Running {
        #[pin]
        call: F,
        _place: OwnedSemaphorePermit,
    },
    /// The slot has been given back.
    Ended,
}

impl<F, T, E> Future for BulkheadFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: From<Full>,
{
    type Output = F::Output;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut state = self.as_mut().project().state;
        let result = match state.as_mut().project() {
            StateProj::Refused(full) => Err((*full).into()),
            StateProj::Running { call, .. } => ready!(call.poll(cx)),
            StateProj::Ended => panic!("`BulkheadFuture` polled after it had finished"),
        };
        // A slot is free as soon as its call has ended, not when the caller drops this future.
        state.set(State::Ended);
        Poll::Ready(result)
    }
}
