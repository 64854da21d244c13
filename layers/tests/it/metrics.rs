//! Promises of `Metrics` and `CountReroutes`.

use crate::support::{Error, Req, Via, read, silent, write};
use eitherway_layers::{
    Class, FallbackExt, MetricsLayer,
    fallback::{ByClass, CountReroutes, Unready},
};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use std::{
    collections::BTreeMap,
    future::{Future, ready},
    time::Duration,
};
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, task};
use tower::{Layer, ServiceExt, service_fn};
use tower_test::mock;

type Answer = Result<Via, Error>;

/// Runs this on paused time. Returns what was recorded: `name{labels}` and the value, without zero counters.
fn recorded<F: Future<Output = ()>>(run: impl FnOnce() -> F) -> BTreeMap<String, String> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    metrics::with_local_recorder(&recorder, || runtime.block_on(async { run().await }));
    let mut lines = BTreeMap::new();
    for (key, _, _, value) in snapshotter.snapshot().into_vec() {
        let labels: Vec<_> =
            key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let value = match value {
            DebugValue::Counter(0) => continue,
            DebugValue::Counter(count) => count.to_string(),
            DebugValue::Gauge(value) => value.to_string(),
            DebugValue::Histogram(values) => {
                format!("{:?}", values.iter().map(|value| value.0).collect::<Vec<_>>())
            }
        };
        lines.insert(format!("{}{{{}}}", key.key().name(), labels.join(",")), value);
    }
    lines
}

fn lines<const N: usize>(lines: [(&str, &str); N]) -> BTreeMap<String, String> {
    lines.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[test]
fn every_call_is_counted_by_operation_path_and_outcome_and_timed() {
    let seen = recorded(|| async {
        let layer = MetricsLayer::new("nats").prefix("rosey");
        let inner = service_fn(async |req: Req| {
            sleep(Duration::from_millis(req.id)).await;
            if req.write { Err(Error::Of(Class::Unknown)) } else { Ok(Via(0)) }
        });
        layer.layer(inner).oneshot(read(500)).await.unwrap();
        layer.layer(inner).oneshot(read(250)).await.unwrap();
        layer.layer(inner).oneshot(write(125)).await.unwrap_err();
    });
    assert_eq!(
        seen,
        lines([
            ("rosey_operation_duration_seconds{operation=read,path=nats}", "[0.5, 0.25]"),
            ("rosey_operation_duration_seconds{operation=write,path=nats}", "[0.125]"),
            ("rosey_operations_in_flight{path=nats}", "0"),
            ("rosey_operations_total{operation=read,path=nats,outcome=ok}", "2"),
            ("rosey_operations_total{operation=write,path=nats,outcome=unknown}", "1"),
        ])
    );
}

#[test]
fn every_class_has_its_outcome() {
    let seen = recorded(|| async {
        for class in Class::ALL {
            let inner = service_fn(move |_: Req| ready(Answer::Err(Error::Of(class))));
            MetricsLayer::new("db").layer(inner).oneshot(read(1)).await.unwrap_err();
        }
    });
    for class in Class::ALL {
        assert_eq!(seen[&format!("tower_operations_total{{operation=read,path=db,outcome={class}}}")], "1");
    }
}

#[test]
fn a_dropped_call_is_counted_as_cancelled_and_leaves_the_gauge() {
    let seen = recorded(|| async {
        let layer = MetricsLayer::new("db");
        let mut call = task::spawn(layer.layer(silent()).oneshot(read(1)));
        assert_pending!(call.poll());
        advance(Duration::from_millis(500)).await;
        drop(call);
    });
    assert_eq!(
        seen,
        lines([
            ("tower_operation_duration_seconds{operation=read,path=db}", "[0.5]"),
            ("tower_operations_in_flight{path=db}", "0"),
            ("tower_operations_total{operation=read,path=db,outcome=cancelled}", "1"),
        ])
    );
}

#[test]
fn the_gauge_shows_the_calls_under_way_and_comes_down_when_the_inner_call_panics() {
    let seen = recorded(|| async {
        let layer = MetricsLayer::new("db");
        let mut calls: Vec<_> =
            (0..3).map(|id| task::spawn(layer.layer(silent()).oneshot(read(id)))).collect();
        for call in &mut calls {
            assert_pending!(call.poll());
        }
        std::mem::forget(calls); // still in flight
        let mut broken = layer.layer(service_fn(|_: Req| -> std::future::Ready<Answer> { panic!("broken") }));
        let panicked = std::panic::AssertUnwindSafe(|| drop(tower::Service::call(&mut broken, read(1))));
        assert!(std::panic::catch_unwind(panicked).is_err());
    });
    assert_eq!(seen["tower_operations_in_flight{path=db}"], "3");
    assert_eq!(seen["tower_operations_total{operation=read,path=db,outcome=unknown}"], "1");
}

#[test]
fn a_panic_of_the_service_counts_as_unknown_and_one_of_its_caller_as_cancelled() {
    let seen = recorded(|| async {
        let layer = MetricsLayer::new("db").leak();
        let panics = service_fn(async |_: Req| -> Answer { panic!("on purpose") });
        let mut call = task::spawn(layer.layer(panics).oneshot(read(1)));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call.poll())).is_err());
        drop(call);
        let mut call = task::spawn(layer.layer(silent()).oneshot(read(1)));
        assert_pending!(call.poll());
        let caller = std::panic::AssertUnwindSafe(move || {
            let _dropped = call;
            panic!("the caller's own")
        });
        assert!(std::panic::catch_unwind(caller).is_err());
    });
    for outcome in ["unknown", "cancelled"] {
        assert_eq!(seen[&format!("tower_operations_total{{operation=read,path=db,outcome={outcome}}}")], "1");
    }
    assert_eq!(seen["tower_operations_in_flight{path=db}"], "0");
}

