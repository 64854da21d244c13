//! Two circuits over one path: a stream may take events while no service answers calls and queries, so
//! silence on calls and queries must not stop events.

use eitherway_layers::breaker::Handle;
use tokio::sync::watch;

use crate::health::Health;
use crate::operation::Kind;

/// The circuits of a stack.
#[derive(Clone, Debug)]
pub struct Circuits {
    /// The circuit of events.
    pub events: Handle,
    /// The circuit of calls and queries.
    pub requests: Handle,
}

impl Circuits {
    pub(super) fn new([events, requests]: [Handle; 2]) -> Self {
        Self { events, requests }
    }

    /// The place of the circuit of this kind of operation among the two.
    pub(super) const fn index(kind: Kind) -> usize {
        match kind {
            Kind::Event => 0,
            Kind::Call | Kind::Query => 1,
        }
    }

    /// The circuit of this kind of operation.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> &Handle {
        match kind {
            Kind::Event => &self.events,
            Kind::Call | Kind::Query => &self.requests,
        }
    }

    /// Watches the health of the bus until the channel closes. A kind of operation that the bus takes again is tried
    /// at once, whatever its circuit has seen before. Without this, a circuit closes on its own probe, some
    /// hundred milliseconds later.
    ///
    /// `on_available` is called after every change, with each kind that the bus takes, for example to wake the replay
    /// of an outbox.
    ///
    /// Spawns a task, so it must be called within a tokio runtime.
    pub fn bind_health(
        &self,
        mut bus: watch::Receiver<Health>,
        on_available: impl Fn(Kind) + Send + 'static,
    ) {
        let circuits = self.clone();
        tokio::spawn(async move {
            while bus.changed().await.is_ok() {
                for kind in [Kind::Event, Kind::Call, Kind::Query] {
                    if bus.borrow().takes(kind) {
                        circuits.of(kind).set_healthy(true);
                        on_available(kind);
                    }
                }
            }
        });
    }
}
