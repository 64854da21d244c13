//! The service that is tried first, and the decision that its readiness makes for the next request.

use super::Unready;
use crate::bounds::PrimaryService;
use std::{
    any::Any,
    mem,
    pin::Pin,
    sync::{Mutex, OnceLock, PoisonError},
    task::{Context, Poll, Waker},
};
use tokio::time::{Sleep, sleep};

/// A primary and the route of the next request: set by [`poll_ready`](Self::poll_ready), taken with
/// [`take_route`](Self::take_route) by the call.
pub(crate) struct Primary<P> {
    pub(crate) service: P,
    next: Next,
    /// Runs while the primary is pending and the policy's patience is limited.
    patience: Option<Pin<Box<Sleep>>>,
    /// Its `poll_ready` has failed, so that it must not be polled again.
    dead: bool,
    fresh: Fresh<P>,
}

/// How to make a fresh instance, once there is a clone: without one there is none to take a place from.
enum Fresh<P> {
    /// The first instance, which is set when it is cloned.
    First(OnceLock<fn(&P) -> P>),
    /// A clone. Not a cell that is filled at once, which costs more than the rest of the clone.
    Clone(fn(&P) -> P),
}

/// What `poll_ready` has decided.
enum Next {
    Undecided,
    /// To the primary, which is ready for one request; only this instance may be called.
    Primary,
    /// Around the primary, whose `poll_ready` failed. Boxed, so that the error is in no type, and behind a mutex that
    /// is never locked, so that it need not be `Sync`.
    Failed(Mutex<Box<dyn Any + Send>>),
    /// Around the primary, which was not ready in time.
    Around,
}

/// Where a request goes.
pub(crate) enum Route<E> {
    Primary,
    /// Around the primary, whose `poll_ready` failed.
    Failed(E),
    /// Around the primary, which was not ready in time.
    PrimaryNotReady,
}

impl<P> Primary<P> {
    pub(crate) const fn new(service: P) -> Self {
        Self {
            service,
            next: Next::Undecided,
            patience: None,
            dead: false,
            fresh: Fresh::First(OnceLock::new()),
        }
    }

    /// Drives the primary's readiness until the route of the next request is decided.
    pub(crate) fn poll_ready<Req>(
        &mut self,
        unready: impl FnOnce() -> Unready,
        cx: &mut Context<'_>,
    ) -> Poll<()>
    where
        P: PrimaryService<Req>,
    {
        if matches!(self.next, Next::Undecided) {
            if self.dead {
                self.next = Next::Around;
                return Poll::Ready(());
            }
            self.next = match self.service.poll_ready(cx) {
                Poll::Ready(Ok(())) => Next::Primary,
                Poll::Ready(Err(error)) => {
                    self.dead = true;
                    Next::Failed(Mutex::new(Box::new(error)))
                }
                Poll::Pending => {
                    if !self.out_of_patience(unready(), cx) {
                        // CORRECTNESS: the primary has registered the waker, and so has the timer, if there
                        // is one.
                        return Poll::Pending;
                    }
                    self.leave_queue();
                    Next::Around
                }
            };
            self.patience = None;
        }
        Poll::Ready(())
    }

    /// Takes the decision; the next request needs a new one. A primary that was not ready in time is asked again,
    /// because the request may have come long after that was decided.
    #[inline]
    pub(crate) fn take_route<Req>(&mut self) -> Route<P::Error>
    where
        P: PrimaryService<Req>,
    {
        match mem::replace(&mut self.next, Next::Undecided) {
            Next::Undecided | Next::Primary => Route::Primary,
            Next::Failed(error) => {
                match error.into_inner().unwrap_or_else(PoisonError::into_inner).downcast() {
                    Ok(error) => Route::Failed(*error),
                    // Made ready for requests of another type.
                    Err(_) => Route::PrimaryNotReady,
                }
            }
            Next::Around if self.dead => Route::PrimaryNotReady,
            Next::Around => match self.service.poll_ready(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(())) => Route::Primary,
                Poll::Ready(Err(error)) => {
                    self.dead = true;
                    Route::Failed(error)
                }
                Poll::Pending => {
                    self.leave_queue();
                    Route::PrimaryNotReady
                }
            },
        }
    }

    /// The request goes around a primary that was waited for: whatever is queued for this clone (a permit, a slot)
    /// goes to those who still wait, and not to a clone that may never be polled again.
    fn leave_queue(&mut self) {
        let fresh = match &self.fresh {
            Fresh::First(fresh) => fresh.get().copied(),
            Fresh::Clone(fresh) => Some(*fresh),
        };
        if let Some(fresh) = fresh {
            self.service = fresh(&self.service);
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
impl<P: Clone> Clone for Primary<P> {
    #[inline]
    fn clone(&self) -> Self {
        if let Fresh::First(fresh) = &self.fresh {
            fresh.get_or_init(|| P::clone);
        }
        Self {
            next: Next::Undecided,
            patience: None,
            dead: false,
            fresh: Fresh::Clone(P::clone),
            service: self.service.clone(),
        }
    }
}
