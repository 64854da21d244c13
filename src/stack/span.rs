//! The spans of each request that belongs to a trace.

use std::fmt::Display;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use eitherway_layers::Classify;
use pin_project::{pin_project, pinned_drop};
use tower::{Layer, Service};
use tracing::field::Empty;
use tracing::instrument::{Instrument, Instrumented};
use tracing::{Span, debug_span, info_span};

use crate::operation::{Kind, Operation};
use crate::reply::{Reply, Via};
use crate::request::Request;
use crate::trace::{TARGET, Trace, Tracer, tracer};

/// Puts each request that has a trace into a span `operation` with its name, its id and the `trace_id`: every line that is
/// logged inside has them. With a [tracer](crate::trace), the span is recorded, and what is inside continues the trace from
/// there.
///
/// A stack has one around everything, one around each path, and one around the replay of its outbox; a service has one around
/// its store. A request without a trace costs a branch, and so does every one around a path while there is no tracer.
#[derive(Clone, Copy, Debug)]
pub struct SpanLayer(Place);

/// What a span is around.
#[derive(Clone, Copy, Debug)]
enum Place {
    Stack,
    Replay,
    Path(Via),
    Service,
}

impl SpanLayer {
    /// Around a stack: begins a trace if there is none, and if the tracer wants it.
    pub const STACK: Self = Self(Place::Stack);
    /// Around the stack that an outbox is replayed over.
    pub const REPLAY: Self = Self(Place::Replay);
    /// Around the store of a service: continues a trace, and begins none.
    pub const SERVICE: Self = Self(Place::Service);

    /// Around one path of a stack.
    #[must_use]
    pub const fn path(via: Via) -> Self {
        Self(Place::Path(via))
    }
}

impl<S> Layer<S> for SpanLayer {
    type Service = Spanned<S>;

    fn layer(&self, inner: S) -> Spanned<S> {
        Spanned { inner, place: self.0 }
    }
}

/// The service that [`SpanLayer`] makes.
#[derive(Clone, Debug)]
pub struct Spanned<S> {
    inner: S,
    place: Place,
}

impl<O, S> Service<Request<O>> for Spanned<S>
where
    O: Operation,
    S: Service<Request<O>, Response = Reply<O::Answer>, Error: Classify + Display>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = SpanFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, mut request: Request<O>) -> Self::Future {
        let span = self.place.begin(&mut request);
        let future = span.in_scope(|| self.inner.call(request));
        SpanFuture {
            inner: future.instrument(span),
            paths: !matches!(self.place, Place::Path(_)),
            ended: false,
        }
    }
}

impl Place {
    /// The span of a request, if it is to have one. What is inside gets it as its trace.
    #[inline]
    fn begin<O: Operation>(self, request: &mut Request<O>) -> Span {
        match (tracer(), &request.head.trace, self) {
            (None, None, _) | (None, _, Self::Path(_)) | (Some(_), None, Self::Path(_) | Self::Service) => {
                Span::none()
            }
            (None, Some(trace), _) => {
                info_span!("operation", name = request.op.spec().name, id = %request.head.id, trace_id = trace.id())
            }
            (Some(tracer), ..) => self.record(tracer, request),
        }
    }

    #[cold]
    fn record<O: Operation>(self, tracer: &dyn Tracer, request: &mut Request<O>) -> Span {
        let trace = request.head.trace.clone();
        let span = match (self, &trace) {
            (Self::Path(_), Some(trace)) if !trace.is_sampled() => return Span::none(),
            (Self::Path(via), _) => around_path(via, request),
            _ => self.around_all(request),
        };
        if let Some(trace) = trace.filter(|trace| !self.is_within(tracer, trace)) {
            tracer.continues(&span, &trace);
        }
        if let Some(own) = tracer.context(&span) {
            span.record("trace_id", own.id());
            request.head.trace = Some(Arc::new(own));
        }
        span
    }

    /// Whether the span that is entered now belongs to this trace, so that a span in it does already: one of an embedder.
    fn is_within(self, tracer: &dyn Tracer, trace: &Trace) -> bool {
        matches!(self, Self::Stack)
            && tracer.context(&Span::current()).is_some_and(|entered| entered.id() == trace.id())
    }

    /// As it is without a tracer, for the lines of the log, and with what a tracer wants to know.
    fn around_all<O: Operation>(self, request: &Request<O>) -> Span {
        let spec = request.op.spec();
        let (before, kind) = match (self, spec.kind) {
            (Self::Replay, _) => ("replay ", "client"),
            (Self::Service, Kind::Event) => ("process ", "consumer"),
            (Self::Service, _) => ("process ", "server"),
            _ => ("", "client"),
        };
        info_span!(
            target: TARGET,
            "operation",
            otel.name = %format_args!("{before}{}", spec.name),
            otel.kind = kind,
            messaging.system = matches!(self, Self::Service).then_some("nats"),
            name = spec.name,
            id = %request.head.id,
            trace_id = Empty,
            path = Empty,
            outcome = Empty,
            class = Empty,
            otel.status_code = Empty,
            otel.status_description = Empty,
        )
    }
}

