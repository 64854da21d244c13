//! A span around each request that belongs to a trace.

use std::task::{Context, Poll};

use tower::{Layer, Service};
use tracing::instrument::{Instrument, Instrumented};
use tracing::{Span, info_span};

use crate::operation::Operation;
use crate::request::Request;

/// Puts each request that has a trace into a span `operation` with its name, its id and the `trace_id`: every line that is
/// logged inside has them. A service has one around its store. A request without a trace costs a branch.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpanLayer;

impl<S> Layer<S> for SpanLayer {
    type Service = Spanned<S>;

    fn layer(&self, inner: S) -> Spanned<S> {
        Spanned { inner }
    }
}

/// The service that [`SpanLayer`] makes.
#[derive(Clone, Debug)]
pub struct Spanned<S> {
    inner: S,
}

impl<O: Operation, S: Service<Request<O>>> Service<Request<O>> for Spanned<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Instrumented<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<O>) -> Self::Future {
        let span = match &request.head.trace {
            None => Span::none(),
            Some(trace) => {
                info_span!("operation", name = request.op.spec().name, id = %request.head.id, trace_id = trace.id())
            }
        };
        let future = span.in_scope(|| self.inner.call(request));
        future.instrument(span)
    }
}
