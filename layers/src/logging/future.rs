use super::CallLog;
use crate::Classifier;
use pin_project::pin_project;
use std::{
    fmt::Display,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// Response future of [`Log`](super::Log).
#[pin_project]
#[derive(Debug)]
pub struct LogFuture<F, Id: Display, C> {
    #[pin]
    inner: F,
    /// `None` if no event of this call can be enabled. A record that is dropped unsettled logs a cancelled
    /// call.
    record: Option<CallLog<Id>>,
    classifier: C,
}

impl<F, Id: Display, C> LogFuture<F, Id, C> {
    #[inline(always)]
    pub(super) const fn new(inner: F, mut record: Option<CallLog<Id>>, classifier: C) -> Self {
        if let Some(record) = &mut record {
            record.leaves();
        }
        Self { inner, record, classifier }
    }
}

impl<F, T, E, Id, C> Future for LogFuture<F, Id, C>
where
    F: Future<Output = Result<T, E>>,
    E: Display,
    Id: Display,
    C: Classifier<T, E>,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let me = self.project();
        if let Some(record) = me.record {
            record.enters();
        }
        let Poll::Ready(result) = me.inner.poll(cx) else {
            if let Some(record) = me.record {
                record.waits();
            }
            return Poll::Pending;
        };
        if let Some(record) = me.record {
            let error =
                result.as_ref().err().map(|error| (error as &dyn Display, me.classifier.origin(&result)));
            record.finish(me.classifier.failure(&result), error);
        }
        Poll::Ready(result)
    }
}
