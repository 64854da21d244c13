//! Chat networks: a stream of events in, a sender out. One folder per network.
//!
//! | promise | of [`Chat`] and [`ChatSender`] |
//! |---|---|
//! | identity | an event that the network identifies carries that id, as [`Stamp::identified`](super::Stamp::identified) |
//! | time | an event happens when the network says, or when it is read |
//! | names | folded by the network's rules to find a person; told as they are written |
//! | receipts | `Ok` of a sender: the network has taken the message |
//! | rates | [`ChatSender::allowance`]: how many messages may be sent now |
//! | history | what the network repeats is [`History`](super::Body::History), and never answered |
//! | reconnecting | within the network, indefinitely; a refusal that is final ends the stream with a sentence |

pub mod cytube;
mod error;
pub mod irc;
pub mod jsonl;
pub mod kryten;
mod lines;
pub(crate) mod link;
mod source;

use std::fmt;
use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::BoxStream;

use super::event::Event;
pub use error::OpenError;
pub use source::Source;

/// A connection to a chat network.
pub trait Chat: Send {
    /// The sender of the connection, which stays usable when the events have ended.
    fn sender(&self) -> Arc<dyn ChatSender>;

    /// The size of the input in bytes, if it has a known end.
    fn size(&self) -> Option<u64> {
        None
    }

    /// The events of the channel, in order. The stream ends when no more events can follow; the network's own
    /// implementation reconnects. Dropping the stream stops the reading.
    fn listen(self: Box<Self>) -> BoxStream<'static, Received>;
}

/// An item read from a network.
#[derive(Clone, Debug)]
pub struct Received {
    /// Bytes of input read so far, including this item; 0 where the number has no meaning.
    pub position: u64,
    /// The event, or why the input is not one.
    pub item: Result<Event, Unreadable>,
}

/// Input that is not an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// One line is unreadable. It is skipped, and the input goes on.
    #[error("line {line}: {reason}")]
    Line {
        /// The line number, starting at 1.
        line: u64,
        /// What is wrong with the line.
        reason: String,
    },
    /// The rest of the input is lost. The stream ends here.
    #[error("the input broke off: {0}")]
    Lost(String),
    /// The network refuses the bot, and would do so again. The stream ends here.
    #[error("{0}")]
    Refused(String),
}

/// Why nothing is said while [`MaySpeak`] does not hold.
pub(super) const ANOTHER: &str = "another bot speaks in this room, or may be about to";

/// Whether something may be said at this moment.
pub type MaySpeak = Arc<dyn Fn() -> bool + Send + Sync>;

/// The output of a bot in a channel.
///
/// An `Ok` means that the network has accepted the message. If a future is dropped, the message may or may
/// not have been sent. A call waits as long as the network does: an implementation for a slow network needs
/// its own limit.
pub trait ChatSender: Send + Sync {
    /// How many messages may be sent now without waiting; `None` if the network has no limit. With a limit, one message is
    /// sent after the other, and what is waiting is not claimed before it may be sent.
    fn allowance(&self) -> Option<u32> {
        None
    }

    /// From now on, what is accepted is said only while this holds: an implementation that keeps messages asks it in front of each line.
    fn only_while(&self, _may_speak: MaySpeak) {}

    /// Whether the channel is heard: not while a connection is silent that should not be. Asked where other bots may be in the room.
    /// Default: as far as is known.
    fn hears(&self) -> bool {
        true
    }

    /// Sends a private message to one user that is no message of the queue: also while another bot speaks in the room. Default: as
    /// [`pm`](Self::pm).
    fn hint<'a>(&'a self, user: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>> {
        self.pm(user, text)
    }

    /// Sends a message to the whole channel.
    fn say<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>>;

    /// Sends a private message to one user.
    fn pm<'a>(&'a self, user: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>>;

    /// Waits until everything that was said has left the process. Called once, at the end.
    fn flush(&self) -> BoxFuture<'_, Result<(), Unsent>> {
        async { Ok(()) }.boxed()
    }
}

/// A message that could not be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsent {
    reason: String,
    permanent: bool,
}

impl Unsent {
    /// A failure that may pass: the message may be sent later.
    pub fn transient(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), permanent: false }
    }

    /// A failure that will not pass: the message was refused, or the user does not exist.
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), permanent: true }
    }

    /// Whether sending the message again is pointless.
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

/// Parses the value of `--chat` and opens the chat.
///
/// # Errors
/// What is wrong with the value, or why the chat cannot be opened.
pub async fn open(source: &str) -> Result<Box<dyn Chat>, OpenError> {
    source.parse::<Source>()?.open("Rosey").await
}
