//! The trace of a request that comes over HTTP: one, from the span of the HTTP server over NATS and through the service into the
//! transaction.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use axum::extract::{Json, Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::{Router, routing::post};
use eitherway::nats::NatsOptions;
use eitherway::service::{self, ServiceOptions};
use eitherway::stack::BoxedStack;
use eitherway::trace::{self, OpenTelemetry};
use eitherway::{Db, Error, Head, Reply, Runtime, runtime};
use eitherway_shop::{Order, PlaceOrder, Shop, StockChanged};
use eitherway_testkit::{DbFile, NatsServer, Url, wait_until};
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use serde_json::json;
use tokio::net::TcpListener;
use tracing::Instrument;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};

/// The span of a caller, and whether the span of the HTTP server continues its trace.
const CALLER: &str = "b7ad6b7169203331";
const CONTINUES: &str = "continues";

/// As the layer of an embedder does: a span around each request.
async fn http_span(request: Request, next: Next) -> Response {
    let span = tracing::info_span!("http");
    let head = Head::from_headers(|name| request.headers().get(name).map(|value| value.as_bytes())).unwrap();
    if request.headers().contains_key(CONTINUES) {
        trace::tracer().unwrap().continues(&span, &head.trace.unwrap());
    }
    next.run(request).instrument(span).await
}

async fn place(
    db: State<Db<BoxedStack<Shop>>>,
    head: Head,
    op: Json<PlaceOrder>,
) -> Result<Reply<Order>, Error<Shop>> {
    db.with(head).call(op.0).await
}

/// The spans from that of a transaction to the outermost one, for each transaction.
fn ways(spans: &[SpanData]) -> impl Iterator<Item = Vec<&SpanData>> {
    let parent = |span: &&SpanData| {
        let wanted = (span.span_context.trace_id(), span.parent_span_id);
        spans.iter().find(|other| (other.span_context.trace_id(), other.span_context.span_id()) == wanted)
    };
    spans
        .iter()
        .filter(|span| span.name == "commit")
        .map(move |commit| std::iter::successors(Some(commit), parent).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_over_http_and_all_that_is_done_for_it_are_one_trace() {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("shop"));
    tracing_subscriber::registry().with(layer).init();
    trace::set_tracer(OpenTelemetry).unwrap();

    let (file, dir) = (DbFile::<Shop>::new(), tempfile::tempdir().unwrap());
    let server = NatsServer::with_jetstream(dir.path()).await;
    let database = runtime::open_store::<Shop>(&file.url()).await.unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(service::serve(
        NatsOptions::new(server.url()),
        database.clone(),
        ServiceOptions::default(),
        || {},
        async { stopped.await.unwrap_or_default() },
    ));
    let client = Runtime::builder().nats(server.url()).store(file.url()).build().await.unwrap().boxed();
    let shop = Router::new().route("/orders", post(place)).layer(from_fn(http_span));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let orders = format!("http://{}/orders", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, shop.with_state(client.client())).into_future());
    client.client().call(StockChanged { item: "tea".into(), by: 1000 }).await.unwrap();
    let http = reqwest::Client::new();
    let order = || http.post(&orders).json(&json!({"item": "tea", "quantity": 1}));
    wait_until("NATS serves", || async {
        order().send().await.is_ok_and(|answer| answer.headers()["served-by"] == "nats")
    })
    .await;

    let with_http = ["commit", "process place_order", "send place_order", "place_order", "http"];
    let without = &with_http[..4];
    for (what, request, trace, parent, expected) in [
        ("no caller has a trace", order(), None, "0000000000000000", &with_http[..]),
        ("the server continues it", order().header(CONTINUES, "yes"), Some("2"), CALLER, &with_http[..]),
        ("the server's span is in another trace", order(), Some("3"), CALLER, without),
    ] {
        let trace = trace.map(|digit| digit.repeat(32));
        let request = match &trace {
            Some(trace) => request.header("traceparent", format!("00-{trace}-{CALLER}-01")),
            None => request,
        };
        let answer = request.send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["served-by"]),
            (200, &"nats".parse().unwrap())
        );
        wait_until(what, || {
            let spans = exporter.get_finished_spans().unwrap();
            let is_one = ways(&spans).any(|way| {
                let outermost = way.last().unwrap();
                let id = outermost.span_context.trace_id().to_string();
                way.iter().map(|span| &*span.name).eq(expected.iter().copied())
                    && outermost.parent_span_id.to_string() == parent
                    && trace.as_ref().is_none_or(|trace| *trace == id)
            });
            std::future::ready(is_one)
        })
        .await;
    }
    client.shutdown(Duration::from_secs(5)).await;
    let _ = stop.send(());
    serving.await.unwrap().unwrap();
    database.close().await;
}
