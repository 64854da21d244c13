use super::{BreakerFuture, Config, Handle, Rejected, permit::CallPermit, shared::Shared};
use crate::{
    ByError,
    bounds::{FailsWith, Judges},
    held::Held,
};
use std::{
    fmt,
    task::{Context, Poll},
};
use tower_layer::Layer;
use tower_service::Service;

/// Applies a [`KeyedBreaker`] to services. All of them, and all their clones, share the circuits.
///
/// ```
/// use eitherway_layers::{KeyedBreakerLayer, breaker::{Config, State}};
///
/// enum Todo { Add, List }
///
/// let circuits = ["[STORE] writes", "[STORE] reads"].map(|tag| Config::new().tag(tag));
/// let layer = KeyedBreakerLayer::new(circuits, |todo: &Todo| usize::from(matches!(todo, Todo::List)));
/// layer.handle(1).force_open();
/// assert_eq!(layer.handle(0).state(), State::Closed);
/// ```
#[derive(Clone)]
pub struct KeyedBreakerLayer<K, C = ByError> {
    circuits: Held<[Held<Shared>]>,
    key: K,
    classifier: C,
}

impl<K> KeyedBreakerLayer<K> {
    /// A layer with new circuits. `key` says which one a request belongs to; an index beyond them counts as the last.
    ///
    /// # Panics
    /// If there is no configuration.
    pub fn new(circuits: impl IntoIterator<Item = Config>, key: K) -> Self {
        let circuits = circuits.into_iter().map(|config| Held::new(Shared::new(config)));
        let circuits: Held<[_]> = Held::Counted(circuits.collect());
        assert!(!circuits.is_empty(), "a keyed breaker has one circuit at least");
        Self { circuits, key, classifier: ByError }
    }
}

impl<K, C> KeyedBreakerLayer<K, C> {
    /// As [`BreakerLayer::classify_by`](super::BreakerLayer::classify_by), for all circuits.
    pub fn classify_by<C2>(self, classifier: C2) -> KeyedBreakerLayer<K, C2> {
        KeyedBreakerLayer { circuits: self.circuits, key: self.key, classifier }
    }

    /// As [`BreakerLayer::leak`](super::BreakerLayer::leak), for all circuits.
    pub fn leak(self) -> Self {
        let circuits = self.circuits.iter().map(|circuit| circuit.clone().leak()).collect();
        Self { circuits: Held::Counted(circuits).leak(), ..self }
    }

    /// A handle to watch and operate the circuit of this index; an index beyond them counts as the last.
    pub fn handle(&self, index: usize) -> Handle {
        Handle::new(of(&self.circuits, index).clone())
    }
}

impl<S, K: Clone, C: Clone> Layer<S> for KeyedBreakerLayer<K, C> {
    type Service = KeyedBreaker<S, K, C>;

    fn layer(&self, inner: S) -> Self::Service {
        KeyedBreaker { inner, circuits: self.clone() }
    }
}

impl<K, C> fmt::Debug for KeyedBreakerLayer<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedBreakerLayer").field("circuits", &self.circuits).finish_non_exhaustive()
    }
}

/// Several circuits around one service: each request belongs to one of them by its key. For a service of which a part can
/// fail while the rest serves.
///
/// Each circuit is that of a [`Breaker`](super::Breaker), with the same states, failures and dropped calls.
///
/// **Readiness** is the inner service's, because the key is known only with the request: it is polled also while circuits
/// reject, and an error of its `poll_ready` counts in none of them. `call` asks the circuit. The inner service stays ready
/// after a rejection, and what it has reserved serves the next call of this instance.
///
/// *Cost* while closed, and *drop*: as of [`Breaker`](super::Breaker), whatever the number of circuits.
#[derive(Clone, Debug)]
pub struct KeyedBreaker<S, K, C = ByError> {
    circuits: KeyedBreakerLayer<K, C>,
    inner: S,
}

impl<S, K, C> KeyedBreaker<S, K, C> {
    inner!("The service behind the layer.", S);
}

impl<S, K, C, Req> Service<Req> for KeyedBreaker<S, K, C>
where
    S: FailsWith<Rejected, Req>,
    K: Fn(&Req) -> usize,
    C: Judges<S, Req> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BreakerFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        let KeyedBreakerLayer { circuits, key, classifier } = &self.circuits;
        match CallPermit::ask(of(circuits, key(&req))) {
            Ok(permit) => BreakerFuture::running(permit, classifier.clone(), || self.inner.call(req)),
            Err(rejected) => BreakerFuture::rejected(rejected),
        }
    }
}

#[inline]
fn of(circuits: &[Held<Shared>], index: usize) -> &Held<Shared> {
    &circuits[index.min(circuits.len() - 1)]
}
