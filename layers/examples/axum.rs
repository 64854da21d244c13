//! Prices over HTTP with every layer on the router. The first source hangs, then the second does, too.
//! Run by `cargo run --package eitherway-layers --example axum`.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::error_handling::HandleErrorLayer;
use axum::http::{Request, Response, StatusCode, Uri, header::AGE};
use axum::{Router, routing::get};
use eitherway_layers::{fallback::ByClass, hedge::Config, hedge::Pace, *};
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt, service_fn};

type Page = Response<String>;

/// Reads a page to its end, where the layers around it see whether that works.
async fn whole(page: Response<Body>) -> Result<Page, BoxError> {
    let (head, body) = page.into_parts();
    Ok(Response::from_parts(head, String::from_utf8(to_bytes(body, 10_000).await?.into())?))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let limit = TimeoutLayer::new(Duration::from_millis(100));
    let chaos = [1, 2].map(|seed| ChaosLayer::new(seed, || BoxError::from("down")).hang(1.0));
    let (names, name): (&[_], fn(&Uri) -> usize) = (&["price"], |_| 0);
    let key = |uri: &Uri| Some(uri.to_string());
    let bytes = |key: &String, page: &Page| 2 * key.len() + page.body().len();
    let mark = |page: &mut Page, age: Duration| drop(page.headers_mut().insert(AGE, age.as_secs().into()));
    let source = |page: &Page| if page.body() == "300 cents" { "[FIRST]" } else { "[SECOND]" };
    let second = service_fn(async |_: Uri| Ok::<_, BoxError>(Page::new("310 cents".to_owned())));
    let second = BulkheadLayer::new(8).layer(limit.layer(chaos[1].layer(second)));
    let pace = Pace::new(Config::new().after(Duration::from_millis(20)));
    let layers = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(async |error: BoxError| (StatusCode::BAD_GATEWAY, error.to_string())))
        .map_request(|request: Request<Body>| request.uri().clone())
        .layer(MetricsLayer::new("shop").label_by(names, name))
        .layer(LogLayer::new("[SHOP]").last().label_by(names, name))
        .layer(StaleLayer::<_, String, Page>::new((key, bytes, mark)))
        .layer(PathChangeLogLayer::new().served_by(source))
        .map_err(FallbackError::boxed)
        .layer(HedgeLayer::new(second, ByClass::new(), pace))
        .layer(LogLayer::new("[FIRST]").label_by(names, name))
        .layer(BreakerLayer::default())
        .layer(limit)
        .layer(chaos[0].clone())
        .and_then(whole)
        .map_response(|page: Response<_>| page.map(Body::new))
        .layer(BodyLayer::new(Duration::from_millis(50)))
        .map_request(|uri: Uri| Request::get(uri).body(Body::empty()).expect("a valid request"));
    let app = Router::new().route("/price", get(async || "300 cents")).layer(layers);

    for (when, hang) in [("all is well", 0), ("the first hangs", 1), ("both hang", 2)] {
        chaos.iter().enumerate().for_each(|(n, chaos)| chaos.set_active(n < hang));
        let page = whole(app.clone().oneshot(Request::get("/price").body(Body::empty())?).await?).await?;
        println!("{when}: {}: {}; stale: {}", page.status(), page.body(), page.headers().contains_key(AGE));
    }
    Ok(())
}
