//! The framework's view of the layer that records spans.

use std::str::FromStr;

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use eitherway::Trace;
use eitherway::trace::Tracer;

/// Asks the layer that the log was started with.
pub(super) struct ByLayer;

impl Tracer for ByLayer {
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
