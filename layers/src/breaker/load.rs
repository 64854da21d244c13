use super::{Breaker, permit::Readiness};
use tower::load::Load;

/// The load of a [`Breaker`] in a balancer of `tower` (feature `balance`): that of the inner service, and more than any
/// other while a call would be rejected. So an endpoint that fails, and answers at once, attracts nothing.
///
/// ```
/// use eitherway_layers::breaker::CircuitLoad;
///
/// assert!(CircuitLoad::Rejecting > CircuitLoad::Passing(u64::MAX));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum CircuitLoad<M> {
    /// Calls pass, or one of them may, as a probe.
    Passing(M),
    /// A call would be rejected.
    Rejecting,
}

/// Put the breaker outside what measures the load: `Breaker<PendingRequests<S>>`.
///
/// A balancer also knows an endpoint that is not ready: see
/// [`Config::unready_when_open`](super::Config::unready_when_open).
impl<S: Load, C> Load for Breaker<S, C> {
    type Metric = CircuitLoad<S::Metric>;

    fn load(&self) -> Self::Metric {
        let shared = &self.reservation.shared;
        let holds_a_place = matches!(self.reservation.readiness, Readiness::Waits { generation } | Readiness::Ready { generation }
            if shared.state.load().generation == generation);
        if !holds_a_place && shared.would_reject() {
            CircuitLoad::Rejecting
        } else {
            CircuitLoad::Passing(self.inner.load())
        }
    }
}
