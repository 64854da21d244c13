//! Chat networks: a stream of events in, a voice out. One file or folder a network.

pub mod jsonl;
mod source;

use std::fmt;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::BoxStream;

use super::event::Event;
pub use source::{OpenError, Source};

/// A connection to a chat network.
pub trait Chat: Send {
    /// Its voice, which stays usable when the events have ended.
    fn voice(&self) -> Arc<dyn Voice>;

    /// How many bytes of input there are, if the input has a known end.
    fn size(&self) -> Option<u64> {
        None
    }

    /// What happens in the channel, in order. The stream ends when there will be nothing more; reconnecting is
    /// the network's own business. Dropping the stream stops the reading.
    fn listen(self: Box<Self>) -> BoxStream<'static, Received>;
}

/// Something read from a network.
#[derive(Clone, Debug)]
pub struct Received {
    /// Bytes of input read so far, this one included; 0 where that means nothing.
    pub position: u64,
    /// What it is.
    pub item: Result<Event, Unreadable>,
}

/// Input that is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// One piece of it. It is skipped, and the input goes on.
    #[error("line {line}: {reason}")]
    Line {
        /// Its number, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// All that would have followed. The stream ends here.
    #[error("the input broke off: {0}")]
    Lost(String),
}

/// What a bot says in a channel.
///
/// An `Ok` means that the network has taken it. Dropping a future leaves open whether it was said. Whoever speaks
/// waits as long as the voice does: a network that can be slow needs a limit of its own.
pub trait Voice: Send + Sync {
    /// Says something to everybody.
    fn say<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>>;

    /// Says something to one user alone.
    fn pm<'a>(&'a self, user: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>>;

    /// Returns when everything said has left the process. Called once, at the end.
    fn flush(&self) -> BoxFuture<'_, Result<(), Unsent>> {
        async { Ok(()) }.boxed()
    }
}

/// Something could not be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    reason: String,
    permanent: bool,
}

impl Unsent {
    /// It may be tried again later.
    pub fn transient(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), permanent: false }
    }

    /// It never will be said: refused, or nobody of that name.
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), permanent: true }
    }

    /// Whether trying again is of no use.
    pub const fn is_permanent(&self) -> bool {
        self.permanent
    }
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Unsent {}

/// Reads the value of `--chat` and opens what it names.
///
/// # Errors
/// A sentence that says what is wrong with it, or why it cannot be opened.
pub async fn open(source: &str) -> Result<Box<dyn Chat>, OpenError> {
    source.parse::<Source>()?.open().await
}
