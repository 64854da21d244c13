//! The service that is tried first, and the decision that its readiness makes for the next request.

use super::Unready;
use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
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
    /// Its `poll_ready` has failed, so that it must not be polled again.
    dead: bool,
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
        Self { service, route: Route::Undecided, patience: None, dead: false }
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
            if self.dead {
                self.route = Route::PrimaryNotReady;
                return Poll::Ready(());
            }
            self.route = match self.service.poll_ready(cx) {
                Poll::Ready(Ok(())) => Route::Primary,
                Poll::Ready(Err(error)) => {
                    self.dead = true;
                    Route::Failed(error)
                }
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

    /// Takes the decision; the next request needs a new one. A primary that was not ready in time is asked again,
    /// because the request may have come long after that was decided.
    #[inline]
    pub(crate) fn take_route<Req>(&mut self) -> Route<E>
    where
        P: Service<Req, Error = E>,
    {
        match mem::replace(&mut self.route, Route::Undecided) {
            Route::PrimaryNotReady if !self.dead => {
                match self.service.poll_ready(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(Ok(())) => Route::Primary,
                    Poll::Ready(Err(error)) => {
                        self.dead = true;
                        Route::Failed(error)
                    }
                    Poll::Pending => Route::PrimaryNotReady,
                }
            }
            route => route,
        }
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

/// A clone starts undecided: readiness, and its failure, belong to the instance that was polled.
impl<P: Clone, E> Clone for Primary<P, E> {
    fn clone(&self) -> Self {
        Self::new(self.service.clone())
    }
}
