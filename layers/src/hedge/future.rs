use super::{Shared, pace::Start};
use crate::{
    bounds::{HedgingOf, PolicyOf, SecondTo},
    breaker::neutrally,
    fallback::{FallbackError, First},
};
use pin_project::pin_project;
use std::{
    fmt,
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    task::coop,
    time::{Sleep, sleep, sleep_until},
};
use tower_service::Service;

/// Response future of [`Hedge`](super::Hedge).
#[pin_project(project = Parts)]
pub struct HedgeFuture<P: Service<Req>, S: Service<Req>, C, H, Req> {
    /// `None` once the primary has ended, or if it was bypassed.
    #[pin]
    primary: Option<P::Future>,
    #[pin]
    second: Second<S, S::Future, Req>,
    /// `None` if neither a reroute nor a hedge can follow.
    kept: Option<RetainedRequest<S, C, H, Req>>,
    /// Set when a primary that may be hedged is pending for the first time.
    start: Option<Start>,
    /// Runs while the primary is pending and may still be hedged, or given up, and while the secondary is not ready.
    #[pin]
    timer: Option<Sleep>,
    first: First<P::Error>,
    /// The error of a hedge, kept until the primary's result is known.
    failed: Option<S::Error>,
    /// Whether the primary's last poll has used up the task's budget.
    greedy: bool,
}

/// The secondary's side.
#[pin_project(project = SecondProj)]
enum Second<S, SF, Req> {
    Idle,
    /// The call's own clone of the secondary is becoming ready.
    Ready {
        secondary: S,
        req: Option<Req>,
        patience: Option<Duration>,
    },
    Running {
        #[pin]
        call: SF,
    },
    /// The hedge has failed, and the primary is waited for.
    Failed,
    /// The future is complete; it holds neither call.
    Finished,
}

impl<S: Clone, C, H> Shared<S, C, H> {
    /// The secondary's side of a call that goes to the secondary, too.
    fn second<P, Req, SF>(&self, req: Req) -> Second<S, SF, Req>
    where
        P: Service<Req>,
        C: PolicyOf<P, Req>,
    {
        Second::Ready { secondary: self.secondary(), req: Some(req), patience: self.policy.patience() }
    }
}

/// What a reroute and a hedge need.
type RetainedRequest<S, C, H, Req> = (Req, Arc<Shared<S, C, H>>);

type Output<P, S, Req> = Result<
    <P as Service<Req>>::Response,
    FallbackError<<P as Service<Req>>::Error, <S as Service<Req>>::Error>,
>;

const FINISHED: &str = "`HedgeFuture` polled after it had finished";

impl<P: Service<Req>, S: Service<Req>, C, H, Req> HedgeFuture<P, S, C, H, Req> {
    #[inline(always)]
    pub(super) const fn primary(call: P::Future, kept: Option<RetainedRequest<S, C, H, Req>>) -> Self {
        Self::new(Some(call), Second::Idle, kept, First::Nothing)
    }

    pub(super) const fn around(
        first: First<P::Error>,
        req: Req,
        secondary: S,
        patience: Option<Duration>,
    ) -> Self {
        Self::new(None, Second::Ready { secondary, req: Some(req), patience }, None, first)
    }

    #[inline(always)]
    const fn new(
        primary: Option<P::Future>,
        second: Second<S, S::Future, Req>,
        kept: Option<RetainedRequest<S, C, H, Req>>,
        first: First<P::Error>,
    ) -> Self {
        Self { primary, second, kept, start: None, timer: None, first, failed: None, greedy: false }
    }
}

