use super::{Config, Hedge, Pace, Shared};
use crate::fallback::ByClass;
use std::{fmt, sync::Arc};
use tower_layer::Layer;

/// Applies a [`Hedge`] to services, all with the same secondary.
///
/// ```
/// use eitherway_layers::{Class, Classify, HedgeLayer, fallback::ByClass, hedge::{Config, Pace}};
/// use std::{future::pending, time::Duration};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[derive(Debug)] struct Offline;
/// # impl Classify for Offline { fn class(&self) -> Class { Class::NotSent } }
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let local = service_fn(async |n: u32| Ok::<_, Offline>(n + 1));
/// let pace = Pace::new(Config::new().after(Duration::from_millis(20)));
/// let stack = ServiceBuilder::new()
///     .layer(HedgeLayer::new(local, ByClass::new(), pace))
///     .service(service_fn(async |_: u32| pending::<Result<u32, Offline>>().await));
/// assert_eq!(stack.oneshot(1).await.unwrap(), 2);
/// # }
/// ```
pub struct HedgeLayer<S, C, H> {
    shared: Arc<Shared<S, C, H>>,
}

impl<S, C, H> HedgeLayer<S, C, H> {
    /// Falls back to `secondary` according to `policy`, and hedges according to `hedging`.
    pub fn new(secondary: S, policy: C, hedging: H) -> Self {
        Self { shared: Arc::new(Shared::new(secondary, policy, hedging)) }
    }
}

impl<P, S, C, H> Layer<P> for HedgeLayer<S, C, H> {
    type Service = Hedge<P, S, C, H>;

    fn layer(&self, primary: P) -> Self::Service {
        Hedge::from_shared(primary, Arc::clone(&self.shared))
    }
}

impl<S, C, H> Clone for HedgeLayer<S, C, H> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, C: fmt::Debug, H: fmt::Debug> fmt::Debug for HedgeLayer<S, C, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HedgeLayer").field(&self.shared).finish()
    }
}

/// Adds hedges to every service: `nats.hedge_to(db).hedge_to(outbox)`.
pub trait HedgeExt: Sized {
    /// Falls back to `secondary` as [`fallback_to`](crate::FallbackExt::fallback_to) does, and starts it when
    /// this service is late, by the default [`Config`].
    fn hedge_to<S>(self, secondary: S) -> Hedge<Self, S, ByClass, Pace> {
        self.hedge_with(secondary, ByClass::new(), Pace::new(Config::new()))
    }

    /// Falls back to `secondary` according to `policy`, and hedges according to `hedging`.
    fn hedge_with<S, C, H>(self, secondary: S, policy: C, hedging: H) -> Hedge<Self, S, C, H> {
        Hedge::new(self, secondary, policy, hedging)
    }
}

impl<P> HedgeExt for P {}
