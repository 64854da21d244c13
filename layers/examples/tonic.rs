//! A gRPC client for two servers. Nothing listens at the first, so that the second is asked.
//!
//! `cargo run --package eitherway-layers --example tonic`. Messages are single strings, so that no code is generated.
#![allow(clippy::print_stdout)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::{Router, extract::Request as Http, routing::post};
use eitherway_layers::breaker::{Config, State};
use eitherway_layers::{BreakerLayer, FallbackError, FallbackExt, LogLayer, TimeoutLayer};
use tokio::net::TcpListener;
use tonic::transport::{Endpoint, Server};
use tonic::{Request, Response, Status, client, codegen::http::uri::PathAndQuery, server, service::Routes};
use tonic_prost::ProstCodec;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};

type Codec = ProstCodec<String, String>;

/// Asks the server at an address for a price.
async fn fetch(address: SocketAddr, name: String) -> Result<String, BoxError> {
    let mut client = client::Grpc::new(Endpoint::new(format!("http://{address}"))?.connect_lazy());
    client.ready().await?;
    let method = PathAndQuery::from_static("/shop.Prices/Get");
    Ok(client.unary(Request::new(name), method, Codec::default()).await?.into_inner())
}

/// Serves one request.
async fn price(request: Http) -> axum::response::Response {
    let get = service_fn(async |name: Request<String>| {
        Ok::<_, Status>(Response::new(format!("{}: 300 cents", name.into_inner())))
    });
    server::Grpc::new(Codec::default()).unary(get, request).await.map(axum::body::Body::new)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let nothing = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let routes = Routes::from(Router::new().route("/shop.Prices/Get", post(price)));
    tokio::spawn(Server::builder().add_routes(routes).serve(address));

    let breaker = BreakerLayer::new(Config::new().consecutive_failures(2));
    let (circuit, limit) = (breaker.handle(), TimeoutLayer::new(Duration::from_secs(2)));
    let log = |tag| LogLayer::new(tag).label_by(&["price"], |_: &String| 0);
    let first = ServiceBuilder::new().layer(log("[FIRST]")).layer(breaker).layer(limit);
    let second = ServiceBuilder::new().layer(log("[SECOND]")).layer(limit);
    let second = second.service(service_fn(move |name| fetch(address, name)));
    let stack = ServiceBuilder::new()
        .layer(log("[TOTAL]").last())
        .map_err(FallbackError::boxed)
        .service(first.service(service_fn(move |name| fetch(nothing, name))).fallback_to(second));

    for call in 1..=3 {
        let price = stack.clone().oneshot("tea".to_owned()).await?;
        println!("{call}: {price}; circuit open: {}", circuit.state() == State::Open);
    }
    Ok(())
}
