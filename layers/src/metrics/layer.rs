use super::{Metrics, Table};
use crate::ByError;
use std::sync::Arc;
use tower_layer::Layer;

/// Applies [`Metrics`] to services. All of them share one table of handles.
///
/// ```
/// use eitherway_layers::MetricsLayer;
///
/// let path = MetricsLayer::new("nats").prefix("rosey");
/// let whole_stack = MetricsLayer::new("total").prefix("rosey");
/// ```
#[derive(Clone, Debug)]
pub struct MetricsLayer<C = ByError> {
    table: Option<Arc<Table>>,
    classifier: C,
}

impl MetricsLayer {
    /// Records calls with this value of the label `path`, under names with the prefix `tower`.
    pub fn new(path: &'static str) -> Self {
        Self { table: Some(Arc::new(Table::new("tower", path))), classifier: ByError }
    }

    /// Records nothing and reads no clock: the stack keeps its type, and the calls pass through.
    pub const fn disabled() -> Self {
        Self { table: None, classifier: ByError }
    }
}

impl<C> MetricsLayer<C> {
    /// Sets the prefix of the metrics' names, before the underscore. Discards the handles resolved so far.
    pub fn prefix(mut self, prefix: &'static str) -> Self {
        self.table = self.table.map(|table| Arc::new(Table::new(prefix, table.path())));
        self
    }

    /// Sets what counts as a failure: a [`Classifier`](crate::Classifier), or a closure over the result.
    pub fn classify_by<C2>(self, classifier: C2) -> MetricsLayer<C2> {
        MetricsLayer { table: self.table, classifier }
    }
}

impl<S, C: Clone> Layer<S> for MetricsLayer<C> {
    type Service = Metrics<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Metrics { inner, table: self.table.clone(), classifier: self.classifier.clone() }
    }
}
