//! The reply to a request: the answer, the path that served it, and how safe the operation is.
//!
//! ```
//! use eitherway::{Ack, Reply, Via};
//!
//! fn log<A>(reply: &Reply<A>) {
//!     let applied = reply.ack == Ack::Committed;
//!     println!("{} {}", reply.via.as_str(), if applied { "applied" } else { "stored, and going to be applied" });
//! }
//! # log(&Reply { answer: (), via: Via::DB, ack: Ack::Committed, omitted: 0 });
//! ```

use std::fmt;
use std::time::Duration;

use eitherway_layers::ServedBy;

/// The path that served a request. The leaf service sets it, so it is correct however layers are nested.
///
/// An open label: another bus, a cache or a second region is another constant.
///
/// ```
/// use eitherway::Via;
///
/// const REPLICA: Via = Via::new("replica", "[REPLICA]");
/// assert_ne!(REPLICA, Via::DB);
/// assert_eq!(REPLICA.to_string(), "replica");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Via {
    name: &'static str,
    tag: &'static str,
}

impl Via {
    /// Over NATS, by the database service.
    pub const NATS: Self = Self::new("nats", "[NATS]");
    /// On the database itself.
    pub const DB: Self = Self::new("db", "[DB]");
    /// By the outbox: the event is kept until another path takes it.
    pub const OUTBOX: Self = Self::new("outbox", "[OUTBOX]");
    /// By no path: the answer of an earlier query ([`StackBuilder::stale`](crate::stack::StackBuilder::stale)).
    pub const STALE: Self = Self::new("stale", "[STALE]");

    /// A path: its name in metrics and JSON, and its tag in logs.
    #[must_use]
    pub const fn new(name: &'static str, tag: &'static str) -> Self {
        Self { name, tag }
    }

    /// The name: `nats`, `db`, `outbox` or `stale`, for ours.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.name
    }

    /// The tag in logs: `[NATS]`, `[DB]`, `[OUTBOX]` or `[STALE]`, for ours.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        self.tag
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How safe an acknowledged operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ack {
    /// Committed in the database (for a query: read from it).
    Committed,
    /// Stored in the stream or in the outbox, and going to be applied.
    Stored,
    /// Read from the database some time ago, because no path answers now.
    Stale {
        /// How old the answer is at most.
        age: Duration,
    },
}

impl Ack {
    /// `committed`, `stored` or `stale`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Stored => "stored",
            Self::Stale { .. } => "stale",
        }
    }
}

impl fmt::Display for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reply to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<A> {
    /// The path that served the request.
    pub via: Via,
    /// How safe the operation is.
    pub ack: Ack,
    /// The answer of the operation.
    pub answer: A,
    /// How many of the oldest entries of a list were left out, because the answer would exceed its size
    /// limit. 0 if the answer is not a list.
    pub omitted: u64,
}

impl<A> Reply<A> {
    /// The same reply with its answer mapped.
    pub fn map<B>(self, f: impl FnOnce(A) -> B) -> Reply<B> {
        Reply { via: self.via, ack: self.ack, answer: f(self.answer), omitted: self.omitted }
    }
}

impl<A> ServedBy for Reply<A> {
    fn served_by(&self) -> &'static str {
        self.via.tag()
    }
}
