use super::{Bulkhead, Full, Shared, Slot};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tower_layer::Layer;

/// Applies a [`Bulkhead`] to services. All of them, and all their clones, share the slots.
///
/// ```
/// use eitherway_layers::BulkheadLayer;
/// use std::time::Duration;
///
/// let layer = BulkheadLayer::new(64).wait(Duration::from_millis(20));
/// assert_eq!(layer.free(), 64);
/// ```
#[derive(Clone, Debug)]
pub struct BulkheadLayer {
    shared: Arc<Shared>,
}

impl BulkheadLayer {
    /// Lets `limit` calls run at once, and refuses the others without a wait. More than [`Semaphore::MAX_PERMITS`]
    /// are as many.
    pub fn new(limit: usize) -> Self {
        Self::of(
            Arc::new(Semaphore::new(limit.min(Semaphore::MAX_PERMITS))),
            Full::new(limit, Duration::ZERO),
        )
    }

    /// Sets how long a request waits for a slot. A layer of its own: its slots are not those of the layer before.
    pub fn wait(self, limit: Duration) -> Self {
        let before = self.shared.full;
        let permits = Semaphore::new(before.limit().min(Semaphore::MAX_PERMITS));
        Self::of(Arc::new(permits), Full::new(before.limit(), limit))
    }

    fn of(permits: Arc<Semaphore>, full: Full) -> Self {
        Self { shared: Arc::new(Shared { permits, full }) }
    }

    /// How many calls could begin now.
    pub fn free(&self) -> usize {
        self.shared.permits.available_permits()
    }
}

impl<S> Layer<S> for BulkheadLayer {
    type Service = Bulkhead<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Bulkhead { inner, shared: Arc::clone(&self.shared), slot: Slot::None }
    }
}