/// Durations by path of one call through a layer around another, which work 1 ms before and after the call inside.
fn nested(outer: MetricsLayer) -> [f64; 2] {
    let work = || std::thread::sleep(Duration::from_millis(1));
    let seen = recorded(|| async {
        let mut inner = MetricsLayer::new("inner").layer(service_fn(|_: Req| ready(Answer::Ok(Via(0)))));
        let between = service_fn(move |req: Req| {
            work();
            let call = tower::Service::call(&mut inner, req);
            async move {
                let answer = call.await;
                work();
                answer
            }
        });
        tokio::time::resume();
        outer.layer(between).oneshot(read(1)).await.unwrap();
    });
    ["outer", "inner"].map(|path| {
        let values = &seen[&format!("tower_operation_duration_seconds{{operation=read,path={path}}}")];
        values.trim_matches(['[', ']']).parse().unwrap()
    })
}

#[test]
fn a_layer_that_shares_the_clock_takes_the_times_of_the_one_inside_and_another_layer_its_own() {
    let [outer, inner] = nested(MetricsLayer::new("outer").share_clock());
    assert_eq!(outer, inner);
    let [outer, inner] = nested(MetricsLayer::new("outer"));
    assert!(outer >= inner + 0.002, "{outer} {inner}");
}

#[test]
fn a_shared_reading_is_of_the_same_call_and_of_the_same_poll() {
    let seen = recorded(|| async {
        let outer = MetricsLayer::new("outer").share_clock();
        let inner = MetricsLayer::new("inner").layer(service_fn(|_: Req| ready(Answer::Ok(Via(0)))));
        let broken = service_fn(|_: Req| -> std::future::Ready<Answer> { panic!("broken") });
        let panicked =
            std::panic::AssertUnwindSafe(|| drop(tower::Service::call(&mut outer.layer(broken), read(1))));
        assert!(std::panic::catch_unwind(panicked).is_err());
        let goes_on = service_fn(move |req: Req| {
            let call = inner.clone().oneshot(req);
            async move {
                let answer = call.await;
                sleep(Duration::from_millis(500)).await;
                answer
            }
        });
        advance(Duration::from_millis(100)).await;
        outer.layer(goes_on).oneshot(write(1)).await.unwrap();
    });
    assert_eq!(seen["tower_operation_duration_seconds{operation=write,path=outer}"], "[0.5]");
    assert_eq!(seen["tower_operation_duration_seconds{operation=write,path=inner}"], "[0.0]");
}

#[test]
fn a_disabled_layer_records_nothing() {
    let seen = recorded(|| async {
        let inner = service_fn(|_: Req| ready(Answer::Ok(Via(0))));
        MetricsLayer::disabled().layer(inner).oneshot(read(1)).await.unwrap();
    });
    assert_eq!(seen, BTreeMap::new());
}

#[test]
fn one_layer_around_two_request_types_names_the_operations_of_both() {
    struct Other;
    impl eitherway_layers::Label for Other {
        const LABELS: &'static [&'static str] = &["other"];
        type Id = u8;
        fn label(&self) -> usize {
            0
        }
        fn id(&self) -> u8 {
            0
        }
    }
    let seen = recorded(|| async {
        let layer = MetricsLayer::new("db");
        layer.layer(service_fn(|_: Req| ready(Answer::Ok(Via(0))))).oneshot(read(1)).await.unwrap();
        layer.layer(service_fn(|_: Other| ready(Answer::Ok(Via(0))))).oneshot(Other).await.unwrap();
    });
    assert_eq!(seen["tower_operations_total{operation=read,path=db,outcome=ok}"], "1");
    assert_eq!(seen["tower_operations_total{operation=other,path=db,outcome=ok}"], "1");
}

#[test]
fn reroutes_are_counted_by_operation_and_cause() {
    let works = || service_fn(|_: Req| ready(Answer::Ok(Via(1))));
    let fails = |class| service_fn(move |_: Req| ready(Answer::Err(Error::Of(class))));
    let seen = recorded(|| async {
        let policy = CountReroutes::new(ByClass::new().unready(Unready::Reroute)).prefix("rosey");
        let layer = eitherway_layers::FallbackLayer::new(works(), policy);
        for class in [Class::Backend, Class::Backend, Class::Unknown, Class::Rejected] {
            let _ = layer.layer(fails(class)).oneshot(write(1)).await;
        }
        let (mock, mut handle) = mock::pair::<Req, Via>();
        handle.allow(0);
        layer.layer(mock.map_err(Error::from)).oneshot(read(1)).await.unwrap();

        let picky = CountReroutes::new(|_: &Req, result: &Answer| *result == Ok(Via(0))).prefix("rosey");
        let empty = service_fn(|_: Req| ready(Answer::Ok(Via(0))));
        empty.fallback_with(works(), picky).oneshot(read(1)).await.unwrap();
    });
    assert_eq!(
        seen,
        lines([
            ("rosey_fallbacks_total{operation=write,class=backend}", "2"),
            ("rosey_fallbacks_total{operation=write,class=unknown}", "1"),
            ("rosey_fallbacks_total{operation=read,class=not_sent}", "1"),
            ("rosey_fallbacks_total{operation=read,class=response}", "1"),
        ])
    );
}
