//! A tracer by the crate `tracing-opentelemetry`.

use std::str::FromStr;

use ::opentelemetry::Context;
use ::opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{Trace, Tracer};

/// Records spans by the layer of `tracing-opentelemetry` that the program's subscriber has.
///
/// A request that comes over HTTP is a child of the span that is entered when it reaches the [stack](crate::stack), if that span
/// continues the trace of the request's head, or the head has none.
///
/// ```no_run
/// # fn example(provider: &opentelemetry_sdk::trace::SdkTracerProvider) -> Result<(), Box<dyn std::error::Error>> {
/// use opentelemetry::trace::TracerProvider;
/// use tracing_subscriber::layer::SubscriberExt;
/// use tracing_subscriber::util::SubscriberInitExt;
///
/// let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("shop"));
/// tracing_subscriber::registry().with(layer).try_init()?;
/// eitherway::trace::set_tracer(eitherway::trace::OpenTelemetry)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct OpenTelemetry;

impl Tracer for OpenTelemetry {
    fn continues(&self, span: &Span, trace: &Trace) {
        if let Some(context) = read(trace) {
            // Refused only by a span that no layer records.
            let _ = span.set_parent(Context::new().with_remote_span_context(context));
        }
    }

    fn links(&self, span: &Span, trace: &Trace) {
        if let Some(context) = read(trace) {
            span.add_link(context);
        }
    }

    fn context(&self, span: &Span) -> Option<Trace> {
        let context = span.context();
        let span = context.span();
        let context = span.span_context();
        if !context.is_sampled() {
            return None;
        }
        let parent = format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags());
        let state = context.trace_state().header();
        Trace::new(&parent, Some(&*state).filter(|state| !state.is_empty()))
    }
}

fn read(trace: &Trace) -> Option<SpanContext> {
    let (id, span) = (TraceId::from_hex(trace.id()).ok()?, SpanId::from_hex(trace.span_id()).ok()?);
    let flags = if trace.is_sampled() { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let state = trace.state.as_deref().and_then(|state| TraceState::from_str(state).ok()).unwrap_or_default();
    let context = SpanContext::new(id, span, flags, true, state);
    context.is_valid().then_some(context)
}
