//! Promises of `Log` and `PathChangeLog`.

mod often;
mod path_change;
mod reports;

use crate::support::{
    Error, Req, Via, chaos,
    events::{Events, Guard},
    read, silent, write,
};
use eitherway_layers::{
    Breaker, Class, Elapsed, Failure, LogLayer, PathChangeLogLayer, ServedBy, breaker::Config,
    logging::RateLimitedLog,
};
use std::{
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::advance;
use tokio_test::{assert_pending, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tracing::Level;

type Answer = Result<Via, Error>;

const TOO_LATE: Answer = Err(Error::Elapsed(Elapsed::new(Duration::from_secs(2))));
const BUSY: Answer = Err(Error::Of(Class::Backend));
const LOST: Answer = Err(Error::Of(Class::Unknown));

/// The log lines of a log of this kind at this level, for one call that takes 5 ms and returns `answer`.
async fn said(layer: LogLayer, level: Level, answer: Answer) -> Vec<String> {
    let (events, _guard) = Events::catch(level);
    let inner = service_fn(move |_: Req| ready(answer.clone()));
    let late = chaos().delay(1.0, Duration::from_millis(5)).layer(inner);
    let _ = layer.layer(late).oneshot(write(7)).await;
    events.take()
}

fn path() -> LogLayer {
    LogLayer::new("[NATS]")
}

fn last() -> LogLayer {
    LogLayer::new("[TOTAL]").last()
}

#[tokio::test(start_paused = true)]
async fn a_path_says_how_each_call_ended_and_only_time_outs_and_failing_backends_loudly() {
    assert_eq!(said(path(), Level::DEBUG, Ok(Via(0))).await, ["DEBUG [NATS] write ok id=7 took=5ms"]);
    assert_eq!(
        said(path(), Level::DEBUG, LOST).await,
        ["DEBUG [NATS] write failed: unknown id=7 took=5ms class=unknown"]
    );
    assert_eq!(
        said(path(), Level::DEBUG, BUSY).await,
        ["WARN [NATS] write failed: backend id=7 took=5ms class=backend"]
    );
    assert_eq!(
        said(path(), Level::DEBUG, TOO_LATE).await,
        ["WARN [NATS] write timed out: no answer within 2s id=7 took=5ms class=unknown"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_outermost_log_is_silent_on_success_and_calls_every_error_an_error() {
    assert_eq!(said(last(), Level::TRACE, Ok(Via(0))).await, Vec::<String>::new());
    for (answer, text) in [
        (BUSY, "ERROR [TOTAL] write failed: backend id=7 took=5ms class=backend"),
        (TOO_LATE, "ERROR [TOTAL] write timed out: no answer within 2s id=7 took=5ms class=unknown"),
    ] {
        assert_eq!(said(last(), Level::TRACE, answer).await, [text]);
    }
}

#[tokio::test(start_paused = true)]
async fn with_debug_off_warnings_and_errors_still_carry_operation_id_and_time() {
    assert_eq!(said(path(), Level::INFO, Ok(Via(0))).await, Vec::<String>::new());
    assert_eq!(said(path(), Level::INFO, LOST).await, Vec::<String>::new());
    assert_eq!(
        said(path(), Level::WARN, TOO_LATE).await,
        ["WARN [NATS] write timed out: no answer within 2s id=7 took=5ms class=unknown"]
    );
    assert_eq!(
        said(last(), Level::ERROR, BUSY).await,
        ["ERROR [TOTAL] write failed: backend id=7 took=5ms class=backend"]
    );
    assert_eq!(said(path(), Level::ERROR, TOO_LATE).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_logged_as_cancelled() {
    for layer in [path(), last()] {
        let (events, _guard) = Events::catch(Level::DEBUG);
        let mut call = task::spawn(layer.layer(silent()).oneshot(read(3)));
        assert_pending!(call.poll());
        advance(Duration::from_millis(4)).await;
        drop(call);
        let line = events.take();
        assert!(
            line[0].ends_with("read cancelled id=3 took=4ms") && line[0].starts_with("DEBUG ["),
            "{line:?}"
        );
        assert_eq!(line.len(), 1);
    }
}

#[tokio::test]
async fn a_closure_over_the_result_says_what_a_failure_is() {
    let (events, _guard) = Events::catch(Level::INFO);
    let layer = last().classify_by(|result: &Answer| {
        (*result == Ok(Via(1))).then_some(Failure { class: Class::Backend, timeout: false })
    });
    for via in [0, 1] {
        layer
            .layer(service_fn(move |_: Req| ready(Ok::<_, Error>(Via(via)))))
            .oneshot(read(1))
            .await
            .unwrap();
    }
    assert_eq!(events.take(), ["ERROR [TOTAL] read failed id=1 class=backend"]);
}

/// A console that shows warnings beside a file that receives everything, each with its own filter.
#[tokio::test]
async fn no_line_is_lost_where_two_subscribers_filter_differently() {
    use tracing_subscriber::{Layer as _, filter::LevelFilter, layer::SubscriberExt};
    let (console, file) = (Events::default(), Events::default());
    let subscriber = tracing_subscriber::registry()
        .with(console.catcher(Level::TRACE).with_filter(LevelFilter::WARN))
        .with(file.catcher(Level::TRACE).with_filter(LevelFilter::DEBUG));
    let _guard = Guard::new(subscriber);
    for answer in [Ok(Via(0)), TOO_LATE, Ok(Via(0)), TOO_LATE] {
        let _ = path().layer(service_fn(move |_: Req| ready(answer.clone()))).oneshot(read(1)).await;
    }
    assert_eq!((console.take().len(), file.take().len()), (2, 4));
}

#[tokio::test(start_paused = true)]
async fn opening_and_closing_a_circuit_is_logged_with_its_tag() {
    let (events, _guard) = Events::catch(Level::INFO);
    let config = Config::new().tag("[NATS]").consecutive_failures(1).jitter(0.0);
    let breaker = Breaker::new(service_fn(|_: Req| ready(BUSY)), config);
    breaker.clone().oneshot(read(1)).await.unwrap_err();
    breaker.handle().set_healthy(true);
    assert_eq!(
        events.take(),
        ["WARN [NATS] circuit opened for 500ms from=Closed", "INFO [NATS] circuit closed from=Open"]
    );
}
