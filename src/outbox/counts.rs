//! What an outbox holds, and what may be done with it.

use serde::Serialize;

/// What an outbox holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Events that are going to be offered again.
    pub waiting: u64,
    /// Events that the database refused.
    pub refused: u64,
    /// Events that waited for longer than [`MAX_REPLAY_AGE`](super::MAX_REPLAY_AGE).
    pub expired: u64,
    /// What all of them need.
    pub bytes: u64,
}

impl Counts {
    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.waiting + self.refused + self.expired == 0
    }
}

/// A part of what an outbox holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// All events.
    #[default]
    All,
    /// What is going to be offered again.
    Waiting,
    /// What the database refused.
    Refused,
    /// What waited for too long.
    Expired,
}

/// What became of a second try of what was refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Retried {
    /// Events that wait again.
    pub waiting: u64,
    /// Events that were taken longer ago than [`MAX_REPLAY_AGE`](super::MAX_REPLAY_AGE): they stay set aside.
    pub too_old: u64,
}
