//! Bundles: what waits in a client when a message leaves travels together, in one message, and is acknowledged together. Each
//! operation keeps its own id, time and deadline, and has its own fate.

pub(crate) mod answers;
pub(crate) mod operations;
mod queue;
mod settle;

use serde::{Deserialize, Serialize};

pub(super) use queue::{Outgoing, Queued};
pub(super) use settle::{BundledReply, Slot};

/// What a service answers to the ping about bundles, if it takes any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// The most operations of one.
    pub(crate) operations: usize,
    /// The most bytes of one.
    pub(crate) bytes: usize,
    /// Whether its stream takes them, too.
    #[serde(default)]
    pub(crate) stream: bool,
}

impl Offer {
    /// The largest that this version takes.
    pub(crate) const MOST: Self = Self { operations: 512, bytes: 256 << 10, stream: false };
    /// The largest that this version sends: one that is larger is not faster, and keeps its service busy alone for longer.
    pub(super) const SENT: Self = Self { operations: 128, bytes: 128 << 10, stream: false };
}

/// An operation with a larger payload travels alone: it gains nothing by company.
pub(super) const LARGE: usize = 16 << 10;
/// With so many waiting for their answers, one more travels alone.
pub(super) const FEW: usize = 4;
