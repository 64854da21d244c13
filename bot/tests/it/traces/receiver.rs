//! A receiver of the OpenTelemetry protocol: protobuf over HTTP.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{self as sent, span::SpanKind, status::StatusCode as Status};
use prost::Message;
use tokio::net::TcpListener;

/// A span as it was received. Ids are hexadecimal; a root has the parent "".
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) process: String,
    pub(super) name: String,
    pub(super) kind: &'static str,
    pub(super) trace: String,
    pub(super) id: String,
    pub(super) parent: String,
    pub(super) links: Vec<(String, String)>,
    pub(super) events: Vec<String>,
    pub(super) failed: bool,
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) resource: BTreeMap<String, String>,
}

impl Span {
    pub(super) fn get(&self, attribute: &str) -> Option<&str> {
        self.attributes.get(attribute).map(String::as_str)
    }

    fn of(span: sent::Span, resource: &BTreeMap<String, String>) -> Self {
        let kind = match span.kind() {
            SpanKind::Client => "client",
            SpanKind::Server => "server",
            SpanKind::Producer => "producer",
            SpanKind::Consumer => "consumer",
            SpanKind::Internal | SpanKind::Unspecified => "internal",
        };
        Self {
            process: resource["service.name"].clone(),
            kind,
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: hex(&span.parent_span_id),
            links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
            events: span.events.into_iter().map(|event| event.name).collect(),
            failed: span.status.is_some_and(|status| status.code() == Status::Error),
            attributes: texts(span.attributes),
            name: span.name,
            resource: resource.clone(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(any_value::Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    };
    attributes.into_iter().map(|KeyValue { key, value, .. }| (key, text(value))).collect()
}

/// How it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    Well,
    /// With 500.
    Refuses,
    Never,
}

pub(super) struct Receiver {
    pub(super) url: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Receiver {
    pub(super) async fn start() -> Self {
        Self::that(Answers::Well).await
    }

    pub(super) async fn that(answers: Answers) -> Self {
        let spans = Arc::<Mutex<Vec<Span>>>::default();
        let kept = Arc::clone(&spans);
        let take = move |body: Bytes| async move {
            match answers {
                Answers::Well => {
                    let request = ExportTraceServiceRequest::decode(body).unwrap();
                    kept.lock().unwrap().extend(read(request));
                    StatusCode::OK
                }
                Answers::Refuses => StatusCode::INTERNAL_SERVER_ERROR,
                Answers::Never => pending().await,
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/traces", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, spans }
    }

    /// What it has received so far.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }
}

fn read(request: ExportTraceServiceRequest) -> impl Iterator<Item = Span> {
    request.resource_spans.into_iter().flat_map(|of_process| {
        let resource = texts(of_process.resource.unwrap_or_default().attributes);
        let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.map(|span| Span::of(span, &resource)).collect::<Vec<_>>()
    })
}
