//! The outcomes of the most recent calls.

use super::sync::{AtomicU64, AtomicUsize, Ordering::*};

/// A ring with one cell per call. Recording is two atomic writes and no clock; only a failure reads the whole
/// ring.
///
/// Each cell carries the generation it belongs to, so a new generation finds an empty window without a reset,
/// and the window slides by one call with every call. It also carries a time: of a failure its own, of a success that
/// of the last failure before it, so that no success reads a clock.
#[derive(Debug)]
pub(crate) struct Window {
    /// `0`, or `(generation + 1) << 34 | time << 1 | failed`, with 30 bits for the generation and 33 for the time:
    /// milliseconds, of which half a turn, 49 days, is the past.
    cells: Box<[AtomicU64]>,
    next: AtomicUsize,
}

const TIME: u64 = (1 << 33) - 1;

/// The content of the window for one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) calls: usize,
    pub(crate) failures: usize,
}

impl Window {
    pub(crate) fn new(calls: usize) -> Self {
        Self { cells: (0..calls.max(1)).map(|_| AtomicU64::new(0)).collect(), next: AtomicUsize::new(0) }
    }

    #[inline]
    pub(crate) fn record(&self, generation: u32, failed: bool, time: u64) {
        let cell = self.next.fetch_add(1, Relaxed) % self.cells.len();
        let tag = u64::from(generation + 1) << 34 | (time & TIME) << 1 | u64::from(failed);
        self.cells[cell].store(tag, Release);
    }

    /// What happened in the `within` milliseconds before `now`, and after it: a thread that was held up comes with an older
    /// time than others have recorded.
    pub(crate) fn seen(&self, generation: u32, now: u64, within: u64) -> Seen {
        let mut seen = Seen { calls: 0, failures: 0 };
        for cell in &self.cells {
            let cell = cell.load(Acquire);
            let age = Some(now.wrapping_sub(cell >> 1) & TIME).filter(|age| *age <= TIME / 2).unwrap_or(0);
            if cell >> 34 == u64::from(generation + 1) && age <= within {
                seen.calls += 1;
                seen.failures += (cell & 1) as usize;
            }
        }
        seen
    }
}

/// The times of the most recent failures.
#[derive(Debug)]
pub(crate) struct Times {
    cells: Box<[AtomicU64]>,
    next: AtomicUsize,
}

impl Times {
    pub(crate) fn new(failures: u16) -> Self {
        Self { cells: (0..failures.max(1)).map(|_| AtomicU64::new(0)).collect(), next: AtomicUsize::new(0) }
    }

    /// Records a failure. Returns the time of the oldest that is remembered, which is itself if there is room for one.
    ///
    /// Both steps are read-modify-writes: of failures at once, the one that comes last sees the times of all.
    pub(crate) fn push(&self, time: u64) -> u64 {
        let next = self.next.fetch_add(1, AcqRel);
        let cell = |index: usize| &self.cells[index % self.cells.len()];
        cell(next).swap(time, AcqRel);
        cell(next.wrapping_add(1)).fetch_add(0, AcqRel)
    }
}
