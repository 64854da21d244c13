//! Comparable layers of other crates.

use std::time::Duration;

use tower::{Layer, Service};
use tower_resilience_circuitbreaker::CircuitBreakerLayer;
use tower_resilience_fallback::FallbackLayer;
use tower_resilience_timelimiter::TimeLimiterLayer;

use crate::drive::once;
use crate::subject::{Error, Req, Res, works};

pub(crate) const LIMIT: Duration = Duration::from_secs(2);

pub(crate) fn peer_limiter() -> TimeLimiterLayer {
    TimeLimiterLayer::builder().timeout_duration(LIMIT).build()
}

pub(crate) fn peer_breaker() -> CircuitBreakerLayer {
    CircuitBreakerLayer::builder().build().expect("the default configuration is valid")
}

pub(crate) fn peer_fallback<S>(primary: S) -> impl Service<Req, Response = Res> + Clone
where
    S: Service<Req, Response = Res, Error = Error, Future: Send> + Clone + Send + 'static,
{
    FallbackLayer::<Req, Res, Error>::service(|req: Req| async move { once(&works(), req) }).layer(primary)
}

/// Hedges every request that is late. None is here: there are never enough data.
#[derive(Clone)]
pub(crate) struct Always;

impl tower::hedge::Policy<Req> for Always {
    fn clone_request(&self, req: &Req) -> Option<Req> {
        Some(req.clone())
    }
    fn can_retry(&self, _: &Req) -> bool {
        true
    }
}

/// Not `Clone`, unlike all others.
pub(crate) fn peer_hedge<S>(inner: S) -> impl Service<Req, Response = Res>
where
    S: Service<Req, Response = Res, Error = Error> + Clone,
{
    tower::hedge::Hedge::new(inner, Always, u64::MAX, 0.99, Duration::from_secs(60))
}
