// Four layers around a service, `map_err` between each two of them. A file of its own, because it is also compiled alone.

pub(crate) use eitherway_layers::{
    BreakerLayer, Class, FallbackError, FallbackExt, LogLayer, TimeoutLayer,
    breaker::{Config, Rejected},
};
pub(crate) use std::time::Duration;
pub(crate) use tower::{BoxError, Layer, ServiceExt, service_fn};

macro_rules! four {
    ($inner:expr) => {{
        let limited = TimeoutLayer::new(Duration::from_secs(1)).layer($inner.map_err(same));
        let guarded = BreakerLayer::new(Config::new()).layer(limited.map_err(same));
        let logged = LogLayer::new("[NEST]").label_by(&["even", "odd"], odd).layer(guarded.map_err(same));
        logged.map_err(same).fallback_to(service_fn(even_only)).map_err(FallbackError::boxed)
    }};
}

pub(crate) fn same(error: BoxError) -> BoxError {
    error
}

pub(crate) fn odd(n: &u32) -> usize {
    (n % 2) as usize
}

pub(crate) async fn even_only(n: u32) -> Result<u32, BoxError> {
    if n.is_multiple_of(2) { Ok(n / 2) } else { Err(Rejected::new(None).into()) }
}

pub(crate) async fn fails(_: u32) -> Result<u32, BoxError> {
    Err(Rejected::new(None).into())
}
