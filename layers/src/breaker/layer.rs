use super::{Breaker, Config, Handle, shared::Shared};
use crate::{ByError, held::Held};
use tower_layer::Layer;

/// Applies a [`Breaker`] to services. All of them, and all their clones, share one circuit.
///
/// ```
/// use eitherway_layers::{BreakerLayer, breaker::{Config, State}};
///
/// let layer = BreakerLayer::new(Config::new().consecutive_failures(3));
/// assert_eq!(layer.handle().state(), State::Closed);
/// ```
#[derive(Clone, Debug)]
pub struct BreakerLayer<C = ByError> {
    shared: Held<Shared>,
    classifier: C,
}

impl BreakerLayer {
    /// A layer with a new circuit.
    pub fn new(config: Config) -> Self {
        Self { shared: Held::new(Shared::new(config)), classifier: ByError }
    }
}

impl Default for BreakerLayer {
    fn default() -> Self {
        Self::new(Config::new())
    }
}

impl<C> BreakerLayer<C> {
    /// Sets what counts as a failure: a [`Classifier`](crate::Classifier), or a closure over the result. The
    /// circuit stays the same.
    pub fn classify_by<C2>(self, classifier: C2) -> BreakerLayer<C2> {
        BreakerLayer { shared: self.shared, classifier }
    }

    /// Never frees the circuit, as [`Box::leak`] does, so that no clone and no call has to count who still uses it: four
    /// atomic changes less for a call on a clone. For a stack that lives as long as the program. Some hundred bytes, and the
    /// windows of the [`Config`].
    pub fn leak(self) -> Self {
        Self { shared: self.shared.leak(), ..self }
    }

    /// A handle to watch and operate the circuit.
    pub fn handle(&self) -> Handle {
        Handle::new(self.shared.clone())
    }
}

impl<S, C: Clone> Layer<S> for BreakerLayer<C> {
    type Service = Breaker<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Breaker::from_shared(inner, self.shared.clone(), self.classifier.clone())
    }
}
