use super::Elapsed;
use pin_project::pin_project;
use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{task::coop, time::Sleep};

/// Response future of [`Timeout`](super::Timeout).
#[pin_project]
#[derive(Debug)]
pub struct TimeoutFuture<F> {
    #[pin]
    pub(super) inner: F,
    pub(super) after: Option<Duration>,
    /// `None` until the inner future has been pending once.
    #[pin]
    pub(super) sleep: Option<Sleep>,
}

impl<F, T, E> Future for TimeoutFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: From<Elapsed>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut me = self.project();
        let had_budget = coop::has_budget_remaining();
        let polled = me.inner.poll(cx);
        if polled.is_ready() {
            return polled;
        }
        // CORRECTNESS: pending from here on. The inner future has registered its waker; if there is a limit,
        // the timer registers it too.
        let Some(after) = *me.after else { return Poll::Pending };
        if me.sleep.is_none() {
            me.sleep.set(Some(tokio::time::sleep(after)));
        }
        let Some(sleep) = me.sleep.as_pin_mut() else { return Poll::Pending };
        if had_budget && !coop::has_budget_remaining() {
            // The inner future may have used up the task's budget, which would keep the timer pending: a
            // service that is busy without end could then never time out.
            ready!(pin!(coop::unconstrained(sleep)).poll(cx));
        } else {
            ready!(sleep.poll(cx));
        }
        Poll::Ready(Err(Elapsed::new(after).into()))
    }
}
