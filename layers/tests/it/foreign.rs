//! Requests, responses and errors of other crates, which implement none of our traits.

use crate::support::events::Events;
use axum::http::{Method, Request, Response, StatusCode};
use eitherway_layers::{
    Breaker, BreakerLayer, Class, Classify, Elapsed, Failure, FallbackError, FallbackExt, LogLayer,
    PathChangeLogLayer, Timeout, TimeoutLayer,
    breaker::{Config, Rejected},
};
use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::{pending, ready},
    io,
    time::Duration,
};
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt, service_fn};
use tracing::Level;

type Answer = Result<Response<String>, BoxError>;

const NAMES: &[&str] = &["read", "write"];

fn name(request: &Request<String>) -> usize {
    usize::from(request.method() != Method::GET)
}

fn by_status(result: &Answer) -> Option<Failure> {
    match result {
        Ok(response) => response.status().is_server_error().then(|| Class::Backend.into()),
        Err(error) => Some(Failure { class: error.class(), timeout: error.is_timeout() }),
    }
}

#[tokio::test(start_paused = true)]
async fn http_requests_are_logged_by_closures_for_operation_failure_and_path() {
    let (events, _guard) = Events::catch(Level::DEBUG);
    let service = service_fn(async |request: Request<String>| -> Answer {
        let status = if request.method() == Method::GET { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
        Ok(Response::builder().status(status).header("via", "cache").body(String::new())?)
    });
    let path = LogLayer::new("[HTTP]").label_by(NAMES, name).classify_by(by_status);
    let via =
        |response: &Response<String>| if response.headers().contains_key("via") { "[CACHE]" } else { "[?]" };
    let stack = PathChangeLogLayer::new().served_by(via).layer(path.layer(service));
    for method in [Method::GET, Method::POST] {
        let request = Request::builder().method(method).body(String::new()).unwrap();
        stack.clone().oneshot(request).await.unwrap();
    }
    let lines = events.take();
    assert!(lines[0].starts_with("DEBUG [HTTP] read ok id=-"), "{lines:?}");
    assert_eq!(lines[1], "INFO [CACHE] is serving");
    assert!(lines[2].starts_with("WARN [HTTP] write failed id=-"), "{lines:?}");
}

#[cfg(feature = "metrics")]
#[tokio::test]
async fn http_requests_are_counted_by_a_closure() {
    let service = service_fn(async |_: Request<String>| -> Answer { Ok(Response::new(String::new())) });
    let layer = eitherway_layers::MetricsLayer::new("http").label_by(NAMES, name).classify_by(by_status);
    let recorder = metrics_util::debugging::DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let call = layer.layer(service).oneshot(Request::new(String::new()));
    let _recording = metrics::set_default_local_recorder(&recorder);
    call.await.unwrap();
    let counted = snapshotter.snapshot().into_vec().into_iter().any(|(key, _, _, _)| {
        key.key().name() == "tower_operations_total"
            && key.key().labels().any(|label| label.value() == "read")
    });
    assert!(counted);
}

/// An error of another crate with a source.
#[derive(Debug)]
struct Around(BoxError);

impl fmt::Display for Around {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed")
    }
}

impl Error for Around {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn boxed_errors_are_classified_by_what_is_in_them() {
    let boxed = |error: io::ErrorKind| BoxError::from(io::Error::from(error));
    for (error, class) in [
        (BoxError::from(Elapsed::new(Duration::from_secs(2))), Class::Unknown),
        (BoxError::from(Rejected::new(None)), Class::NotSent),
        (boxed(io::ErrorKind::ConnectionRefused), Class::NotSent),
        (boxed(io::ErrorKind::ConnectionReset), Class::Unknown),
        (boxed(io::ErrorKind::PermissionDenied), Class::Rejected),
        (BoxError::from(io::Error::other(Rejected::new(None))), Class::NotSent),
        (BoxError::from("who knows"), Class::Unknown),
    ] {
        assert_eq!(error.class(), class, "{error:?}");
        // However deep it is.
        let deep = BoxError::from(Around(Around(error).into()));
        assert_eq!(deep.class(), class, "{deep:?}");
    }
    assert!(BoxError::from(Around(boxed(io::ErrorKind::TimedOut))).is_timeout());
    assert!(BoxError::from(Around(Elapsed::new(Duration::from_secs(2)).into())).is_timeout());
    // The outermost that is known decides: of the errors of two paths the heavier, whichever they end with.
    let both = |primary: BoxError, fallback: BoxError| FallbackError::Both { primary, fallback }.boxed();
    let (lost, open) = (|| boxed(io::ErrorKind::ConnectionReset), || BoxError::from(Rejected::new(None)));
    for error in [both(lost(), open()), both(open(), lost()), both(both(lost(), open()), open())] {
        assert_eq!(error.class(), Class::Unknown, "{error:?}");
        assert_eq!(BoxError::from(Around(error)).class(), Class::Unknown);
    }
    assert_eq!(BoxError::from(Around(both(open(), open()))).class(), Class::NotSent);
    // Also where the primary has served the request, and left no error.
    let unaccepted = FallbackError::<BoxError, BoxError>::Unaccepted { fallback: open() };
    assert_eq!(unaccepted.boxed().class(), Class::Unknown);
    assert!(boxed(io::ErrorKind::TimedOut).is_timeout());