impl<P, S, C, H, Req> Future for HedgeFuture<P, S, C, H, Req>
where
    P: Service<Req>,
    S: SecondTo<P, Req>,
    C: PolicyOf<P, Req>,
    H: HedgingOf<P, S, Req>,
{
    type Output = Output<P, S, Req>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut me = self.project();
        // CORRECTNESS: while the primary runs, it is polled in every poll of this future, and registers the waker.
        // Beside it the timer or the secondary does.
        if *me.greedy
            && let Poll::Ready(output) = me.poll_second(cx)
        {
            return me.finish(output);
        }
        if let Some(call) = me.primary.as_mut().as_pin_mut() {
            let had_budget = coop::has_budget_remaining();
            match call.poll(cx) {
                Poll::Ready(result) => {
                    if let Some(output) = me.primary_ended(result) {
                        return me.finish(output);
                    }
                }
                Poll::Pending => {
                    *me.greedy = had_budget && !coop::has_budget_remaining();
                    ready!(me.poll_late(cx));
                }
            }
        }
        let output = ready!(me.poll_second(cx));
        me.finish(output)
    }
}

impl<P, S, C, H, Req> Parts<'_, P, S, C, H, Req>
where
    P: Service<Req>,
    S: SecondTo<P, Req>,
    C: PolicyOf<P, Req>,
    H: HedgingOf<P, S, Req>,
{
    /// Drops whichever call still runs: it has lost.
    #[inline]
    fn finish(&mut self, output: Output<P, S, Req>) -> Poll<Output<P, S, Req>> {
        if let Some(_running) = self.primary.as_mut().as_pin_mut() {
            neutrally(|| self.primary.set(None));
        }
        if let Second::Ready { .. } | Second::Running { .. } = *self.second {
            neutrally(|| self.second.set(Second::Finished));
        } else {
            self.second.set(Second::Finished);
        }
        self.timer.set(None);
        Poll::Ready(output)
    }

    /// The primary has a result. Returns the output, or `None` if it is the secondary's turn.
    #[inline]
    fn primary_ended(&mut self, result: Result<P::Response, P::Error>) -> Option<Output<P, S, Req>> {
        // Before the secondary starts, the primary's future and everything it holds is dropped.
        self.primary.set(None);
        if !matches!(*self.second, Second::Ready { .. }) {
            self.timer.set(None);
        }
        let Some((req, shared)) = self.kept.take() else {
            return Some(result.map_err(FallbackError::Primary));
        };
        if let Some(start) = self.start
            && let Some(pace) = shared.hedging.pace(&req)
            && result.as_ref().err().is_none_or(|error| shared.hedging.answers(error))
        {
            pace.answered(start, !matches!(*self.second, Second::Idle));
        }
        if !shared.policy.reroute(&req, &result) {
            return Some(result.map_err(|primary| match self.failed.take() {
                Some(fallback) => FallbackError::Both { primary, fallback },
                None => FallbackError::Primary(primary),
            }));
        }
        shared.policy.rerouted(&req, &result);
        let first = First::of(result);
        if let Some(fallback) = self.failed.take() {
            return Some(Err(first.and(fallback)));
        }
        *self.first = first;
        if let Second::Idle = *self.second {
            self.second.set(shared.second::<P, _, _>(req));
        }
        None
    }

    /// Starts the secondary once the pending primary is late. `Pending` while it is not.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some((req, shared)) = self.kept else { return Poll::Pending };
        let Second::Idle = *self.second else { return Poll::Ready(()) };
        let pace = shared.hedging.pace(req).filter(|_| shared.policy.may_overlap(req));
        let Some(pace) = pace else { return Poll::Pending };
        let (start, mut at_once) = match self.start {
            Some(start) => (start, false),
            None => {
                let (start, late) = pace.begin();
                let at_once = late <= start.at;
                if !at_once {
                    self.timer.set(Some(sleep_until(late)));
                }
                (self.start.insert(start), at_once)
            }
        };
        loop {
            if !std::mem::take(&mut at_once) {
                let Some(timer) = self.timer.as_mut().as_pin_mut() else { return Poll::Ready(()) };
                if *self.greedy {
                    // The primary has used up the budget, which would keep the timer pending.
                    ready!(pin!(coop::unconstrained(timer)).poll(cx));
                } else {
                    ready!(timer.poll(cx));
                }
            }
            match pace.late(start) {
                Ok(()) => break,
                Err(again) => self.timer.set(Some(sleep_until(again))),
            }
        }
        self.timer.set(None);
        if let Some(copy) = shared.policy.keep(req) {
            shared.policy.hedged(req);
            self.second.set(shared.second::<P, _, _>(copy));
        }
        Poll::Ready(())
    }

    fn poll_second(&mut self, cx: &mut Context<'_>) -> Poll<Output<P, S, Req>> {
        loop {
            let result = match self.second.as_mut().project() {
                SecondProj::Idle => return Poll::Pending,
                SecondProj::Failed => {
                    let error = ready!(self.poll_patience(cx));
                    return Poll::Ready(Err(error));
                }
                SecondProj::Ready { secondary, req, patience } => match secondary.poll_ready(cx) {
                    Poll::Ready(Ok(())) => {
                        let call = secondary.call(req.take().expect(FINISHED));
                        self.timer.set(None);
                        self.second.set(Second::Running { call });
                        continue;
                    }
                    Poll::Ready(Err(error)) => {
                        self.timer.set(None);
                        Err(error)
                    }
                    Poll::Pending => {
                        let Some(patience) = *patience else { return Poll::Pending };
                        if self.timer.is_none() {
                            self.timer.set(Some(sleep(patience)));
                        }
                        let Some(timer) = self.timer.as_mut().as_pin_mut() else { return Poll::Pending };
                        ready!(timer.poll(cx));
                        if self.primary.is_some() {
                            return Poll::Pending; // it may still answer
                        }
                        return Poll::Ready(Err(self.first.take().and_not_ready(patience)));
                    }
                },
                SecondProj::Running { call } => ready!(call.poll(cx)),
                SecondProj::Finished => panic!("{FINISHED}"),
            };
            self.second.set(Second::Failed);
            if self.primary.is_none() {
                return Poll::Ready(result.map_err(|error| self.first.take().and(error)));
            }
            // A hedge: the primary still runs.
            let Some((req, shared)) = self.kept else { return Poll::Pending };
            return match result {
                Ok(response) => {
                    if let (Some(start), Some(pace)) = (&*self.start, shared.hedging.pace(req)) {
                        pace.lost_to_secondary(start);
                    }
                    shared.hedging.won(req);
                    Poll::Ready(Ok(response))
                }
                Err(fallback) if shared.hedging.refuses(&fallback) => {
                    Poll::Ready(Err(FallbackError::Unready { fallback }))
                }
                Err(fallback) => {
                    if let (Some(start), Some(pace)) = (&*self.start, shared.hedging.pace(req)) {
                        let first_look = pace.patience(start, shared.hedging.concerns_both(&fallback));
                        self.timer.set(first_look.map(sleep_until));
                    }
                    *self.failed = Some(fallback);
                    continue;
                }
            };
        }
    }

    /// After a hedge has failed: waits until the primary is given up.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<FallbackError<P::Error, S::Error>> {
        loop {
            let Some(timer) = self.timer.as_mut().as_pin_mut() else { return Poll::Pending };
            ready!(timer.poll(cx));
            self.timer.set(None);
            let Some((req, shared)) = self.kept else { return Poll::Pending };
            let (Some(start), Some(pace), Some(failed)) =
                (&mut *self.start, shared.hedging.pace(req), &*self.failed)
            else {
                return Poll::Pending;
            };
            match pace.hopeless(start, shared.hedging.concerns_both(failed)) {
                Err(again) => self.timer.set(Some(sleep_until(again))),
                Ok(waited) => {
                    let Some(primary) = shared.hedging.gives_up(failed, waited) else { return Poll::Pending };
                    pace.unanswered(start);
                    let fallback = self.failed.take().expect(FINISHED);
                    return Poll::Ready(FallbackError::Both { primary, fallback });
                }
            }
        }
    }
}

impl<P: Service<Req>, S: Service<Req>, C, H, Req> fmt::Debug for HedgeFuture<P, S, C, H, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let second = match self.second {
            Second::Idle => "not needed so far",
            Second::Ready { .. } => "waits for readiness",
            Second::Running { .. } => "runs",
            Second::Failed => "failed",
            Second::Finished => "finished",
        };
        f.debug_struct("HedgeFuture")
            .field("primary_runs", &self.primary.is_some())
            .field("secondary", &second)
            .finish_non_exhaustive()
    }
}
