//! What the layers and the writer record, through the facade crate `metrics`: kept from the start of the process on, and
//! written as Prometheus reads it.

use std::sync::Arc;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::super::exit::{Exit, Failure};
use super::table::{Kind, TABLE};

/// The upper bounds of durations, in seconds: from a commit without a disk to the last time-out.
pub(super) const SECONDS: [f64; 15] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// The same of operations in a transaction.
const OPERATIONS: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 256.0, 512.0, 1024.0, 4096.0];

/// What was recorded so far. Clones are the same.
#[derive(Clone)]
pub(super) struct Recorded(Arc<PrometheusHandle>);

impl Recorded {
    /// Begins to record, for the rest of the process: before the first layer and the first writer are made.
    ///
    /// # Errors
    /// Something records already.
    pub(super) fn begin() -> Result<Self, Failure> {
        let recorder =
            recorder().map_err(|e| Failure::new(Exit::Failed, format!("--listen: no metrics: {e}")))?;
        let recorded = Self(Arc::new(recorder.handle()));
        let failed = |e| Failure::new(Exit::Failed, format!("--listen: no metrics: {e}"));
        metrics::set_global_recorder(recorder).map_err(failed)?;
        describe();
        Ok(recorded)
    }

    /// All of it.
    pub(super) fn render(&self) -> String {
        self.0.render()
    }

    /// Puts single values into their buckets, so that they do not pile up between two questions.
    pub(super) fn tidy_up(&self) {
        self.0.run_upkeep();
    }
}

fn recorder() -> Result<PrometheusRecorder, metrics_exporter_prometheus::BuildError> {
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_operations".to_owned()), &OPERATIONS)?
        .build_recorder())
}

/// With the words of the table: those of the first who describes count.
fn describe() {
    for metric in TABLE.iter().filter(|metric| metric.recorded) {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.help),
        }
    }
}
