//! Requests, responses and errors of other crates, which implement none of our traits.

use crate::support::events::Events;
use axum::http::{Method, Request, Response, StatusCode};
use eitherway_layers::{
    Class, Classify, Elapsed, Failure, FallbackExt, LogLayer, PathChangeLogLayer, TimeoutLayer,
    breaker::Rejected,
};
use std::{future::pending, io, time::Duration};
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
    }
    assert!(boxed(io::ErrorKind::TimedOut).is_timeout());

    // A stack of boxed errors needs no conversion.
    let primary = ServiceBuilder::new()
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .service(service_fn(async |_: u32| pending::<Result<u32, BoxError>>().await));
    let refuses = service_fn(async |_: u32| Err::<u32, _>(boxed(io::ErrorKind::ConnectionRefused)));
    let answers = service_fn(async |n: u32| Ok::<_, BoxError>(n + 1));
    assert_eq!(primary.fallback_to(refuses).fallback_to(answers).oneshot(1).await.unwrap(), 2);
}
