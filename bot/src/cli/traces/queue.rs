//! What waits to be sent, and what has become of the rest: bounded, counted, and told once a minute.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use eitherway_layers::logging::RateLimitedLog;
use opentelemetry::trace::Status;
use opentelemetry::{Context, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};

use super::super::secrets;

/// As often is told that the receiver does not take them.
const TOLD: Duration = Duration::from_secs(60);

/// What has become of the spans of this process.
#[derive(Debug)]
pub(super) struct Sent {
    endpoint: String,
    /// Handed over, and not sent yet.
    waiting: AtomicUsize,
    /// Neither taken by the receiver nor waiting.
    lost: AtomicUsize,
    failures: RateLimitedLog,
}

impl Sent {
    pub(super) fn new(endpoint: String) -> Self {
        let (waiting, lost) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { endpoint, waiting, lost, failures: RateLimitedLog::new().every(TOLD) }
    }

    /// The receiver has not taken some, because of this.
    pub(super) fn failed(&self, why: &str) {
        if let Some(more) = self.failures.record() {
            let (endpoint, lost, waiting) =
                (&self.endpoint, self.lost.load(Relaxed), self.waiting.load(Relaxed));
            tracing::warn!(
                "traces cannot be sent to {endpoint}: {why}; {waiting} spans wait, {lost} are lost so far. Nothing else waits for \
                 them{more}"
            );
        }
    }

    /// The process ends.
    pub(super) fn end(&self, flushed: bool) {
        let waiting = if flushed { 0 } else { self.waiting.load(Relaxed) };
        let lost = self.lost.load(Relaxed) + waiting;
        if lost > 0 {
            tracing::warn!("{lost} spans of traces were not taken by {}", self.endpoint);
        }
    }

    fn count(&self, outcome: &'static str, spans: usize) {
        metrics::counter!("rosey_trace_spans_total", "outcome" => outcome).increment(spans as u64);
        if outcome != "sent" {
            self.lost.fetch_add(spans, Relaxed);
        }
    }
}

/// Takes no more spans than have room.
#[derive(Debug)]
pub(super) struct Bounded<P> {
    inner: P,
    most: usize,
    sent: Arc<Sent>,
}

impl<P> Bounded<P> {
    pub(super) const fn new(inner: P, most: usize, sent: Arc<Sent>) -> Self {
        Self { inner, most, sent }
    }
}

impl<P: SpanProcessor> SpanProcessor for Bounded<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        if self.sent.waiting.fetch_add(1, Relaxed) >= self.most {
            self.sent.waiting.fetch_sub(1, Relaxed);
            self.sent.count("dropped", 1);
            return;
        }
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Hides passwords, as in the log.
fn veil(span: &mut SpanData) {
    if let Status::Error { description } = &span.status {
        span.status = Status::error(secrets::hide(description));
    }
    let of_events = span.events.events.iter_mut().flat_map(|event| {
        event.name = secrets::hide(&event.name).into();
        event.attributes.iter_mut()
    });
    for pair in span.attributes.iter_mut().chain(of_events) {
        if let Value::String(text) = &mut pair.value {
            *text = secrets::hide(text.as_str()).into();
        }
    }
}

/// Counts what is sent.
#[derive(Debug)]
pub(super) struct Counted<E> {
    inner: E,
    sent: Arc<Sent>,
}

impl<E> Counted<E> {
    pub(super) const fn new(inner: E, sent: Arc<Sent>) -> Self {
        Self { inner, sent }
    }
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, mut batch: Vec<SpanData>) -> OTelSdkResult {
        batch.iter_mut().for_each(veil);
        let spans = batch.len();
        let result = self.inner.export(batch).await;
        self.sent.waiting.fetch_sub(spans, Relaxed);
        self.sent.count(if result.is_ok() { "sent" } else { "failed" }, spans);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind};
    use opentelemetry::{InstrumentationScope, KeyValue};

    use super::*;

    #[test]
    fn no_password_of_an_address_leaves_with_a_span() {
        const SAID: &str = "no server at nats://bot:hunter2hunter2@nats.example";
        let now = SystemTime::now();
        let pair = || vec![KeyValue::new("said", SAID)];
        let mut span = SpanData {
            span_context: SpanContext::empty_context(),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Client,
            name: "send".into(),
            start_time: now,
            end_time: now,
            attributes: pair(),
            dropped_attributes_count: 0,
            events: Default::default(),
            links: Default::default(),
            status: Status::error(SAID),
            instrumentation_scope: InstrumentationScope::default(),
        };
        span.events.events.push(Event::new(SAID, now, pair(), 0));
        veil(&mut span);
        let shown = format!("{span:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(shown.matches("nats://***@nats.example").count(), 4, "{shown}");
    }
}
