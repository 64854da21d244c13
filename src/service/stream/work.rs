//! What is taken from the stream and is being worked on.

use std::collections::VecDeque;

use async_nats::Message;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::pull_limits::Limits;

/// What is being worked on.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Each answers what it took.
    pub(super) running: JoinSet<Size>,
    /// What all of these take.
    size: Size,
    pub(super) alone: VecDeque<Message>,
    /// Whether one is tried alone now.
    pub(super) is_alone: bool,
    /// Messages that came since it was last asked.
    pub(super) came: u64,
    /// The connection broke: what was on its way, messages or acknowledgements, may have been lost with it.
    pub(super) broke: bool,
    /// How often the connection had come up when that was last looked at.
    pub(super) times: u64,
    /// How much may be asked for at once.
    pub(super) limits: Limits,
    /// The same, when it was last looked whether a message ended it.
    pub(super) looked: u64,
    /// When a message that cannot be read was found last.
    pub(super) unread: Option<Instant>,
}

/// What a message takes of the limits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    pub(super) operations: usize,
    pub(super) bytes: usize,
}

/// How many bytes of messages are worked on at once, beside their number.
const BYTES: usize = 4 << 20;

impl Work {
    pub(super) fn has_room(&self, in_flight: usize) -> bool {
        self.size.operations < in_flight && self.size.bytes < BYTES
    }

    pub(super) fn begins(&mut self, size: Size) {
        self.size.operations += size.operations;
        self.size.bytes += size.bytes;
    }

    pub(super) fn ended(&mut self, ended: Result<Size, JoinError>) {
        let ended = ended.unwrap_or_default();
        self.size.operations = self.size.operations.saturating_sub(ended.operations);
        self.size.bytes = self.size.bytes.saturating_sub(ended.bytes);
        if self.running.is_empty() {
            self.size = Size::default();
        }
    }

    /// Passes over all that has ended.
    pub(super) fn reap(&mut self) {
        while let Some(ended) = self.running.try_join_next() {
            self.ended(ended);
        }
    }
}
