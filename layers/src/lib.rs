//! Tower middleware for services that fail.
//!
//! | module | layer | what it does |
//! |---|---|---|
//! | [`fallback`] | [`FallbackLayer`] | sends the same request to a second service when the first cannot serve it |
//! | [`hedge`] | [`HedgeLayer`] | a fallback that also starts the second service when the first is late |
//! | [`timeout`] | [`TimeoutLayer`] | stops waiting after a limit, and reports the limit |
//! | [`breaker`] | [`BreakerLayer`], [`KeyedBreakerLayer`] | stops calling a service that fails, and detects its recovery |
//! | [`bulkhead`] | [`BulkheadLayer`] | limits the calls that a service has at once, and how long others wait |
//! | [`stale`] | [`StaleLayer`] | answers with what it has kept when the service fails |
//! | [`logging`] | [`LogLayer`], [`PathChangeLogLayer`] | one event per call; one line when another path takes over |
#![cfg_attr(
    feature = "metrics",
    doc = "| [`metering`] | [`MetricsLayer`] | counters, durations and an in-flight gauge for calls |"
)]
#![cfg_attr(
    feature = "http-body",
    doc = "| [`body`] | [`BodyLayer`] | bounds the time between the frames of a response body, and tells how it ended |"
)]
#![cfg_attr(
    feature = "chaos",
    doc = "| [`chaos`] | [`ChaosLayer`] | faults on purpose, by seed, for tests |"
)]
//!
//! ```
//! use std::convert::Infallible;
//! use std::time::Duration;
//!
//! use eitherway_layers::{Elapsed, FallbackExt, Timeout};
//! use tower::service_fn;
//!
//! let remote = service_fn(|n: u32| async move { Ok::<_, Elapsed>(n + 1) });
//! let local = service_fn(|n: u32| async move { Ok::<_, Infallible>(n + 1) });
//! // The same request goes to `local` if `remote` fails, or does not answer in time.
//! let both = Timeout::new(remote, Duration::from_secs(2)).fallback_to(local);
//! # drop(both);
//! ```
//!
//! Every layer is generic over any [`Service<Req>`](tower_service::Service), keeps errors typed, has a named
//! future and does not allocate per call. The error type itself defines what an error *means*: see
//! [`Classify`].
//!
//! Each layer is a feature, and all but `balance`, `chaos`, `http-body` and `metrics` are on by default. Without any, the crate depends on neither tokio nor
//! tracing.

// Every layer's `call` is `inline(always)`: it only wraps the inner future, and without the attribute the
// compiler copies the nested futures several times. That is a third of the standard stack's cost without a
// subscriber.

// First: a macro is known to the modules behind it.
#[allow(unused_macros, reason = "each layer that uses it is a feature")]
#[macro_use]
mod inner;

#[cfg(feature = "http-body")]
pub mod body;
mod bounds;
#[cfg(feature = "breaker")]
pub mod breaker;
#[cfg(feature = "bulkhead")]
pub mod bulkhead;
#[cfg(feature = "chaos")]
pub mod chaos;
mod classify;
#[cfg(any(feature = "log", feature = "metrics"))]
mod clock;
#[cfg(feature = "fallback")]
pub mod fallback;
#[cfg(feature = "hedge")]
pub mod hedge;
#[cfg(any(feature = "breaker", feature = "log", feature = "metrics"))]
mod held;
mod label;
#[cfg(feature = "log")]
pub mod logging;
#[cfg(feature = "metrics")]
pub mod metering;
#[cfg(feature = "stale")]
pub mod stale;
#[cfg(feature = "timeout")]
pub mod timeout;

#[cfg(feature = "http-body")]
pub use self::body::{Body, BodyLayer};
#[cfg(feature = "breaker")]
pub use self::breaker::{Breaker, BreakerLayer, KeyedBreaker, KeyedBreakerLayer};
#[cfg(feature = "bulkhead")]
pub use self::bulkhead::{Bulkhead, BulkheadLayer};
#[cfg(feature = "chaos")]
pub use self::chaos::{Chaos, ChaosLayer};
#[cfg(feature = "fallback")]
pub use self::fallback::{Fallback, FallbackError, FallbackExt, FallbackLayer};
#[cfg(feature = "hedge")]
pub use self::hedge::{Hedge, HedgeExt, HedgeLayer};
#[cfg(feature = "log")]
pub use self::logging::{Log, LogLayer, PathChangeLog, PathChangeLogLayer};
#[cfg(feature = "metrics")]
pub use self::metering::{Metrics, MetricsLayer};
#[cfg(feature = "stale")]
pub use self::stale::{Stale, StaleLayer};
#[cfg(feature = "timeout")]
pub use self::timeout::{Elapsed, Timeout, TimeoutLayer};
pub use self::{
    classify::{ByError, Class, Classifier, Classify, Failure},
    label::{ByLabel, Label, Labels, Named, NoId, ServedBy},
};

/// The `tracing` target of all events of this crate.
#[cfg(any(feature = "breaker", feature = "log"))]
const TARGET: &str = "eitherway_layers";

#[cfg(all(doctest, feature = "default"))]
#[doc = include_str!("../README.md")]
struct Readme;
