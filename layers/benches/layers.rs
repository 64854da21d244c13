//! The cost that each layer adds to a service that is ready and answers at once: alone, stacked, failing,
//! shared by two threads, and beside comparable layers of other crates.
//!
//! Stacks are built outside the timed loop. All rows use the same `service_fn`.

#[path = "layers/drive.rs"]
mod drive;
#[path = "layers/peers.rs"]
mod peers;
#[path = "layers/recorder.rs"]
mod recorder;
#[path = "layers/subject.rs"]
mod subject;

use criterion::{Criterion, criterion_group, criterion_main};
use eitherway_layers::{
    BreakerLayer, FallbackExt, HedgeExt, KeyedBreakerLayer, LogLayer, MetricsLayer, PathChangeLogLayer,
    TimeoutLayer, breaker,
};
use std::fmt::Debug;
use tower::{Layer, Service, ServiceBuilder};
use tower_resilience_circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer};

use drive::{measure, measure_one, measure_two, once};
use peers::{LIMIT, peer_breaker, peer_fallback, peer_hedge, peer_limiter};
use subject::{Error, Req, fails, works, yields};

fn alone(c: &mut Criterion) {
    let mut group = c.benchmark_group("alone");
    measure(&mut group, "bare", works());
    measure(&mut group, "timeout", TimeoutLayer::new(LIMIT).layer(works()));
    measure(&mut group, "breaker", BreakerLayer::default().layer(works()));
    let keyed = KeyedBreakerLayer::new([breaker::Config::new(), breaker::Config::new()], |req: &Req| {
        req.0 as usize % 2
    });
    measure(&mut group, "keyed breaker", keyed.layer(works()));
    let with_window = breaker::Config::new().failure_rate(0.5, 100, 100);
    measure(&mut group, "breaker with a failure rate", BreakerLayer::new(with_window).layer(works()));
    measure(&mut group, "fallback", works().fallback_to(works()));
    measure(&mut group, "hedge", works().hedge_to(works()));
    measure(&mut group, "log", LogLayer::new("[NATS]").layer(works()));
    measure(&mut group, "switch", PathChangeLogLayer::new().layer(works()));
    measure(&mut group, "metrics", MetricsLayer::new("nats").layer(works()));
    measure(&mut group, "metrics disabled", MetricsLayer::disabled().layer(works()));

    measure(&mut group, "peer tower timeout", tower::timeout::TimeoutLayer::new(LIMIT).layer(works()));
    measure(&mut group, "peer tower-resilience time limiter", peer_limiter().layer(works()));
    measure(&mut group, "peer tower-resilience circuit breaker", peer_breaker().layer(works()));
    measure(&mut group, "peer tower-resilience fallback", peer_fallback(works()));
    measure(&mut group, "peer tower-fallback", tower_fallback::Fallback::new(works(), works()));
    group.finish();
}

/// Over a service that is pending once, as everything is that goes over a network.
fn pending(c: &mut Criterion) {
    let mut group = c.benchmark_group("pending once");
    measure(&mut group, "bare", yields());
    measure(&mut group, "timeout", TimeoutLayer::new(LIMIT).layer(yields()));
    measure(&mut group, "fallback", yields().fallback_to(works()));
    measure(&mut group, "hedge", yields().hedge_to(works()));
    measure_one(&mut group, "peer tower hedge", peer_hedge(yields()));
    group.finish();
}

/// A layer, of which the state that its services share is leaked or counted.
fn kept<L>(layer: L, leaked: bool, leak: fn(L) -> L) -> L {
    if leaked { leak(layer) } else { layer }
}

