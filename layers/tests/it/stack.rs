//! The layers together, in the order of the standard stack.

use crate::support::{Error, Req, Via, read, silent};
use eitherway_layers::{Class, FallbackExt, LogLayer, PathChangeLogLayer, TimeoutLayer};
use std::{future::ready, time::Duration};
use tower::{ServiceBuilder, ServiceExt, service_fn};

#[tokio::test(start_paused = true)]
async fn a_request_whose_primary_times_out_is_served_by_the_fallback_after_the_limit() {
    let works = service_fn(async |_: Req| Ok::<_, Error>(Via(1)));
    let limit = TimeoutLayer::new(Duration::from_secs(2));
    let primary = ServiceBuilder::new().layer(LogLayer::new("[NATS]")).layer(limit).service(silent());
    let second = ServiceBuilder::new().layer(LogLayer::new("[DB]")).layer(limit).service(works);
    let stack = ServiceBuilder::new()
        .layer(LogLayer::new("[TOTAL]").last())
        .layer(PathChangeLogLayer::new())
        .service(primary.fallback_to(second));

    let start = tokio::time::Instant::now();
    assert_eq!(stack.oneshot(read(1)).await, Ok(Via(1)));
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}

#[tokio::test]
async fn fallbacks_nest_and_the_last_one_serves_when_all_before_it_fail() {
    let fails = |class| service_fn(move |_: Req| ready(Err::<Via, _>(Error::Of(class))));
    let works = service_fn(async |_: Req| Ok::<_, Error>(Via(1)));
    let stack = fails(Class::NotSent).fallback_to(fails(Class::Backend)).fallback_to(works);
    assert_eq!(stack.oneshot(read(1)).await, Ok(Via(1)));
}
