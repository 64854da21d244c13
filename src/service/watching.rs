//! What a service tells its monitor.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::counters::{Counters, Served};
use super::listening::Listening;
use super::log_throttle::LogThrottle;
use super::monitor::{Done, Observed};
use super::notices::Notices;
use super::progress::Progress;
use super::run::ServiceState;
use super::status::{OperationCounts, ServiceStatus};
use crate::nats::names::Names;
use crate::operation::Operation;
use crate::store::Store;

/// A service, as its monitor sees it.
pub(super) struct Watching<O, D> {
    db: D,
    operation: PhantomData<fn(O)>,
    names: Arc<Names>,
    counters: Arc<Counters>,
    notices: Arc<Notices>,
    progress: Arc<Progress>,
    troubles: Arc<LogThrottle>,
    listening: Arc<Listening>,
    /// Repeats that came to the store before this service.
    before: Vec<u64>,
}

impl<O: Operation, D: Store<O>> Watching<O, D> {
    pub(super) fn new(db: D, state: &ServiceState) -> Self {
        Self {
            before: (0..O::SPECS.len()).map(|index| db.duplicates(index)).collect(),
            db,
            operation: PhantomData,
            names: Arc::clone(&state.names),
            counters: Arc::clone(&state.counters),
            notices: Arc::clone(&state.notices),
            progress: Arc::clone(&state.progress),
            troubles: Arc::clone(&state.troubles),
            listening: Arc::clone(&state.listening),
        }
    }
}

impl<O: Operation, D: Store<O>> Observed for Watching<O, D> {
    fn done(&self) -> Done {
        let counts = |(index, before): (usize, &u64)| {
            let counters = self.counters.of(index);
            OperationCounts {
                name: O::SPECS[index].name,
                served: Served { repeated: self.db.duplicates(index) - before, ..counters.read() },
                busy: Duration::from_nanos(counters.nanos()),
            }
        };
        Done {
            operations: self.before.iter().enumerate().map(counts).collect(),
            overruns: self.troubles.overruns(),
            noticed: self.notices.so_far(),
        }
    }

    fn connected(&self) -> Option<bool> {
        self.listening.now().map(|now| now.is_connected())
    }

    fn status(&self) -> Option<ServiceStatus> {
        let listening = self.listening.now();
        Some(ServiceStatus {
            namespace: self.names.namespace.as_str().to_owned(),
            database: self.db.id().to_owned(),
            shown: self.db.shown().to_owned(),
            listening_since: listening.as_ref().map(|now| now.since),
            mode: listening.as_ref().map(|now| now.mode),
            connected: listening.is_some_and(|now| now.is_connected()),
            database_fails: self.troubles.database_is_down(),
            tried_again: self.progress.stuck().map_or(0, |stuck| stuck.count),
            notices: self.notices.all(),
            stream: self.progress.stream.lock().clone(),
        })
    }
}
