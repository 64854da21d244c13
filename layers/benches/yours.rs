//! A layer of your own beside ours and beside those of other crates.
//!
//! Put it into [`yours`], then run `cargo bench --package eitherway-layers --bench yours`, or
//! `cargo xtask bench yours` for a table with ratios. Criterion measures: it takes
//! `--save-baseline`, `--baseline`, `--quick` and filters. `docs/own-layer.md` says more.

#[path = "layers/drive.rs"]
mod drive;
#[path = "layers/peers.rs"]
mod peers;
#[path = "layers/subject.rs"]
mod subject;

use criterion::{Criterion, criterion_group, criterion_main};
use eitherway_layers::{BreakerLayer, FallbackExt, HedgeExt, TimeoutLayer};
use tower::{Layer, Service};

use drive::{measure, measure_one, measure_two};
use peers::{LIMIT, peer_breaker, peer_fallback, peer_hedge, peer_limiter};
use subject::{Error, Req, Res, fails, works, yields};

// ┌──────────────────────── your layer ────────────────────────┐
/// The layer to compare, around a service. Here stands one of tower as an example; a crate that is not yet a
/// dependency belongs under `[dev-dependencies]` in `layers/Cargo.toml`.
fn yours<S>(inner: S) -> impl Service<Req> + Clone + Send + Sync
where
    S: Service<Req, Response = Res, Error = Error, Future: Send> + Clone + Send + Sync + 'static,
{
    tower::limit::ConcurrencyLimitLayer::new(1024).layer(inner)
}
// └────────────────────────────────────────────────────────────┘

/// Over a service that answers.
fn answers(c: &mut Criterion) {
    let mut group = c.benchmark_group("yours, over a service that answers");
    measure(&mut group, "yours", yours(works()));
    measure(&mut group, "bare", works());
    measure(&mut group, "our timeout", TimeoutLayer::new(LIMIT).layer(works()));
    measure(&mut group, "our breaker", BreakerLayer::default().layer(works()));
    measure(&mut group, "our fallback", works().fallback_to(works()));
    measure(&mut group, "our hedge", works().hedge_to(works()));
    measure(&mut group, "peer tower timeout", tower::timeout::TimeoutLayer::new(LIMIT).layer(works()));
    measure(&mut group, "peer tower-resilience time limiter", peer_limiter().layer(works()));
    measure(&mut group, "peer tower-resilience circuit breaker", peer_breaker().layer(works()));
    measure(&mut group, "peer tower-resilience fallback", peer_fallback(works()));
    measure(&mut group, "peer tower-fallback", tower_fallback::Fallback::new(works(), works()));
    group.finish();
}

/// Over a service that is pending once, as everything is that goes over a network.
fn waits(c: &mut Criterion) {
    let mut group = c.benchmark_group("yours, over a service that waits");
    measure(&mut group, "yours", yours(yields()));
    measure(&mut group, "bare", yields());
    measure(&mut group, "our timeout", TimeoutLayer::new(LIMIT).layer(yields()));
    measure(&mut group, "our fallback", yields().fallback_to(works()));
    measure(&mut group, "our hedge", yields().hedge_to(works()));
    measure(&mut group, "peer tower timeout", tower::timeout::TimeoutLayer::new(LIMIT).layer(yields()));
    measure_one(&mut group, "peer tower hedge", peer_hedge(yields()));
    group.finish();
}

/// Over a service that fails.
fn fails_always(c: &mut Criterion) {
    let mut group = c.benchmark_group("yours, over a service that fails");
    measure(&mut group, "yours", yours(fails()));
    measure(&mut group, "bare", fails());
    measure(&mut group, "our timeout", TimeoutLayer::new(LIMIT).layer(fails()));
    measure(&mut group, "our breaker", BreakerLayer::default().layer(fails()));
    measure(&mut group, "our fallback", fails().fallback_to(works()));
    measure(&mut group, "peer tower-resilience circuit breaker", peer_breaker().layer(fails()));
    measure(&mut group, "peer tower-resilience fallback", peer_fallback(fails()));
    measure(&mut group, "peer tower-fallback", tower_fallback::Fallback::new(fails(), works()));
    group.finish();
}

/// Over a service that two threads share.
fn shared(c: &mut Criterion) {
    let mut group = c.benchmark_group("yours, shared by two threads");
    measure_two(&mut group, "yours", &yours(works()));
    measure_two(&mut group, "bare", &works());
    measure_two(&mut group, "our breaker", &BreakerLayer::default().layer(works()));
    measure_two(&mut group, "peer tower-resilience circuit breaker", &peer_breaker().layer(works()));
    group.finish();
}

/// The layers of other crates create their timers eagerly, and need a runtime for that.
fn benches(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    answers(c);
    waits(c);
    fails_always(c);
    shared(c);
}

criterion_group!(all, benches);
criterion_main!(all);
