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
    pub(super) inner: F,
    /// `None` if no event of this call can be enabled. A record that is dropped unsettled logs a cancelled
    /// call.
    pub(super) record: Option<CallLog<Id>>,
    pub(super) classifier: C,
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
        let polled = me.inner.poll(cx);
        if let Some(record) = me.record {
            match &polled {
                Poll::Pending => record.waits(),
                Poll::Ready(result) => {
                    let error = result
                        .as_ref()
                        .err()
                        .map(|error| (error as &dyn Display, me.classifier.origin(result)));
                    record.finish(me.classifier.failure(result), error);
                }
            }
        }
        polled
    }
}
