use super::{Rejected, permit::CallPermit};
use crate::Classifier;
use pin_project::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Response future of [`Breaker`](super::Breaker).
#[pin_project]
pub struct BreakerFuture<F, C> {
    #[pin]
    state: State<F, C>,
}

#[pin_project(project = StateProj)]
enum State<F, C> {
    Rejected(Rejected),
    Running {
        #[pin]
        call: F,
        /// Dropped with the future, it returns its lease.
        permit: Option<CallPermit>,
        classifier: C,
    },
}

impl<F, C> BreakerFuture<F, C> {
    #[inline(always)]
    pub(super) const fn rejected(rejected: Rejected) -> Self {
        Self { state: State::Rejected(rejected) }
    }

    #[inline(always)]
    pub(super) const fn running(call: F, permit: CallPermit, classifier: C) -> Self {
        Self { state: State::Running { call, permit: Some(permit), classifier } }
    }
}

impl<F, T, E, C> Future for BreakerFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    E: From<Rejected>,
    C: Classifier<T, E>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().state.project() {
            StateProj::Rejected(rejected) => Poll::Ready(Err((*rejected).into())),
            StateProj::Running { call, permit, classifier } => {
                let polled = match permit {
                    Some(permit) => permit.inside(|| call.poll(cx)),
                    None => call.poll(cx),
                };
                let Poll::Ready(result) = polled else {
                    if let Some(permit) = permit {
                        permit.waits();
                    }
                    return Poll::Pending;
                };
                if let Some(permit) = permit.take() {
                    permit.finish(classifier.failure(&result));
                }
                Poll::Ready(result)
            }
        }
    }
}

impl<F, C> fmt::Debug for BreakerFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Rejected(rejected) => f.debug_tuple("BreakerFuture").field(rejected).finish(),
            State::Running { permit, .. } => {
                f.debug_struct("BreakerFuture").field("permit", permit).finish_non_exhaustive()
            }
        }
    }
}
