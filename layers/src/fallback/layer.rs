use super::{ByClass, Fallback, Shared};
use std::{fmt, sync::Arc};
use tower_layer::Layer;

/// Applies a [`Fallback`] to services, all with the same secondary.
///
/// ```
/// use eitherway_layers::{Class, Classify, FallbackLayer, fallback::ByClass};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[derive(Debug)] struct Offline;
/// # impl Classify for Offline { fn class(&self) -> Class { Class::NotSent } }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let stack = ServiceBuilder::new()
///     .layer(FallbackLayer::new(service_fn(async |n: u32| Ok::<_, Offline>(n + 1)), ByClass::new()))
///     .service(service_fn(async |_: u32| Err::<u32, _>(Offline)));
/// assert_eq!(stack.oneshot(1).await.unwrap(), 2);
/// # }
/// ```
pub struct FallbackLayer<S, C = ByClass> {
    shared: Arc<Shared<S, C>>,
}

impl<S, C> FallbackLayer<S, C> {
    /// Falls back to `secondary` according to `policy`.
    pub fn new(secondary: S, policy: C) -> Self {
        Self { shared: Arc::new(Shared::new(secondary, policy)) }
    }
}

impl<P, S, C> Layer<P> for FallbackLayer<S, C> {
    type Service = Fallback<P, S, C>;

    fn layer(&self, primary: P) -> Self::Service {
        Fallback::from_shared(primary, Arc::clone(&self.shared))
    }
}

impl<S, C> Clone for FallbackLayer<S, C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, C: fmt::Debug> fmt::Debug for FallbackLayer<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLayer")
            .field("secondary", &self.shared.secondary)
            .field("policy", &self.shared.policy)
            .finish_non_exhaustive()
    }
}

/// Adds fallbacks to every service: `nats.fallback_to(db).fallback_to(outbox)`.
pub trait FallbackExt: Sized {
    /// Falls back to `secondary` with the policy [`ByClass`]: after every error except a refusal of the
    /// request itself.
    fn fallback_to<S>(self, secondary: S) -> Fallback<Self, S> {
        self.fallback_with(secondary, ByClass::new())
    }

    /// Falls back to `secondary` according to `policy`.
    fn fallback_with<S, C>(self, secondary: S, policy: C) -> Fallback<Self, S, C> {
        Fallback::new(self, secondary, policy)
    }
}

impl<P> FallbackExt for P {}
