//! What services report of themselves while they run, for display.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::status::{OperationCounts, ServiceStatus};

/// Looks at services from outside while they run: give it to [`ServiceOptions::monitor`](super::ServiceOptions::monitor), and ask
/// it whenever it is of use. Clones are the same one. The services of several namespaces tell one monitor.
///
/// Asking takes no request, waits for nothing, and costs a service nothing until it is asked.
#[derive(Clone, Default)]
pub struct Monitor(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    number: u64,
    running: Vec<(u64, Arc<dyn Observed>)>,
    /// What those have done that have ended.
    past: Done,
}

/// What was done of each operation, and of none.
#[derive(Clone, Default)]
pub(super) struct Done {
    pub(super) operations: Vec<OperationCounts>,
    pub(super) overruns: u64,
    pub(super) noticed: u64,
}

/// What tells: a service, or a connection for several.
pub(super) trait Observed: Send + Sync {
    /// Whether a server is connected; none before the first time.
    fn connected(&self) -> Option<bool>;

    /// How it is, if it is a service.
    fn status(&self) -> Option<ServiceStatus> {
        None
    }

    /// What it has done.
    fn done(&self) -> Done {
        Done::default()
    }
}

/// Tells as long as it is kept; what was done stays counted.
pub(super) struct Registration {
    monitor: Monitor,
    number: u64,
}

impl Monitor {
    /// One that no service tells yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The services that run, as they are now.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceStatus> {
        self.running().iter().filter_map(|service| service.status()).collect()
    }

    /// Whether all of them are connected to NATS; none before one was.
    #[must_use]
    pub fn connected(&self) -> Option<bool> {
        self.running().iter().filter_map(|service| service.connected()).reduce(|one, other| one && other)
    }

    /// What all services have done, those that have ended included. Every number only grows.
    #[must_use]
    pub fn operations(&self) -> Vec<OperationCounts> {
        self.all().operations
    }

    /// How often requests came faster than they were taken, and some were lost on the way.
    #[must_use]
    pub fn overruns(&self) -> u64 {
        self.all().overruns
    }

    /// How many notices there have been.
    #[must_use]
    pub fn noticed(&self) -> u64 {
        self.all().noticed
    }

    /// Lets a service tell.
    pub(super) fn register(&self, service: impl Observed + 'static) -> Registration {
        let mut inner = self.0.lock();
        inner.number += 1;
        let number = inner.number;
        inner.running.push((number, Arc::new(service)));
        Registration { monitor: self.clone(), number }
    }

    /// A service that ends meanwhile is not waited for.
    fn running(&self) -> Vec<Arc<dyn Observed>> {
        self.0.lock().running.iter().map(|(_, service)| Arc::clone(service)).collect()
    }

    fn all(&self) -> Done {
        let inner = self.0.lock();
        inner.running.iter().fold(inner.past.clone(), |all, (_, service)| all.and(&service.done()))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut inner = self.monitor.0.lock();
        if let Some(place) = inner.running.iter().position(|(number, _)| *number == self.number) {
            let (_, ended) = inner.running.swap_remove(place);
            inner.past = std::mem::take(&mut inner.past).and(&ended.done());
        }
    }
}

impl Done {
    fn and(mut self, other: &Self) -> Self {
        self.overruns += other.overruns;
        self.noticed += other.noticed;
        for OperationCounts { name, served, busy } in &other.operations {
            match self.operations.iter_mut().find(|known| known.name == *name) {
                Some(known) => {
                    known.served = known.served.and(*served);
                    known.busy += *busy;
                }
                None => self.operations.push(OperationCounts { name, served: *served, busy: *busy }),
            }
        }
        self
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("services", &self.services()).finish()
    }
}
