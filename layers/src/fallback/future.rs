use super::{FallbackError, Policy, Shared};
use pin_project::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// Response future of [`Fallback`](super::Fallback).
#[pin_project]
pub struct FallbackFuture<P: Service<Req>, S: Service<Req>, C, Req> {
    #[pin]
    state: State<P::Future, S, S::Future, C, Req>,
    /// The primary's error, kept until the secondary's result is known.
    first: Option<P::Error>,
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
    Ready { secondary: S, req: Option<Req> },
    /// The secondary runs.
    Secondary {
        #[pin]
        call: SF,
    },
}

impl<P: Service<Req>, S: Service<Req>, C, Req> FallbackFuture<P, S, C, Req> {
    #[inline(always)]
    pub(super) fn primary(call: P::Future, kept: Req, spare: Arc<Shared<S, C>>) -> Self {
        Self { state: State::Primary { call, kept: Some((kept, spare)) }, first: None }
    }

    #[inline(always)]
    pub(super) fn only(call: P::Future) -> Self {
        Self { state: State::Primary { call, kept: None }, first: None }
    }

    #[inline(always)]
    pub(super) fn around(first: Option<P::Error>, req: Req, spare: Arc<Shared<S, C>>) -> Self {
        Self { state: State::Around { kept: Some((req, spare)) }, first }
    }
}

/// A completed future holds nothing that could answer again.
const FINISHED: &str = "`FallbackFuture` polled after it had finished";

impl<P, S, C, Req> Future for FallbackFuture<P, S, C, Req>
where
    P: Service<Req>,
    S: Service<Req, Response = P::Response> + Clone,
    C: Policy<Req, P::Response, P::Error>,
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
                        Some((req, spare)) if spare.policy.reroute(&req, &result) => {
                            spare.policy.rerouted(&req, &result);
                            *me.first = result.err();
                            State::Around { kept: Some((req, spare)) }
                        }
                        _ => return Poll::Ready(result.map_err(FallbackError::Primary)),
                    }
                }
                StateProj::Around { kept } => {
                    let (req, spare) = kept.take().expect(FINISHED);
                    State::Ready { secondary: spare.secondary.clone(), req: Some(req) }
                }
                StateProj::Ready { secondary, req } => match ready!(secondary.poll_ready(cx)) {
                    Ok(()) => State::Secondary { call: secondary.call(req.take().expect(FINISHED)) },
                    Err(error) => {
                        return Poll::Ready(Err(FallbackError::after_fallback(me.first.take(), error)));
                    }
                },
                StateProj::Secondary { call } => {
                    let result = ready!(call.poll(cx));
                    let first = me.first.take();
                    return Poll::Ready(result.map_err(|error| FallbackError::after_fallback(first, error)));
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
