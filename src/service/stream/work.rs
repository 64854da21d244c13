//! What is taken from the stream and is being worked on.

use std::collections::VecDeque;

use async_nats::Message;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::pull_limits::Limits;

/// What is being worked on.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Each answers the bytes that it had.
    pub(super) running: JoinSet<usize>,
    /// The bytes of all of these.
    bytes: usize,
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

/// How many bytes of messages are worked on at once, beside their number.
const BYTES: usize = 4 << 20;

impl Work {
    pub(super) fn has_room(&self, in_flight: usize) -> bool {
        self.running.len() < in_flight && self.bytes < BYTES
    }

    pub(super) fn begins(&mut self, length: usize) {
        self.bytes += length;
    }

    pub(super) fn ended(&mut self, ended: Result<usize, JoinError>) {
        self.bytes = self.bytes.saturating_sub(ended.unwrap_or_default());
        if self.running.is_empty() {
            self.bytes = 0;
        }
    }

    /// Passes over all that has ended.
    pub(super) fn reap(&mut self) {
        while let Some(ended) = self.running.try_join_next() {
            self.ended(ended);
        }
    }
}
