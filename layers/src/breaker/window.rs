//! The outcomes of the most recent calls.

use super::sync::{AtomicU32, AtomicUsize, Ordering::*};

/// A ring with one cell per call. Recording is two atomic writes and no clock; only a failure reads the whole
/// ring.
///
/// Each cell carries the generation it belongs to, so a new generation finds an empty window without a reset,
/// and the window slides by one call with every call.
#[derive(Debug)]
pub(crate) struct Window {
    /// `0`, or `(generation + 1) << 1 | failed`.
    cells: Box<[AtomicU32]>,
    next: AtomicUsize,
}

/// The content of the window for one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) calls: usize,
    pub(crate) failures: usize,
}

impl Window {
    pub(crate) fn new(calls: usize) -> Self {
        Self { cells: (0..calls.max(1)).map(|_| AtomicU32::new(0)).collect(), next: AtomicUsize::new(0) }
    }

    #[inline]
    pub(crate) fn record(&self, generation: u32, failed: bool) {
        let cell = self.next.fetch_add(1, Relaxed) % self.cells.len();
        self.cells[cell].store((generation + 1) << 1 | u32::from(failed), Release);
    }

    pub(crate) fn seen(&self, generation: u32) -> Seen {
        let mut seen = Seen { calls: 0, failures: 0 };
        for cell in &self.cells {
            let cell = cell.load(Acquire);
            if cell >> 1 == generation + 1 {
                seen.calls += 1;
                seen.failures += (cell & 1) as usize;
            }
        }
        seen
    }
}
