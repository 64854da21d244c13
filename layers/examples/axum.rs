//! A shop's prices over HTTP with every layer on the router: a handler that hangs, and yesterday's price instead.
//! Run by `cargo run --package eitherway-layers --example axum`.
#![allow(clippy::print_stdout)]

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::error_handling::HandleErrorLayer;
use axum::http::{Method, StatusCode};
use axum::{Router, extract::Request, response::IntoResponse, routing::get};
use eitherway_layers::fallback::{ByClass, Idempotency, IdempotencyRule};
use eitherway_layers::{BreakerLayer, FallbackError, FallbackLayer, LogLayer, TimeoutLayer, breaker::Config};
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Repeats a `GET`, which has no body; other requests of axum cannot be copied.
#[derive(Clone)]
struct Gets;

impl IdempotencyRule<Request> for Gets {
    fn repeat(&self, request: &Request) -> Idempotency {
        if request.method() == Method::GET { Idempotency::Always } else { Idempotency::Never }
    }
    fn copy(&self, request: &mut Request) -> Option<Request> {
        Request::get(request.uri().clone()).body(Body::empty()).ok()
    }
}

/// The second and third calls are never answered.
async fn price() -> &'static str {
    match CALLS.fetch_add(1, Relaxed) {
        1 | 2 => std::future::pending().await,
        _ => "300 cents (today)",
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let yesterday = service_fn(async |_| Ok::<_, Infallible>("280 cents (yesterday)".into_response()));
    let failed =
        async |error: FallbackError<BoxError, Infallible>| (StatusCode::BAD_GATEWAY, error.to_string());
    let layers = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(failed))
        .layer(LogLayer::new("[SHOP]").last().label_by(&["price"], |_: &Request| 0))
        .layer(FallbackLayer::new(yesterday, ByClass::new().repeat(Gets)))
        .layer(BreakerLayer::new(Config::new().consecutive_failures(2)))
        .layer(TimeoutLayer::new(Duration::from_millis(50)))
        .map_err(|error: Infallible| BoxError::from(error));
    let app = Router::new().route("/price", get(price)).layer(layers);

    for when in ["all is well", "it hangs", "it hangs again", "it is left in peace"] {
        let response = app.clone().oneshot(Request::get("/price").body(Body::empty())?).await?;
        let (status, body) = (response.status(), to_bytes(response.into_body(), 100).await?);
        println!("{when}: {status}: {}; calls: {}", String::from_utf8_lossy(&body), CALLS.load(Relaxed));
    }
    Ok(())
}
