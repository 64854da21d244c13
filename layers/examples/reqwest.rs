//! A client of reqwest for two servers. Nothing listens at the first, so that the second is asked.
//!
//! `cargo run --package eitherway-layers --example reqwest`
#![allow(clippy::print_stdout)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::{Router, routing::get};
use eitherway_layers::breaker::{Config, State};
use eitherway_layers::{BreakerLayer, FallbackError, FallbackExt, LogLayer, TimeoutLayer};
use tokio::net::TcpListener;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

/// Asks the server at an address. A status that says that the server failed is an error.
async fn fetch(client: reqwest::Client, address: SocketAddr, path: &str) -> Result<String, BoxError> {
    let response = client.get(format!("http://{address}{path}")).send().await?;
    Ok(response.error_for_status()?.text().await?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let client = reqwest::Client::new();
    let nothing = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/price", get(async || "300 cents"));
    tokio::spawn(async { axum::serve(listener, app).await });

    let breaker = BreakerLayer::new(Config::new().consecutive_failures(2));
    let circuit = breaker.handle();
    let (one, two) = (client.clone(), client);
    let first = ServiceBuilder::new()
        .layer(LogLayer::new("[FIRST]").label_by(&["price"], |_: &&'static str| 0))
        .layer(breaker)
        .layer(TimeoutLayer::new(Duration::from_secs(2)))
        .service(service_fn(move |path| fetch(one.clone(), nothing, path)));
    let second = ServiceBuilder::new()
        .layer(LogLayer::new("[SECOND]").label_by(&["price"], |_: &&'static str| 0))
        .layer(TimeoutLayer::new(Duration::from_secs(2)))
        .service(service_fn(move |path| fetch(two.clone(), address, path)));
    let stack = ServiceBuilder::new()
        .layer(LogLayer::new("[TOTAL]").last().label_by(&["price"], |_: &&'static str| 0))
        .map_err(FallbackError::boxed)
        .service(first.fallback_to(second));

    for call in 1..=3 {
        let price = stack.clone().oneshot("/price").await?;
        println!("{call}: {price}; circuit open: {}", circuit.state() == State::Open);
    }
    Ok(())
}
