use super::{Log, record::LogState, record::Position};
use crate::{ByError, ByLabel, label::Named};
use std::sync::Arc;
use tower_layer::Layer;

/// Applies a [`Log`] to services. All of them, and all their clones, share the counts of suppressed messages.
///
/// ```
/// use eitherway_layers::{Class, Failure, LogLayer};
///
/// let path = LogLayer::new("[NATS]");
/// let whole_stack = LogLayer::new("[TOTAL]").last();
/// let http = LogLayer::new("[HTTP]").classify_by(|result: &Result<u16, std::io::Error>| match result {
///     Ok(..500) => None,
///     _ => Some(Failure::from(Class::Backend)),
/// });
/// // Requests of another crate.
/// let named = LogLayer::new("[HTTP]").label_by(&["read", "write"], |url: &String| usize::from(!url.starts_with("GET")));
/// ```
#[derive(Clone, Debug)]
pub struct LogLayer<C = ByError, L = ByLabel> {
    pub(super) account: Arc<LogState>,
    pub(super) classifier: C,
    pub(super) labels: L,
}

impl LogLayer {
    /// Logs the calls of one path. Every message starts with `tag`.
    pub fn new(tag: &'static str) -> Self {
        Self { account: Arc::new(LogState::new(tag, Position::Path)), classifier: ByError, labels: ByLabel }
    }
}

impl<C, L> LogLayer<C, L> {
    /// Marks this log as the outermost one. No outer layer recovers from an error, so errors are logged at
    /// `ERROR`; successes are not logged, because a path has logged them.
    pub fn last(self) -> Self {
        Self { account: Arc::new(LogState::new(self.account.tag, Position::Outermost)), ..self }
    }

    /// Sets what counts as a failure: a [`Classifier`](crate::Classifier), or a closure over the result.
    pub fn classify_by<C2>(self, classifier: C2) -> LogLayer<C2, L> {
        LogLayer { account: self.account, classifier, labels: self.labels }
    }

    /// Names requests by the index that `label` returns, instead of by their [`Label`](crate::Label). They have no
    /// id.
    pub fn label_by<F>(self, names: &'static [&'static str], label: F) -> LogLayer<C, Named<F>> {
        LogLayer { account: self.account, classifier: self.classifier, labels: Named { names, label } }
    }
}

impl<S, C: Clone, L: Clone> Layer<S> for LogLayer<C, L> {
    type Service = Log<S, C, L>;

    fn layer(&self, inner: S) -> Self::Service {
        Log { inner, layer: self.clone() }
    }
}