/// The standard stack, with these metrics of a path.
fn standard(
    metrics: fn(&'static str) -> MetricsLayer,
    leaked: bool,
) -> impl Service<Req, Error: Debug> + Clone + Send + Sync {
    let log = |log: LogLayer| kept(log.share_clock(), leaked, LogLayer::leak);
    let metrics = |path| kept(metrics(path), leaked, MetricsLayer::leak);
    let timeout = TimeoutLayer::new(LIMIT);
    let second = ServiceBuilder::new()
        .layer(log(LogLayer::new("[DB]")))
        .layer(metrics("db"))
        .layer(timeout)
        .service(works());
    let first = ServiceBuilder::new()
        .layer(log(LogLayer::new("[NATS]")))
        .layer(metrics("nats"))
        .layer(kept(BreakerLayer::default(), leaked, BreakerLayer::leak))
        .layer(timeout)
        .service(works());
    ServiceBuilder::new()
        .layer(kept(PathChangeLogLayer::new(), leaked, PathChangeLogLayer::leak))
        .layer(log(LogLayer::new("[TOTAL]").last()))
        .layer(metrics("total").share_clock())
        .service(first.fallback_to(second))
}

/// The complete standard stack without a subscriber or recorder. Runs before a subscriber is installed.
fn silent(c: &mut Criterion) {
    let mut group = c.benchmark_group("silent");
    measure(&mut group, "bare", works());
    measure(&mut group, "standard stack", standard(|_| MetricsLayer::disabled(), false));
    measure(&mut group, "standard stack, leaked", standard(|_| MetricsLayer::disabled(), true));
    group.finish();
}

/// The standard stack from the inside out, log at `INFO`; and the part of it for which other crates have
/// equivalents.
fn cumulative(c: &mut Criterion) {
    let mut group = c.benchmark_group("cumulative");
    let timeout = TimeoutLayer::new(LIMIT);
    let second = ServiceBuilder::new()
        .layer(LogLayer::new("[DB]"))
        .layer(MetricsLayer::new("db"))
        .layer(timeout)
        .service(works());
    measure(&mut group, "0 bare", works());
    let stack = timeout.layer(works());
    measure(&mut group, "1 timeout", stack.clone());
    let stack = BreakerLayer::default().layer(stack);
    measure(&mut group, "2 breaker", stack.clone());
    let stack = MetricsLayer::new("nats").layer(stack);
    measure(&mut group, "3 metrics of the path", stack.clone());
    let stack = LogLayer::new("[NATS]").layer(stack);
    measure(&mut group, "4 log of the path", stack.clone());
    let stack = stack.fallback_to(second);
    measure(&mut group, "5 fallback", stack.clone());
    let stack = MetricsLayer::new("total").share_clock().layer(stack);
    measure(&mut group, "6 metrics of all", stack.clone());
    let stack = LogLayer::new("[TOTAL]").last().layer(stack);
    measure(&mut group, "7 log of all", stack.clone());
    measure(&mut group, "8 switch, the standard stack", PathChangeLogLayer::new().layer(stack));
    measure(&mut group, "9 the standard stack, leaked", standard(MetricsLayer::new, true));

    let peers = tower::timeout::TimeoutLayer::new(LIMIT).layer(works());
    let peers = tower::util::MapErr::new(peers, |_: tower::BoxError| Error::Down);
    let peers = peer_breaker().layer(peers);
    let peers = tower::util::MapErr::new(peers, |_: CircuitBreakerError<Error>| Error::Down);
    measure(&mut group, "peers timeout, breaker, fallback", peer_fallback(peers));
    let ours = BreakerLayer::default().layer(timeout.layer(works())).fallback_to(works());
    measure(&mut group, "ours timeout, breaker, fallback", ours);
    group.finish();
}

fn outage(c: &mut Criterion) {
    let mut group = c.benchmark_group("outage");
    measure(&mut group, "primary fails, fallback", fails().fallback_to(works()));
    measure(&mut group, "primary fails, peer tower-resilience fallback", peer_fallback(fails()));
    measure(
        &mut group,
        "primary fails, peer tower-fallback",
        tower_fallback::Fallback::new(fails(), works()),
    );

    let breaker = BreakerLayer::default();
    breaker.handle().force_open();
    measure(&mut group, "circuit forced open, fallback", breaker.layer(fails()).fallback_to(works()));
    let config = breaker::Config::new().consecutive_failures(1).back_off(LIMIT * 1000, LIMIT * 1000);
    let open = BreakerLayer::new(config).layer(fails());
    assert!(once(&open, Req(0)).is_err() && open.handle().state() == breaker::State::Open);
    measure(&mut group, "circuit open, fallback", open.fallback_to(works()));

    let peer = CircuitBreakerLayer::builder()
        .sliding_window_size(2)
        .minimum_number_of_calls(2)
        .wait_duration_in_open(LIMIT * 1000)
        .build()
        .expect("the configuration is valid")
        .layer(fails());
    for id in 0..10 {
        let _ = once(&peer, Req(id));
    }
    assert!(matches!(once(&peer, Req(0)), Err(CircuitBreakerError::OpenCircuit)), "the peer is open");
    let peer = tower::util::MapErr::new(peer, |_: CircuitBreakerError<Error>| Error::Down);
    measure(&mut group, "circuit open, peers tower-resilience", peer_fallback(peer));
    group.finish();
}

fn shared(c: &mut Criterion) {
    let mut group = c.benchmark_group("two threads");
    measure_two(&mut group, "bare", &works());
    measure_two(&mut group, "one breaker", &BreakerLayer::default().layer(works()));
    let peer = peer_breaker().layer(works());
    measure_two(&mut group, "one peer tower-resilience circuit breaker", &peer);
    group.finish();
}

fn layers(c: &mut Criterion) {
    // The other crates create their timers eagerly, and need a runtime for that.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let _entered = runtime.enter();
    silent(c);
    metrics::set_global_recorder(recorder::Atomic).ok();
    tracing::subscriber::set_global_default(tracing_subscriber::layer::SubscriberExt::with(
        tracing_subscriber::registry(),
        tracing_subscriber::filter::LevelFilter::INFO,
    ))
    .ok();
    alone(c);
    pending(c);
    cumulative(c);
    outage(c);
    shared(c);
}

criterion_group!(benches, layers);
criterion_main!(benches);
