//! Tower middleware for services that fail.
//!
//! | module | layer | what it does |
//! |---|---|---|
//! | [`fallback`] | [`FallbackLayer`] | sends the same request to a second service when the first cannot serve it |
//! | [`hedge`] | [`HedgeLayer`] | a fallback that also starts the second service when the first is late |
//! | [`timeout`] | [`TimeoutLayer`] | stops waiting after a limit, and reports the limit |
//! | [`breaker`] | [`BreakerLayer`], [`KeyedBreakerLayer`] | stops calling a service that fails, and detects its recovery |
//! | [`log`] | [`LogLayer`], [`PathChangeLogLayer`] | one event per call; one line when another path takes over |
#![cfg_attr(
    feature = "metrics",
    doc = "| [`metrics`] | [`MetricsLayer`] | counters, durations and an in-flight gauge for calls |"
)]
//!
//! ```
//! use std::convert::Infallible;
//! use std::time::Duration;
//!
//! use eitherway_layers::{Elapsed, FallbackError, FallbackExt, Timeout};
//! use tower::service_fn;
//!
//! let remote = service_fn(|n: u32| async move { Ok::<_, Elapsed>(n + 1) });
//! let local = service_fn(|n: u32| async move { Ok::<_, Infallible>(n + 1) });
//! // The same request goes to `local` if `remote` fails, or does not answer in time.
//! let both = Timeout::new(remote, Duration::from_secs(2))
//!     .fallback_to::<_, FallbackError<Elapsed, Infallible>>(local);
//! # drop(both);
//! ```
//!
//! Every layer is generic over any [`Service<Req>`](tower_service::Service), keeps errors typed, has a named
//! future and does not allocate per call. The error type itself defines what an error *means*: see
//! [`Classify`].

// Every layer's `call` is `inline(always)`: it only wraps the inner future, and without the attribute the
// compiler copies the nested futures several times. That is a third of the standard stack's cost without a
// subscriber.

pub mod breaker;
mod classify;
pub mod fallback;
pub mod hedge;
mod label;
pub mod log;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod timeout;

#[cfg(feature = "metrics")]
pub use self::metrics::{Metrics, MetricsLayer};
pub use self::{
    breaker::{Breaker, BreakerLayer, KeyedBreaker, KeyedBreakerLayer},
    classify::{ByError, Class, Classifier, Classify, Failure},
    fallback::{Fallback, FallbackError, FallbackExt, FallbackLayer},
    hedge::{Hedge, HedgeExt, HedgeLayer},
    label::{Label, ServedBy},
    log::{Log, LogLayer, PathChangeLog, PathChangeLogLayer},
    timeout::{Elapsed, Timeout, TimeoutLayer},
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
