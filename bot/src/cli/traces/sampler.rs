//! Which traces are recorded.

use opentelemetry::trace::{Link, SpanKind, TraceContextExt, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};

/// What began elsewhere as was decided there, what is linked to something recorded always, and a part of all others.
#[derive(Clone, Debug)]
pub(super) struct Linked {
    usual: Sampler,
}

impl Linked {
    pub(super) fn new(ratio: f64) -> Self {
        Self { usual: Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))) }
    }
}

impl ShouldSample for Linked {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let begins = !parent.is_some_and(Context::has_active_span);
        if begins && links.iter().any(|link| link.span_context.is_sampled()) {
            return Sampler::AlwaysOn.should_sample(parent, trace, name, kind, attributes, links);
        }
        self.usual.should_sample(parent, trace, name, kind, attributes, links)
    }
}
