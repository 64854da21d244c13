//! What an outbox holds, as metrics for monitoring: through the facade crate `metrics`, as the layers count. Those of several
//! outboxes in one process add up.

use metrics::{Gauge, Unit};

use super::counts::Counts;

/// The gauges `{prefix}_outbox_events{state}` and `{prefix}_outbox_bytes`.
pub(super) struct Gauges {
    /// What has been told of this outbox.
    told: Counts,
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
            told: Counts::default(),
            waiting: state("waiting"),
            refused: state("refused"),
            expired: state("expired"),
            bytes: metrics::gauge!(bytes),
        }
    }

    /// Tells what it holds now.
    pub(super) fn set(&mut self, counts: &Counts) {
        let told = std::mem::replace(&mut self.told, *counts);
        for (gauge, before, now) in [
            (&self.waiting, told.waiting, counts.waiting),
            (&self.refused, told.refused, counts.refused),
            (&self.expired, told.expired, counts.expired),
            (&self.bytes, told.bytes, counts.bytes),
        ] {
            add(gauge, before, now);
        }
    }
}

impl Drop for Gauges {
    /// What is in it is not this process's any more.
    fn drop(&mut self) {
        self.set(&Counts::default());
    }
}

#[allow(clippy::cast_precision_loss)] // exact up to 2⁵³
fn add(gauge: &Gauge, before: u64, now: u64) {
    if now >= before {
        gauge.increment((now - before) as f64);
    } else {
        gauge.decrement((before - now) as f64);
    }
}
