//! What is taken: which kind of subject a message came by, and what it is known by.

use async_nats::Message;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::waiting::QueuePosition;
use crate::request::OpId;

/// What a subscription serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Serves {
    /// All that one instance is enough for: each message is for what its subject says.
    Everything,
    /// The operation of this index.
    Operation(usize),
    /// Operations that came in one message.
    Bundle,
    /// A sign of life, of one instance.
    Ping,
    /// The database, of every instance.
    Who,
    /// Whether what was stored is applied, of one instance.
    Applied,
    /// What is no operation.
    Unknown,
}

impl Serves {
    /// Whether this is work that a sender may wait for: the sign of life stays until it is done.
    pub(super) const fn works(self) -> bool {
        !matches!(self, Self::Ping | Self::Who)
    }
}

/// A message, and what it is known by if it says nothing itself.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) message: Message,
    /// When it arrived, in unix milliseconds; never before the one that was read before.
    pub(super) arrival: i64,
    /// A fresh id, behind that of the one that was read before.
    pub(super) id: OpId,
    /// The memory that it holds.
    pub(super) place: QueuePosition,
    /// It is being worked on. The sign of life is none of it.
    pub(super) _running: Option<TaskTrackerToken>,
}
