//! What the log says about a circuit.

use super::State;
use crate::TARGET;
use std::time::Duration;

/// The state of a circuit has changed; it stays open for this time.
pub(super) fn changed(tag: &'static str, from: State, to: State, wait: Duration) {
    match to {
        // Not news: the circuit was not closed in between.
        State::Open if from == State::HalfOpen => {
            tracing::debug!(target: TARGET, ?from, "{tag} circuit opened for {wait:.0?}");
        }
        State::Open => tracing::warn!(target: TARGET, ?from, "{tag} circuit opened for {wait:.0?}"),
        State::OpenUntilHealthy => {
            tracing::warn!(target: TARGET, ?from, "{tag} circuit opened until the service is well")
        }
        State::ForcedOpen => tracing::warn!(target: TARGET, ?from, "{tag} circuit forced open"),
        State::ForcedClosed => tracing::warn!(target: TARGET, ?from, "{tag} circuit forced closed"),
        State::Closed => tracing::info!(target: TARGET, ?from, "{tag} circuit closed"),
        State::HalfOpen => tracing::debug!(target: TARGET, ?from, "{tag} circuit half-open"),
    }
}
