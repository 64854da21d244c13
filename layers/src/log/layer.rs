use super::{Log, Place};
use crate::ByError;
use tower_layer::Layer;

/// Applies a [`Log`] to services.
///
/// ```
/// use rosey_layers::{Class, Failure, LogLayer};
///
/// let path = LogLayer::new("[NATS]");
/// let whole_stack = LogLayer::new("[TOTAL]").last();
/// let http = LogLayer::new("[HTTP]").classify_by(|result: &Result<u16, std::io::Error>| match result {
///     Ok(..500) => None,
///     _ => Some(Failure::from(Class::Backend)),
/// });
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LogLayer<C = ByError> {
    pub(super) tag: &'static str,
    pub(super) place: Place,
    pub(super) classifier: C,
}

impl LogLayer {
    /// Logs the calls of one path under this tag, with which every message begins.
    pub const fn new(tag: &'static str) -> Self {
        Self { tag, place: Place::Path, classifier: ByError }
    }
}

impl<C> LogLayer<C> {
    /// This log is the outermost one: nothing outside it will repair an error, so errors are logged as errors, and
    /// successes (which a path has logged) not at all.
    pub fn last(mut self) -> Self {
        self.place = Place::Last;
        self
    }

    /// What counts as a failure: a [`Classifier`](crate::Classifier), or a closure over the result.
    pub fn classify_by<C2>(self, classifier: C2) -> LogLayer<C2> {
        LogLayer { tag: self.tag, place: self.place, classifier }
    }
}

impl<S, C: Clone> Layer<S> for LogLayer<C> {
    type Service = Log<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Log { inner, layer: self.clone() }
    }
}