    // A stack of boxed errors needs no conversion.
    let primary = ServiceBuilder::new()
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .service(service_fn(async |_: u32| pending::<Result<u32, BoxError>>().await));
    let refuses = service_fn(async |_: u32| Err::<u32, _>(boxed(io::ErrorKind::ConnectionRefused)));
    let answers = service_fn(async |n: u32| Ok::<_, BoxError>(n + 1));
    assert_eq!(primary.fallback_to(refuses).fallback_to(answers).oneshot(1).await.unwrap(), 2);
}

#[tokio::test]
async fn errors_of_another_crate_are_rerouted_and_reported_by_a_closure() {
    /// An error that implements none of our traits, and is not even an `Error`.
    #[derive(Debug)]
    struct Status(u16);
    let by_code = |result: &Result<u32, Status>| match result {
        Err(Status(400..500)) => Some(Failure::from(Class::Rejected)),
        Err(_) => Some(Class::Backend.into()),
        Ok(0) => Some(Class::Unknown.into()),
        Ok(_) => None,
    };
    let (events, _guard) = Events::catch(Level::INFO);
    let primary = service_fn(async |n: u32| match n {
        1 => Err(Status(503)),
        2 => Err(Status(404)),
        n => Ok(n - 3),
    });
    let works = service_fn(async |n: u32| Ok::<_, Status>(n * 100));
    let policy = eitherway_layers::fallback::ByClass::new().classify_by(by_code);
    let stack = primary.fallback_with(works, policy);
    assert_eq!(stack.clone().oneshot(1).await.unwrap(), 100);
    assert!(matches!(stack.clone().oneshot(2).await, Err(FallbackError::Primary(Status(404)))));
    assert_eq!(stack.clone().oneshot(3).await.unwrap(), 300, "a response that is a failure");
    assert_eq!(stack.oneshot(7).await.unwrap(), 4);

    let paths = PathChangeLogLayer::new().served_by(|_: &u32| "[PRIMARY]").classify_by(by_code);
    for n in [1, 2, 3, 7] {
        let _ = paths.layer(primary).oneshot(n).await;
    }
    assert_eq!(
        events.take(),
        ["INFO [PRIMARY] is serving after 0.0s (2 failed)"],
        "503 and the bad response"
    );
}

#[tokio::test]
async fn a_fallback_between_boxed_errors_becomes_a_boxed_error_that_still_says_everything() {
    let fails = |error: fn() -> BoxError| service_fn(move |_: u32| ready(Err::<u32, BoxError>(error())));
    let lost = || BoxError::from(io::Error::from(io::ErrorKind::ConnectionReset));
    let open = || BoxError::from(Rejected::new(None));
    let stack = fails(lost).fallback_to(fails(open)).map_err(FallbackError::boxed);
    let error: BoxError = ServiceBuilder::new()
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .service(stack)
        .oneshot(1)
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::Unknown, "the heavier of the two");
    assert_eq!(error.to_string(), "primary: connection reset; fallback: circuit open until told otherwise");
    assert!(error.source().is_some_and(|source| source.is::<Rejected>()));
}

#[tokio::test(start_paused = true)]
async fn services_that_cannot_fail_and_those_of_io_errors_fit_under_every_layer() {
    let stuck = service_fn(async |_: u32| pending::<io::Result<u32>>().await);
    let breaker = BreakerLayer::new(Config::new().consecutive_failures(1));
    let stack =
        ServiceBuilder::new().layer(breaker).layer(TimeoutLayer::new(Duration::from_secs(1))).service(stuck);
    let error = stack.clone().oneshot(1).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.class(), error.is_timeout()),
        (io::ErrorKind::TimedOut, Class::Unknown, true)
    );
    let error = stack.clone().oneshot(1).await.unwrap_err();
    assert_eq!((error.kind(), error.class()), (io::ErrorKind::NotConnected, Class::NotSent), "{error}");

    let never_fails = service_fn(async |n: u32| Ok::<_, Infallible>(n + 1));
    assert_eq!(stack.fallback_to(never_fails).oneshot(1).await.unwrap(), 2);
    let limited = Timeout::new(never_fails.map_err(Elapsed::from), Duration::from_secs(1));
    assert_eq!(limited.oneshot(1).await, Ok(2));
    let guarded = Breaker::new(never_fails.map_err(Rejected::from), Config::new());
    assert_eq!(guarded.oneshot(1).await, Ok(2));
}
