//! What a replay has done.

use serde::Serialize;

use crate::error::Cause;

/// What one pass over the outbox has done.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ReplayPass {
    /// Events that a path took.
    pub replayed: u64,
    /// Events that were refused, and set aside.
    pub refused: u64,
    /// Events that were too old, and set aside.
    pub expired: u64,
    /// Events that were too large for every path that there was; they still wait.
    pub passed_over: u64,
    /// Why it stopped before its end.
    pub stopped: Option<Cause>,
    /// When the oldest of those that a path took had been taken, in unix milliseconds.
    pub oldest: Option<i64>,
}

/// What a replayer has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Replayed {
    /// Events that a path took.
    pub replayed: u64,
    /// Events that were refused.
    pub refused: u64,
}

impl ReplayPass {
    /// Whether nothing was left that could have been offered.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.stopped.is_none() && self.passed_over == 0
    }
}
