//! With the feature `log` of tracing and no subscriber, events go to the crate `log`. A binary with a single test, because both are
//! settings of the whole process.
#![allow(clippy::unwrap_used)]

mod support;

use eitherway_layers::{Class, LogLayer};
use std::{future::ready, sync::Mutex};
use support::{Error, Req, Via, read};
use tower::{Layer, ServiceExt, service_fn};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.target() == eitherway_layers::log::TARGET
    }
    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            LINES.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
        }
    }
    fn flush(&self) {}
}

#[tokio::test]
async fn without_a_subscriber_the_log_goes_to_the_crate_log_at_its_level() {
    log::set_logger(&Logger).unwrap();
    let call = async |answer: Result<Via, Error>| {
        let service = service_fn(move |_: Req| ready(answer.clone()));
        let _ = LogLayer::new("[NATS]").layer(service).oneshot(read(7)).await;
        std::mem::take(&mut *LINES.lock().unwrap())
    };
    let busy = || Err(Error::Of(Class::Backend));
    assert_eq!(call(busy()).await, Vec::<String>::new(), "off");
    log::set_max_level(log::LevelFilter::Warn);
    let lines = call(busy()).await;
    assert!(lines[0].starts_with("WARN [NATS] read failed: backend id=7"), "{lines:?}");
    assert_eq!(call(Ok(Via(0))).await, Vec::<String>::new());
    log::set_max_level(log::LevelFilter::Debug);
    let lines = call(Ok(Via(0))).await;
    assert!(lines[0].starts_with("DEBUG [NATS] read ok id=7"), "{lines:?}");
}
