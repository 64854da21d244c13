//! The memory cost of a call: the future of each layer is the inner one and a few words.
#![allow(clippy::print_stdout)]

use crate::support::{Error, Req, Via, read};
use eitherway_layers::{
    BreakerLayer, FallbackExt, HedgeExt, KeyedBreakerLayer, LogLayer, PathChangeLogLayer, TimeoutLayer,
    breaker::Config,
};
use std::{future::Ready, mem::size_of_val, time::Duration};
use tower::{Layer, Service, service_fn};

type Answer = Result<Via, Error>;

fn leaf() -> impl Service<Req, Response = Via, Error = Error, Future = Ready<Answer>> + Clone {
    service_fn(|_: Req| std::future::ready(Ok(Via(0))))
}

/// The size in bytes of the future of one call.
fn size<S: Service<Req>>(mut service: S) -> usize {
    size_of_val(&service.call(read(1)))
}

#[tokio::test]
async fn no_future_is_larger_than_its_bound() {
    let bare = size(leaf());
    let timeout = TimeoutLayer::new(Duration::from_secs(2));
    let breaker = BreakerLayer::new(Config::new());
    let keyed = KeyedBreakerLayer::new([Config::new(), Config::new()], |req: &Req| usize::from(req.write));
    let log = LogLayer::new("[NATS]");
    #[cfg(feature = "metrics")]
    let metrics = eitherway_layers::MetricsLayer::new("nats");

    let mut seen = vec![
        // tokio's `Sleep` accounts for 112 bytes of it.
        ("timeout", size(timeout.layer(leaf())) - bare, 144),
        ("breaker", size(breaker.layer(leaf())) - bare, 48),
        ("keyed breaker", size(keyed.layer(leaf())) - bare, 48),
        ("log", size(log.layer(leaf())) - bare, 80),
        // Where the state is, and whether it is counted.
        ("switch", size(PathChangeLogLayer::new().layer(leaf())) - bare, 16),
        // The kept request (16 bytes), the error of the primary, or the clone of the secondary; and its
        // future.
        ("fallback", size(leaf().fallback_to(leaf())) - bare, 72),
        // Both futures at once, and tokio's `Sleep`.
        ("hedge", size(leaf().hedge_to(leaf())) - 2 * bare, 264),
    ];
    #[cfg(feature = "metrics")]
    seen.push(("metrics", size(metrics.layer(leaf())) - bare, 80));

    let path = || log.layer(breaker.layer(timeout.layer(leaf())));
    #[cfg(feature = "metrics")]
    let path = || metrics.layer(path());
    let stack = log.clone().last().layer(PathChangeLogLayer::new().layer(path().fallback_to(path())));
    seen.push(("standard stack", size(stack) - bare, 560));

    for (name, bytes, bound) in seen {
        println!("{name}: {bytes} bytes over the inner future (at most {bound})");
        assert!(bytes <= bound, "{name}: {bytes} bytes, more than {bound}");
    }
}
