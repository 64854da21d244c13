use super::{Log, record::LogState};
use crate::{ByError, ByLabel, classify::Sources, held::Held, label::Named};
use std::time::Duration;
use tower_layer::Layer;
use tracing::Level;

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
    pub(super) account: Held<LogState>,
    pub(super) classifier: C,
    pub(super) labels: L,
    pub(super) shares_clock: bool,
}

impl LogLayer {
    /// Logs the calls of one path. Every message starts with `tag`.
    pub fn new(tag: &'static str) -> Self {
        Self {
            account: Held::new(LogState::new(tag)),
            classifier: ByError,
            labels: ByLabel,
            shares_clock: false,
        }
    }
}

impl<C, L> LogLayer<C, L> {
    /// Marks this log as the outermost one. No outer layer recovers from an error, so errors are logged at
    /// `ERROR`; successes are not logged, because a path has logged them. Before [`levels`](Self::levels).
    pub fn last(self) -> Self {
        self.with(LogState::set_last)
    }

    /// Sets the levels: of what is loud (for a path, time-outs and errors of the class `Backend`; for the outermost log,
    /// every error), and of everything else. By default `WARN`, of the outermost log `ERROR`, and `DEBUG`.
    pub fn levels(self, loud: Level, quiet: Level) -> Self {
        self.with(|state| state.set_levels(loud, quiet))
    }

    /// Sets the shortest time between two loud lines about the same, by default
    /// [`RateLimitedLog::EVERY`](super::RateLimitedLog::EVERY).
    pub fn every(self, interval: Duration) -> Self {
        self.with(|state| state.set_interval(interval))
    }

    /// Never frees what the log counts, as [`Box::leak`] does, so that no clone and no call has to count who still uses it:
    /// four atomic changes less for a call on a clone. For a stack that lives as long as the program; without the end of
    /// the log, no line tells what was suppressed before it. About a kilobyte.
    pub fn leak(self) -> Self {
        Self { account: self.account.leak(), ..self }
    }

    /// Takes the time of a call from the `Log` or `Metrics` inside it, where one begins in the same `call` or ends in the
    /// same poll, instead of reading the clock once more; see
    #[cfg_attr(feature = "metrics", doc = "[`MetricsLayer::share_clock`](crate::MetricsLayer::share_clock).")]
    #[cfg_attr(not(feature = "metrics"), doc = "`MetricsLayer::share_clock`.")]
    /// One inside a layer that shares the clock has the time of that one.
    pub fn share_clock(self) -> Self {
        Self { shares_clock: true, ..self }
    }

    /// Begins anew with changed settings.
    fn with(self, change: impl FnOnce(&mut LogState)) -> Self {
        let mut state = self.account.anew();
        change(&mut state);
        Self { account: self.account.another(state), ..self }
    }

    /// Logs what an error says about its [`source`](std::error::Error::source), and that about its own, where the error's
    /// message does not say so already. Without this, that is done for errors of which [`Classify::origin`] knows.
    ///
    /// [`Classify::origin`]: crate::Classify::origin
    pub fn with_sources(self) -> LogLayer<Sources<C>, L> {
        let Self { account, classifier, labels, shares_clock } = self;
        LogLayer { account, classifier: Sources(classifier), labels, shares_clock }
    }

    /// Sets what counts as a failure: a [`Classifier`](crate::Classifier), or a closure over the result.
    pub fn classify_by<C2>(self, classifier: C2) -> LogLayer<C2, L> {
        LogLayer { account: self.account, classifier, labels: self.labels, shares_clock: self.shares_clock }
    }

    /// Names requests by the index that `label` returns, instead of by their [`Label`](crate::Label). They have no
    /// id.
    pub fn label_by<F>(self, names: &'static [&'static str], label: F) -> LogLayer<C, Named<F>> {
        let Self { account, classifier, shares_clock, .. } = self;
        LogLayer { account, classifier, labels: Named { names, label }, shares_clock }
    }
}

impl<S, C: Clone, L: Clone> Layer<S> for LogLayer<C, L> {
    type Service = Log<S, C, L>;

    fn layer(&self, inner: S) -> Self::Service {
        Log { inner, layer: self.clone() }
    }
}
