use super::{FallbackError, First, Shared};
use crate::bounds::{PolicyOf, SecondTo};
use pin_project::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};
use tower_service::Service;

/// Response future of [`Fallback`](super::Fallback).
#[pin_project]
pub struct FallbackFuture<P: Service<Req>, S: Service<Req>, C, Req> {
    #[pin]
    state: State<P::Future, S, S::Future, C, Req>,
    first: First<P::Error>,
}

/// Each transition drops what the previous state held: setting the state from `Primary` to `Around` drops the
/// primary's future before the secondary is cloned.
#[pin_project(project = StateProj)]
enum State<PF, S, SF, C, Req> {
    /// The primary runs. `kept` is what a reroute needs; without it the result is final.
    Primary {
        #[pin]
        call: PF,
        kept: Option<(Req, Arc<Shared<S, C>>)>,
    },
    /// The primary's future has been dropped, and the secondary has not been cloned yet.
    Around { kept: Option<(Req, Arc<Shared<S, C>>)> },
    /// The call's own clone of the secondary is becoming ready.
    Ready {
        secondary: S,
        req: Option<Req>,
        patience: Option<Duration>,
        /// Runs while the secondary is pending.
        timer: Option<Pin<Box<Sleep>>>,
    },
    /// The secondary runs.
    Secondary {
        #[pin]
        call: SF,
    },
}

impl<P: Service<Req>, S: Service<Req>, C, Req> FallbackFuture<P, S, C, Req> {
    /// Of the call that `call` begins.
    #[inline(always)]
    pub(super) fn primary(kept: Option<(Req, Arc<Shared<S, C>>)>, call: impl FnOnce() -> P::Future) -> Self {
        Self { first: First::Nothing, state: State::Primary { kept, call: call() } }
    }

    #[inline(always)]
    pub(super) fn around(first: First<P::Error>, req: Req, shared: Arc<Shared<S, C>>) -> Self {
        Self { state: State::Around { kept: Some((req, shared)) }, first }
    }
}

/// A completed future holds nothing that could answer again.
const FINISHED: &str = "`FallbackFuture` polled after it had finished";

impl<P, S, C, Req> Future for FallbackFuture<P, S, C, Req>
where
    P: Service<Req>,
    S: SecondTo<P, Req>,
    C: PolicyOf<P, Req>,
{
    type Output = Result<P::Response, FallbackError<P::Error, S::Error>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut me = self.project();
        loop {
            // CORRECTNESS: every `ready!` returns `Pending` for a future or service that has just registered
            // the waker.
            let next = match me.state.as_mut().project() {
                StateProj::Primary { call, kept } => {
                    let result = ready!(call.poll(cx));
                    match kept.take() {
                        Some((req, shared)) if shared.policy.reroute(&req, &result) => {
                            shared.policy.rerouted(&req, &result);
                            *me.first = First::of(result);
                            State::Around { kept: Some((req, shared)) }
                        }
                        _ => return Poll::Ready(result.map_err(FallbackError::Primary)),
                    }
                }
                StateProj::Around { kept } => {
                    let (req, shared) = kept.take().expect(FINISHED);
                    let patience = shared.policy.patience();
                    State::Ready { secondary: shared.secondary(), req: Some(req), patience, timer: None }
                }
                StateProj::Ready { secondary, req, patience, timer } => match secondary.poll_ready(cx) {
                    Poll::Ready(Ok(())) => {
                        State::Secondary { call: secondary.call(req.take().expect(FINISHED)) }
                    }
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(me.first.take().and(error)));
                    }
                    Poll::Pending => {
                        let Some(patience) = *patience else { return Poll::Pending };
                        ready!(timer.get_or_insert_with(|| Box::pin(sleep(patience))).as_mut().poll(cx));
                        return Poll::Ready(Err(me.first.take().and_not_ready(patience)));
                    }
                },
                StateProj::Secondary { call } => {
                    let result = ready!(call.poll(cx));
                    return Poll::Ready(result.map_err(|error| me.first.take().and(error)));
                }
            };
            me.state.set(next);
        }
    }
}

impl<P: Service<Req>, S: Service<Req>, C, Req> fmt::Debug for FallbackFuture<P, S, C, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Primary { .. } => "primary",
            State::Around { .. } | State::Ready { .. } => "waits for the fallback",
            State::Secondary { .. } => "fallback",
        };
        f.debug_struct("FallbackFuture").field("state", &state).finish_non_exhaustive()
    }
}
