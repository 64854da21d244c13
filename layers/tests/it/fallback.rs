//! Promises of `Fallback`.
#![allow(clippy::type_complexity)]

mod budget;
mod drops;
mod errors;
mod readiness;
mod reports;
mod reroute;

use crate::support::{Error, Req, Via, read, strict::Strict, write};
use eitherway_layers::{
    Class, Classify, Elapsed, Fallback, FallbackError, FallbackExt, FallbackLayer,
    breaker::Rejected,
    fallback::{AtMostOnce, ByClass, Idempotency, IdempotencyRule, NotReady, Policy, Unready},
};
use std::{
    cell::Cell,
    error::Error as _,
    future::{Future, Ready, pending, ready},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

type Answer = Result<Via, Error>;

fn answers(
    answer: Answer,
) -> impl Service<Req, Response = Via, Error = Error, Future = Ready<Answer>> + Clone {
    service_fn(move |_: Req| ready(answer.clone()))
}

fn fails(class: Class) -> impl Service<Req, Response = Via, Error = Error, Future = Ready<Answer>> + Clone {
    answers(Err(Error::Of(class)))
}
