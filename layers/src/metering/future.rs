use super::table::Call;
use crate::Classifier;
use pin_project::pin_project;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Response future of [`Metrics`](super::Metrics).
#[pin_project]
#[derive(Debug)]
pub struct MetricsFuture<F, C> {
    #[pin]
    pub(super) inner: F,
    /// Records the call when it is dropped.
    pub(super) call: Option<Call>,
    pub(super) classifier: C,
}

impl<F, T, E, C> Future for MetricsFuture<F, C>
where
    F: Future<Output = Result<T, E>>,
    C: Classifier<T, E>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let me = self.project();
        if let Some(call) = me.call {
            call.is_polled();
        }
        let polled = me.inner.poll(cx);
        if let Some(call) = me.call {
            match &polled {
                Poll::Pending => call.leaves(),
                Poll::Ready(result) => {
                    call.end(me.classifier.failure(result));
                    *me.call = None; // records the call, in place
                }
            }
        }
        polled
    }
}
