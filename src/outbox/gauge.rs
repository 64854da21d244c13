//! What an outbox holds, as metrics for monitoring: through the facade crate `metrics`, as the layers count.

use metrics::{Gauge, Unit};

use super::counts::Counts;

/// The gauges `{prefix}_outbox_events{state}` and `{prefix}_outbox_bytes`.
pub(super) struct Gauges {
    waiting: Gauge,
    refused: Gauge,
    expired: Gauge,
    bytes: Gauge,
}

impl Gauges {
    /// Resolves the handles: the recorder must have been installed before.
    pub(super) fn new(prefix: &str) -> Self {
        let (events, bytes) = (format!("{prefix}_outbox_events"), format!("{prefix}_outbox_bytes"));
        metrics::describe_gauge!(
            events.clone(),
            Unit::Count,
            "Events in the outbox, by what becomes of them."
        );
        metrics::describe_gauge!(bytes.clone(), Unit::Bytes, "What the events in the outbox need.");
        let state = |state: &'static str| metrics::gauge!(events.clone(), "state" => state);
        Self {
            waiting: state("waiting"),
            refused: state("refused"),
            expired: state("expired"),
            bytes: metrics::gauge!(bytes),
        }
    }

    #[allow(clippy::cast_precision_loss)] // exact up to 2⁵³
    pub(super) fn set(&self, counts: &Counts) {
        let Counts { waiting, refused, expired, bytes } = counts;
        self.waiting.set(*waiting as f64);
        self.refused.set(*refused as f64);
        self.expired.set(*expired as f64);
        self.bytes.set(*bytes as f64);
    }
}
