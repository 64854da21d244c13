//! Tower middleware for services that fail.
//!
//! | room | layer | what it does |
//! |---|---|---|
//! | [`fallback`] | [`FallbackLayer`] | sends the same request to a second service when the first cannot serve it |
//! | [`timeout`] | [`TimeoutLayer`] | gives up waiting, and says after how long |
//! | [`breaker`] | [`BreakerLayer`] | stops calling a service that fails, and finds out when it is well again |
//! | [`log`] | [`LogLayer`], [`SwitchLayer`] | one event a call; one line when another path takes over |
#![cfg_attr(feature = "metrics", doc = "| [`metrics`] | [`MetricsLayer`] | counts, times and gauges calls |")]
//!
//! Every layer is generic over any [`Service<Req>`](tower_service::Service), keeps the errors typed, has a named future
//! and allocates nothing on the way through. What an error *means* is said once, by the error type itself: see
//! [`Classify`].

// Every layer's `call` is `inline(always)`: it only wraps the inner future, and left to itself the compiler copies the
// whole nest of futures several times. That is a third of what the standard stack costs where nobody listens.

pub mod breaker;
mod classify;
pub mod fallback;
mod label;
pub mod log;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod timeout;

#[cfg(feature = "metrics")]
pub use self::metrics::{Metrics, MetricsLayer};
pub use self::{
    breaker::{Breaker, BreakerLayer},
    classify::{ByError, Class, Classifier, Classify, Failure},
    fallback::{Fallback, FallbackError, FallbackExt, FallbackLayer},
    label::{Label, ServedBy},
    log::{Log, LogLayer, Switch, SwitchLayer},
    timeout::{Elapsed, Timeout, TimeoutLayer},
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
