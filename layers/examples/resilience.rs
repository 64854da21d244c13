//! One stack, written with these layers and with those of tower-resilience.
//!
//! `cargo run --package eitherway-layers --example resilience`
#![allow(clippy::print_stdout)]

use std::time::Duration;

use eitherway_layers::breaker::Config;
use eitherway_layers::fallback::{ByClass, FallbackError};
use eitherway_layers::{BreakerLayer, FallbackLayer, LogLayer, TimeoutLayer};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;
use tower_resilience_fallback::FallbackLayer as PeerFallbackLayer;
use tower_resilience_timelimiter::TimeLimiterLayer;

const LIMIT: Duration = Duration::from_millis(20);

async fn remote(_: &'static str) -> Result<String, BoxError> {
    std::future::pending().await
}

async fn local(name: &'static str) -> Result<String, BoxError> {
    Ok(format!("{name}, from here"))
}

fn ours() -> impl Service<&'static str, Response = String, Error = BoxError, Future: Send> + Clone {
    ServiceBuilder::new()
        .layer(LogLayer::new("[TOTAL]").last().label_by(&["greet"], |_: &&'static str| 0))
        .map_err(FallbackError::boxed)
        .layer(FallbackLayer::new(service_fn(local), ByClass::new()))
        .layer(BreakerLayer::new(Config::new().tag("[REMOTE]").consecutive_failures(2)))
        .layer(TimeoutLayer::new(LIMIT))
        .service(service_fn(remote))
}

fn theirs() -> impl Service<&'static str, Response = String, Error = BoxError, Future: Send> + Clone {
    let changed = |from, to| tracing::info!("[REMOTE] {from:?} -> {to:?}");
    let breaker = CircuitBreakerLayer::builder().consecutive_failures(2).on_state_transition(changed);
    ServiceBuilder::new()
        .map_result(|result: Result<String, _>| {
            result
                .inspect_err(|error| tracing::error!("[TOTAL] greet failed: {error}"))
                .map_err(BoxError::from)
        })
        .layer(PeerFallbackLayer::tower_service(service_fn(local)))
        .map_err(BoxError::from)
        .layer(breaker.build().expect("the configuration is valid"))
        .map_err(BoxError::from)
        .layer(TimeLimiterLayer::builder().timeout_duration(LIMIT).build())
        .service(service_fn(remote))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    println!("ours: {}", ours().oneshot("alice").await?);
    println!("theirs: {}", theirs().oneshot("alice").await?);
    Ok(())
}
