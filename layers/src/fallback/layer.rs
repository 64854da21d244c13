use super::{ByClass, Fallback, Shared};
use std::{fmt, marker::PhantomData, sync::Arc};
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
pub struct FallbackLayer<S, C, E> {
    spare: Arc<Shared<S, C>>,
    error: PhantomData<fn() -> E>,
}

impl<S, C, E> FallbackLayer<S, C, E> {
    /// Falls back to `secondary` according to `policy`. `E` is the error of the primaries, and is inferred.
    pub fn new(secondary: S, policy: C) -> Self {
        Self { spare: Arc::new(Shared { secondary, policy }), error: PhantomData }
    }
}

impl<P, S, C, E> Layer<P> for FallbackLayer<S, C, E> {
    type Service = Fallback<P, S, C, E>;

    fn layer(&self, primary: P) -> Self::Service {
        Fallback::from_shared(primary, Arc::clone(&self.spare))
    }
}

impl<S, C, E> Clone for FallbackLayer<S, C, E> {
    fn clone(&self) -> Self {
        Self { spare: Arc::clone(&self.spare), error: PhantomData }
    }
}

impl<S: fmt::Debug, C: fmt::Debug, E> fmt::Debug for FallbackLayer<S, C, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackLayer")
            .field("secondary", &self.spare.secondary)
            .field("policy", &self.spare.policy)
            .finish_non_exhaustive()
    }
}

/// Adds fallbacks to every service: `nats.fallback_to(db).fallback_to(outbox)`.
pub trait FallbackExt: Sized {
    /// Falls back to `secondary` with the policy [`ByClass`]: after every error except a refusal of the
    /// request itself.
    fn fallback_to<S, E>(self, secondary: S) -> Fallback<Self, S, ByClass, E> {
        self.fallback_with(secondary, ByClass::new())
    }

    /// Falls back to `secondary` according to `policy`.
    fn fallback_with<S, C, E>(self, secondary: S, policy: C) -> Fallback<Self, S, C, E> {
        Fallback::new(self, secondary, policy)
    }
}

impl<P> FallbackExt for P {}