/// Not for the lines of the log, which name the path.
fn around_path<O: Operation>(via: Via, request: &Request<O>) -> Span {
    let spec = request.op.spec();
    let (before, kind) = match (via, spec.kind) {
        (Via::DB, _) => ("apply", "client"),
        (Via::OUTBOX, _) => ("keep", "producer"),
        (_, Kind::Event) => ("send", "producer"),
        _ => ("send", "client"),
    };
    let messaging = (!matches!(via, Via::DB | Via::OUTBOX)).then_some(via.as_str());
    debug_span!(
        target: TARGET,
        "path",
        otel.name = %format_args!("{before} {}", spec.name),
        otel.kind = kind,
        messaging.system = messaging,
        path = via.as_str(),
        outcome = Empty,
        class = Empty,
        otel.status_code = Empty,
        otel.status_description = Empty,
    )
}

/// The future of a request in its span. Dropped before its end, it says so there.
#[pin_project(PinnedDrop)]
#[derive(Debug)]
pub struct SpanFuture<F> {
    #[pin]
    inner: Instrumented<F>,
    /// Whether it is around several paths, one of which answers.
    paths: bool,
    ended: bool,
}

impl<F, A, E> Future for SpanFuture<F>
where
    F: Future<Output = Result<Reply<A>, E>>,
    E: Classify + Display,
{
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut me = self.project();
        let result = ready!(me.inner.as_mut().poll(cx));
        *me.ended = true;
        let span = me.inner.span();
        if !span.is_disabled() {
            tell(span, &result, *me.paths);
        }
        Poll::Ready(result)
    }
}

#[cold]
fn tell<A, E: Classify + Display>(span: &Span, result: &Result<Reply<A>, E>, paths: bool) {
    match result {
        Ok(reply) if paths => {
            span.record("path", reply.via.as_str());
        }
        Ok(_) => {}
        Err(error) => {
            let why = error.to_string();
            span.record("class", error.class().as_str());
            span.record("otel.status_code", "ERROR");
            span.record("otel.status_description", why.as_str());
        }
    }
}

#[pinned_drop]
impl<F> PinnedDrop for SpanFuture<F> {
    fn drop(self: Pin<&mut Self>) {
        let span = self.inner.span();
        if !self.ended && !span.is_disabled() {
            span.record("outcome", "dropped");
        }
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use std::future::pending;

    use tower::{ServiceExt, service_fn};

    use crate::captured_logs::CapturedLogs;
    use crate::error::{Cause, Code, Error};
    use crate::head::Head;
    use crate::reply::Reply;
    use crate::request::Request;
    use crate::sample::{Answer, Line, Sample};
    use crate::stack::{Hedging, Path, StackBuilder};
    use crate::trace::Trace;

    fn fails() -> impl Path<Sample> {
        service_fn(async |_: Request<Sample>| {
            Err::<Reply<Answer>, _>(Error::<Sample>::from(Cause::new(Code::DATABASE, "broken")))
        })
    }

    #[tokio::test]
    async fn without_a_tracer_the_lines_of_each_path_have_the_trace_of_their_request() {
        let (log, _guard) = CapturedLogs::catch();
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let context = Trace::new(&format!("00-{trace}-b7ad6b7169203331-01"), None).expect("a context");
        let head = Head { trace: Some(context.into()), ..Head::now() };
        let request = || Request::with_head(head.clone(), Line::<0> { text: "a line".to_owned() });
        let built = StackBuilder::new().over(Some(fails()), fails(), Some(fails()));
        assert!(built.stack.oneshot(request()).await.is_err());
        assert!(built.replay.oneshot(request()).await.is_err());
        let lines = log.take();
        for tag in ["[NATS]", "[DB]", "[OUTBOX]", "[TOTAL]", "[REPLAY]"] {
            let line = lines.iter().find(|line| line.contains(tag));
            assert!(line.is_some_and(|line| line.ends_with(&format!("within {trace}"))), "{tag}: {lines:#?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_circuit_opens_within_the_trace_of_the_request_that_opens_it() {
        let (log, _guard) = CapturedLogs::catch();
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let context = Trace::new(&format!("00-{trace}-b7ad6b7169203331-01"), None).expect("a context");
        let head = || Head { trace: Some(context.clone().into()), ..Head::now() };
        let silent =
            service_fn(async |_: Request<Sample>| pending::<Result<Reply<Answer>, Error<Sample>>>().await);
        let built = StackBuilder::new().hedging(Hedging::off()).over(Some(silent), fails(), Some(fails()));
        let mut lines = Vec::new();
        for _ in 0..100 {
            let line = Line::<0> { text: "a line".to_owned() };
            let _ = built.stack.clone().oneshot(Request::with_head(head(), line)).await;
            lines.extend(log.take().into_iter().filter(|line| line.contains("circuit opened")));
        }
        assert!(!lines.is_empty(), "a circuit opens");
        for line in lines {
            assert!(line.ends_with(&format!("within {trace}")), "{line}");
        }
    }
}
