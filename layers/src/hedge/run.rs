//! How many hedges in a row the primary has lost, and for how long.

use super::sync::{AtomicU64, Ordering::Relaxed};

/// One word, so that a count never meets the beginning of another run: the beginning in microseconds (44 bits, half a year,
/// then it wraps), and the count (20 bits). 0 while there is no run.
#[derive(Debug)]
pub(super) struct Run(AtomicU64);

/// The bits of the count.
const COUNT: u32 = 20;

const MOST: u64 = (1 << COUNT) - 1;

impl Run {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more was lost, which began at this time and ends now, in microseconds. Returns how many were, and for how many
    /// microseconds.
    pub(super) fn lost(&self, began: u64, now: u64) -> (u32, u64) {
        let next = |run| match run {
            0 => began << COUNT | 1,
            run if run & MOST == MOST => run,
            run => run + 1,
        };
        let before = self.0.fetch_update(Relaxed, Relaxed, |run| Some(next(run)));
        let run = next(before.unwrap_or_else(|run| run));
        ((run & MOST) as u32, (now << COUNT).wrapping_sub(run & !MOST) >> COUNT)
    }

    /// Stores only where something changes, so that the cache line stays shared.
    pub(super) fn end(&self) {
        if self.0.load(Relaxed) != 0 {
            self.0.store(0, Relaxed);
        }
    }
}
