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
    inner: F,
    /// Records the call when it is dropped.
    call: Option<Call>,
    classifier: C,
}

impl<F, C> MetricsFuture<F, C> {
    #[inline(always)]
    pub(super) const fn new(inner: F, mut call: Option<Call>, classifier: C) -> Self {
        if let Some(call) = &mut call {
            call.leaves();
        }
        Self { inner, call, classifier }
    }
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
        let Poll::Ready(result) = me.inner.poll(cx) else {
            if let Some(call) = me.call {
                call.leaves();
            }
            return Poll::Pending;
        };
        if let Some(call) = me.call {
            call.end(me.classifier.failure(&result));
            *me.call = None; // records the call, in place
        }
        Poll::Ready(result)
    }
}
