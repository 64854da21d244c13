//! Operations that the ledger knew already: ghosts of requests that were served another way, and redeliveries.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many there were of each operation. Clones count together.
#[derive(Clone, Debug)]
pub(crate) struct Duplicates(Arc<[AtomicU64]>);

impl Duplicates {
    pub(crate) fn new(operations: usize) -> Self {
        Self((0..operations).map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn add(&self, index: usize, count: u64) {
        self.0[index].fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn of(&self, index: usize) -> u64 {
        self.0[index].load(Ordering::Relaxed)
    }
}
