use super::{Metrics, Table};
use crate::{ByError, ByLabel, held::Held, label::Named};
use tower_layer::Layer;

/// Applies [`Metrics`] to services. All of them share one table of handles.
///
/// ```
/// use eitherway_layers::MetricsLayer;
///
/// let path = MetricsLayer::new("nats").prefix("rosey");
/// let whole_stack = MetricsLayer::new("total").prefix("rosey");
/// // Requests of another crate.
/// let named = MetricsLayer::new("http").label_by(&["read", "write"], |url: &String| usize::from(!url.starts_with("GET")));
/// ```
#[derive(Clone, Debug)]
pub struct MetricsLayer<C = ByError, L = ByLabel> {
    table: Option<Held<Table>>,
    classifier: C,
    labels: L,
    shares_clock: bool,
}

impl MetricsLayer {
    /// Records calls with this value of the label `path`, under names with the prefix `tower`.
    pub fn new(path: &'static str) -> Self {
        Self {
            table: Some(Held::new(Table::new("tower", path))),
            classifier: ByError,
            labels: ByLabel,
            shares_clock: false,
        }
    }

    /// Records nothing and reads no clock: the stack keeps its type, and the calls pass through.
    pub const fn disabled() -> Self {
        Self { table: None, classifier: ByError, labels: ByLabel, shares_clock: false }
    }
}

impl<C, L> MetricsLayer<C, L> {
    /// Sets the prefix of the metrics' names, before the underscore. Discards the handles resolved so far.
    pub fn prefix(mut self, prefix: &'static str) -> Self {
        self.table = self.table.map(|table| table.another(Table::new(prefix, table.path())));
        self
    }

    /// Never frees the handles, as [`Box::leak`] does, so that no clone and no call has to count who still uses them: four
    /// atomic changes less for a call on a clone. For a stack that lives as long as the program.
    pub fn leak(self) -> Self {
        Self { table: self.table.map(Held::leak), ..self }
    }

    /// Takes the time of a call from the `Metrics` inside it, where one begins in the same `call` or ends in the same
    /// poll, instead of reading the clock once more. For the layer around paths that have metrics of their own: what
    /// foreign layers between the two do in `call`, and in the last poll, is then timed as if it took no time.
    pub fn share_clock(mut self) -> Self {
        self.shares_clock = true;
        self
    }

    /// Sets what counts as a failure: a [`Classifier`](crate::Classifier), or a closure over the result.
    pub fn classify_by<C2>(self, classifier: C2) -> MetricsLayer<C2, L> {
        MetricsLayer { table: self.table, classifier, labels: self.labels, shares_clock: self.shares_clock }
    }

    /// Names requests by the index that `label` returns, instead of by their [`Label`](crate::Label). The names are
    /// the values of the label `operation`.
    pub fn label_by<F>(self, names: &'static [&'static str], label: F) -> MetricsLayer<C, Named<F>> {
        MetricsLayer {
            table: self.table,
            classifier: self.classifier,
            labels: Named { names, label },
            shares_clock: self.shares_clock,
        }
    }
}

impl<S, C: Clone, L: Clone> Layer<S> for MetricsLayer<C, L> {
    type Service = Metrics<S, C, L>;

    fn layer(&self, inner: S) -> Self::Service {
        let Self { table, classifier, labels, shares_clock } = self.clone();
        Metrics { inner, table, classifier, labels, shares_clock }
    }
}
