use super::{Body, End};
use std::time::Duration;
use tower_layer::Layer;

/// Applies [`Body`] to services.
#[derive(Clone, Copy, Debug)]
pub struct BodyLayer<F = fn(&End)> {
    limit: Duration,
    ended: F,
}

impl BodyLayer {
    /// Gives up a body whose next frame takes longer than `limit`.
    pub fn new(limit: Duration) -> Self {
        Self { limit, ended: |_| {} }
    }
}

impl<F> BodyLayer<F> {
    /// Calls `ended` once for each body, when it ends or is dropped.
    pub fn on_end<G: Fn(&End) + Clone>(self, ended: G) -> BodyLayer<G> {
        BodyLayer { limit: self.limit, ended }
    }
}

impl<S, F: Clone> Layer<S> for BodyLayer<F> {
    type Service = Body<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        Body { inner, limit: self.limit, ended: self.ended.clone() }
    }
}
