//! Since when a service listens, and over which connections.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::connection::Connection;
use super::link::Link;
use crate::clock;
use crate::nats::Mode;

/// Whether a service listens at present, and over which connections.
#[derive(Debug, Default)]
pub(super) struct Listening(Mutex<Option<Now>>);

/// How it listens now.
#[derive(Clone, Debug)]
pub(super) struct Now {
    /// In unix milliseconds.
    pub(super) since: i64,
    pub(super) mode: Mode,
    connections: [watch::Receiver<Connection>; 2],
}

/// Listens as long as it is kept.
pub(super) struct Listens(Arc<Listening>);

impl Listening {
    /// Listens from now on.
    pub(super) fn begin(self: &Arc<Self>, mode: Mode, links: &[Link; 2]) -> Listens {
        let connections = [links[0].state.clone(), links[1].state.clone()];
        *self.0.lock() = Some(Now { since: clock::now(), mode, connections });
        Listens(Arc::clone(self))
    }

    pub(super) fn now(&self) -> Option<Now> {
        self.0.lock().clone()
    }
}

impl Drop for Listens {
    fn drop(&mut self) {
        *self.0.0.lock() = None;
    }
}

impl Now {
    /// Whether both connections are up.
    pub(super) fn is_connected(&self) -> bool {
        self.connections.iter().all(|connection| connection.borrow().up)
    }
}
