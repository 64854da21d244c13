//! What every layer offers alike.

use crate::support::{Error, Req, Via, events::Events, read};
use eitherway_layers::*;
use std::{future::ready, time::Duration};
use tower::{Layer, ServiceExt, service_fn};

type Answer = Result<Via, Error>;

#[test]
fn the_crates_log_and_metrics_stay_visible_where_all_of_this_crate_is_imported() {
    assert_eq!(log::Level::Warn.as_str(), "WARN");
    assert_eq!(metrics::Unit::Count.as_str(), "count");
}

/// For each layer around a number.
macro_rules! gives_back {
    ($($layer:expr),+ $(,)?) => {$(
        let mut layered = $layer;
        assert_eq!(*layered.get_ref(), 1);
        *layered.get_mut() = 2;
        assert_eq!(layered.into_inner(), 2, stringify!($layer));
    )+};
}

#[test]
fn every_layer_gives_access_to_the_service_inside_and_gives_it_back() {
    let pace = hedge::Pace::new(hedge::Config::new());
    gives_back![
        BodyLayer::new(Duration::ZERO).layer(1),
        BreakerLayer::default().layer(1),
        BulkheadLayer::new(1).layer(1),
        ChaosLayer::new(1, || ()).layer(1),
        FallbackLayer::new(3, fallback::ByClass::new()).layer(1),
        HedgeLayer::new(3, fallback::ByClass::new(), pace).layer(1),
        KeyedBreakerLayer::new([breaker::Config::new()], |_: &u8| 0).layer(1),
        LogLayer::new("[NATS]").layer(1),
        MetricsLayer::new("nats").layer(1),
        PathChangeLogLayer::new().layer(1),
        StaleLayer::<_, (), ()>::new(()).layer(1),
        TimeoutLayer::disabled().layer(1),
    ];
}

#[tokio::test(start_paused = true)]
async fn what_is_leaked_is_shared_by_all_who_shared_it_before_and_after() {
    let config = breaker::Config::new().consecutive_failures(1);
    let fails = service_fn(|_: Req| ready(Answer::Err(Error::Of(Class::Backend))));
    let layer = BreakerLayer::new(config.clone());
    let (handle, before) = (layer.handle(), layer.layer(fails));
    let after = layer.leak().layer(fails);
    assert!(after.clone().oneshot(read(1)).await.is_err());
    assert_eq!(handle.state(), breaker::State::Open);
    assert!(matches!(before.oneshot(read(1)).await, Err(Error::Open(_))));

    let keyed = KeyedBreakerLayer::new([config.clone(), config], |req: &Req| usize::from(req.write));
    let handles = [keyed.handle(0), keyed.handle(1)];
    assert!(keyed.leak().layer(fails).oneshot(read(1)).await.is_err());
    assert_eq!(handles.map(|handle| handle.state()), [breaker::State::Open, breaker::State::Closed]);
}

#[tokio::test(start_paused = true)]
async fn a_leaked_log_counts_as_any_other_and_keeps_its_settings() {
    let (events, _guard) = Events::catch(tracing::Level::INFO);
    let fails = service_fn(|_: Req| ready(Answer::Err(Error::Of(Class::Backend))));
    let layer = LogLayer::new("[NATS]").leak().every(Duration::from_secs(1));
    for _ in 0..3 {
        let _ = layer.layer(fails).oneshot(read(1)).await;
    }
    assert_eq!(events.take().len(), 1);
    tokio::time::advance(Duration::from_secs(1)).await;
    let _ = layer.layer(fails).oneshot(read(1)).await;
    assert!(events.take()[0].contains("(2 similar messages suppressed)"));

    let works = service_fn(|_: Req| ready(Answer::Ok(Via(0))));
    let layer = PathChangeLogLayer::by(["reads", "writes"], |req: &Req| usize::from(req.write)).leak();
    for _ in 0..3 {
        let _ = layer.layer(works).oneshot(read(1)).await;
    }
    assert_eq!(events.take().len(), 1);
}
