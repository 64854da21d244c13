//! The service that is tried first, and the decision that its readiness makes for the next request.

use super::Unready;
use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::time::{Sleep, sleep};
use tower_service::Service;

/// A primary and the route of the next request: set by [`poll_ready`](Self::poll_ready), taken with
/// [`take_route`](Self::take_route) by the call.
pub(crate) struct Primary<P, E> {
    pub(crate) service: P,
    route: Route<E>,
    /// Runs while the primary is pending and the policy's patience is limited.
    patience: Option<Pin<Box<Sleep>>>,
}

/// Where the next request goes.
pub(crate) enum Route<E> {
    Undecided,
    /// To the primary, which is ready for one request; only this instance may be called.
    Primary,
    /// Around the primary, whose `poll_ready` failed.
    Failed(E),
    /// Around the primary, which was not ready in time.
    PrimaryNotReady,
}

impl<P, E> Primary<P, E> {
    pub(crate) const fn new(service: P) -> Self {
        Self { service, route: Route::Undecided, patience: None }
    }

    /// Drives the primary's readiness until the route of the next request is decided.
    pub(crate) fn poll_ready<Req>(
        &mut self,
        unready: impl FnOnce() -> Unready,
        cx: &mut Context<'_>,
    ) -> Poll<()>
    where
        P: Service<Req, Error = E>,
    {
        if matches!(self.route, Route::Undecided) {
            self.route = match self.service.poll_ready(cx) {
                Poll::Ready(Ok(())) => Route::Primary,
                Poll::Ready(Err(error)) => Route::Failed(error),
                Poll::Pending => {
                    if !self.out_of_patience(unready(), cx) {
                        // CORRECTNESS: the primary has registered the waker, and so has the timer, if there
                        // is one.
                        return Poll::Pending;
                    }
                    Route::PrimaryNotReady
                }
            };
            self.patience = None;
        }
        Poll::Ready(())
    }

    /// Takes the decision; the next request needs a new one.
    pub(crate) fn take_route(&mut self) -> Route<E> {
        mem::replace(&mut self.route, Route::Undecided)
    }

    /// Whether the policy's patience with a pending primary has ended. If not, the timer, if there is one,
    /// has registered the waker.
    fn out_of_patience(&mut self, unready: Unready, cx: &mut Context<'_>) -> bool {
        match unready {
            Unready::Wait => false,
            Unready::Reroute => true,
            Unready::After(patience) => {
                let timer = self.patience.get_or_insert_with(|| Box::pin(sleep(patience)));
                timer.as_mut().poll(cx).is_ready()
            }
        }
    }
}

/// A clone starts undecided: readiness belongs to the instance that was polled.
impl<P: Clone, E> Clone for Primary<P, E> {
    fn clone(&self) -> Self {
        Self::new(self.service.clone())
    }
}
