//! A shop's prices over HTTP: an upstream that fails and recovers, with yesterday's prices as the fallback.
//!
//! `cargo run --package eitherway-layers --example axum` sends itself a few requests and exits.
#![allow(clippy::print_stdout)]

use std::error::Error as StdError;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use eitherway_layers::breaker::{Config, Handle, Rejected};
use eitherway_layers::{BreakerLayer, Class, Classify, Elapsed, FallbackError, FallbackExt, TimeoutLayer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt, service_fn};

/// Why there is no price.
#[derive(Debug)]
enum Error {
    Slow(Elapsed),
    Open(Rejected),
    NotSold,
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Self::Slow(elapsed) => elapsed.class(),
            Self::Open(rejected) => rejected.class(),
            Self::NotSold => Class::Rejected, // another path would give the same answer, and the upstream is healthy
        }
    }
}

impl From<Elapsed> for Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::Slow(elapsed)
    }
}

impl From<Rejected> for Error {
    fn from(rejected: Rejected) -> Self {
        Self::Open(rejected)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow(elapsed) => elapsed.fmt(f),
            Self::Open(rejected) => rejected.fmt(f),
            Self::NotSold => f.write_str("not sold here"),
        }
    }
}

impl StdError for Error {}

/// A price in cents, and its day.
type Price = (u32, &'static str);
type Prices = BoxCloneSyncService<String, Price, FallbackError<Error, Error>>;

/// The upstream: its second and third answers never come.
async fn upstream(name: String, calls: Arc<AtomicUsize>) -> Result<Price, Error> {
    let ill = matches!(calls.fetch_add(1, Relaxed), 1 | 2);
    match name.as_str() {
        "tea" if ill => std::future::pending().await,
        "tea" => Ok((300, "today")),
        _ => Err(Error::NotSold),
    }
}

/// The upstream behind a limit and a circuit, with yesterday's prices as the fallback.
fn prices(calls: Arc<AtomicUsize>) -> (Prices, Handle) {
    let circuit = BreakerLayer::new(Config::new().consecutive_failures(2).closes_on_signal_only());
    let handle = circuit.handle();
    let today = ServiceBuilder::new()
        .layer(circuit)
        .layer(TimeoutLayer::new(Duration::from_millis(50)))
        .service(service_fn(move |name| upstream(name, Arc::clone(&calls))));
    let yesterday = service_fn(async |_: String| Ok::<_, Error>((280, "yesterday")));
    (BoxCloneSyncService::new(today.fallback_to(yesterday)), handle)
}

async fn price(
    State(prices): State<Prices>,
    Path(name): Path<String>,
) -> Result<String, (StatusCode, String)> {
    match prices.oneshot(name).await {
        Ok((cents, day)) => Ok(format!("{cents} cents ({day})")),
        Err(error) if error.class() == Class::Rejected => Err((StatusCode::NOT_FOUND, error.to_string())),
        Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
    }
}

/// Sends a request over a new connection. Returns the status line and the body.
async fn ask(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    let status = answer.lines().next().unwrap_or_default();
    Ok(format!("{status}: {}", answer.lines().last().unwrap_or_default()))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn StdError>> {
    let calls = Arc::new(AtomicUsize::new(0));
    let (prices, circuit) = prices(Arc::clone(&calls));
    let app = Router::new().route("/price/{name}", get(price)).with_state(prices);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });

    for (when, path) in [
        ("all is well", "/price/tea"),
        ("it hangs", "/price/tea"),
        ("it hangs again", "/price/tea"),
        ("it is left in peace", "/price/tea"),
        ("it is well again", "/price/tea"),
        ("nobody sells this", "/price/gold"),
    ] {
        if when == "it is well again" {
            circuit.set_healthy(true); // an application would call this from its health check
        }
        let answer = ask(address, path).await?;
        println!("{when}: {answer}; calls upstream: {}", calls.load(Relaxed));
    }
    Ok(())
}
