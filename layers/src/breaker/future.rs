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

    /// Of the call that `call` begins.
    #[inline(always)]
    pub(super) fn running(permit: CallPermit, classifier: C, call: impl FnOnce() -> F) -> Self {
        let mut permit = Some(permit);
        permit.as_mut().into_iter().for_each(CallPermit::enters);
        let mut state = State::Running { permit, classifier, call: call() };
        if let State::Running { permit: Some(permit), .. } = &mut state {
            permit.leaves();
        }
        Self { state }
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
                if let Some(permit) = permit {
                    permit.enters();
                }
                let polled = call.poll(cx);
                if let Some(call) = permit {
                    match &polled {
                        Poll::Pending => call.waits(),
                        Poll::Ready(result) => {
                            call.leaves();
                            call.finish(classifier.failure(result));
                            *permit = None; // in place
                        }
                    }
                }
                polled
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
