use super::{Fixed, Timeout};
use std::time::Duration;
use tower_layer::Layer;

/// Applies a [`Timeout`] to services.
///
/// ```
/// use eitherway_layers::TimeoutLayer;
/// use std::time::Duration;
///
/// let always = TimeoutLayer::new(Duration::from_secs(2));
/// let never = TimeoutLayer::disabled();
/// let some = TimeoutLayer::with_limit(|name: &String| (name != "backup").then_some(Duration::from_secs(2)));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TimeoutLayer<L = Fixed> {
    limit: L,
}

impl TimeoutLayer {
    /// Limits every request to `after`.
    pub const fn new(after: Duration) -> Self {
        Self { limit: Fixed::after(after) }
    }

    /// Sets no limit: the stack keeps its type, and the calls pass through.
    pub const fn disabled() -> Self {
        Self { limit: Fixed::none() }
    }
}

impl<L> TimeoutLayer<L> {
    /// Sets a limit that depends on the request; see [`Limit`](super::Limit).
    pub const fn with_limit(limit: L) -> Self {
        Self { limit }
    }
}

impl<S, L: Clone> Layer<S> for TimeoutLayer<L> {
    type Service = Timeout<S, L>;

    fn layer(&self, inner: S) -> Self::Service {
        Timeout::with_limit(inner, self.limit.clone())
    }
}
