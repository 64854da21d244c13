//! A client of hyper-util for two servers. The first hangs, so a hedge asks the second after 20 ms.
//!
//! `cargo run --package eitherway-layers --example hyper`
#![allow(clippy::print_stdout)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use axum::{Router, routing::get};
use eitherway_layers::fallback::{ByClass, FallbackError};
use eitherway_layers::hedge::{Config, Pace};
use eitherway_layers::{BreakerLayer, HedgeExt, LogLayer, TimeoutLayer};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{BoxError, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

type Path = BoxCloneSyncService<&'static str, Response<Body>, BoxError>;

/// A server, and the client for it: a log, a circuit and a limit around a connection pool.
fn path(tag: &'static str, address: SocketAddr) -> Path {
    let request =
        move |path| Request::get(format!("http://{address}{path}")).body(Body::empty()).expect("valid");
    let layers = ServiceBuilder::new()
        .layer(LogLayer::new(tag).label_by(&["price"], |_: &&'static str| 0))
        .layer(BreakerLayer::default())
        .layer(TimeoutLayer::new(Duration::from_secs(2)))
        .map_err(BoxError::from)
        .map_request(request)
        .map_response(|response: Response<_>| response.map(Body::new));
    BoxCloneSyncService::new(layers.service(Client::builder(TokioExecutor::new()).build_http::<Body>()))
}

/// Serves `/price`; without a price, no request is answered.
async fn server(price: Option<&'static str>) -> std::io::Result<SocketAddr> {
    let answer = async move || match price {
        Some(price) => price,
        None => std::future::pending().await,
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/price", get(answer))).await });
    Ok(address)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let first = path("[FIRST]", server(None).await?);
    let second = path("[SECOND]", server(Some("300 cents")).await?);
    let pace = Pace::new(Config::new().after(Duration::from_millis(20)));
    let stack = ServiceBuilder::new()
        .layer(LogLayer::new("[TOTAL]").last().label_by(&["price"], |_: &&'static str| 0))
        .map_err(FallbackError::boxed)
        .service(first.hedge_with(second, ByClass::new(), pace.clone()));
    let response = stack.oneshot("/price").await?;
    let (status, body) = (response.status(), to_bytes(response.into_body(), 100).await?);
    println!("{status}: {}; hedged: {}", String::from_utf8_lossy(&body), pace.counts().started);
    Ok(())
}
