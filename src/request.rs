//! A request: the value that travels through every layer.
//!
//! ```
//! use eitherway::{Head, OpId, Request};
//! # use rosey::op::{Op, UserJoined};
//!
//! // One event of a source has one id, however often the source sends it.
//! let id = OpId::derived(1_700_000_000_000, "irc", "message 7");
//! let head = Head { id, ..Head::at(1_700_000_000_000) };
//! let request = Request::<Op>::with_head(head, UserJoined { username: "alice".into() });
//! assert_eq!(request.head.occurred_at, 1_700_000_000_000);
//! ```

mod shared;

use std::num::NonZeroU32;

use eitherway_layers::Label;

use crate::clock;
pub use crate::head::Head;
pub use crate::id::OpId;
use crate::operation::Operation;
pub use crate::trace::Trace;
#[cfg(feature = "sqlite")]
pub(crate) use shared::Payload;
pub use shared::Shared;

/// A request: a head and an operation.
///
/// The operation is [`Shared`], so that keeping a copy for a fallback increments a reference count and allocates nothing,
/// and the paths encode it once.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<O> {
    /// Id, time and trace.
    pub head: Head,
    /// The operation.
    pub op: Shared<O>,
    received: Option<Received>,
}

/// When a request came in, and how long its answer may be: set where requests are taken from others and handed to a
/// store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    at: i64,
    // Small, and never 0: so a request that was not received from elsewhere is no larger for it.
    answer_bytes: NonZeroU32,
}

impl Received {
    /// A request that waits since `at`, in unix milliseconds, and whose answer has at most `answer_bytes` if it is a list.
    #[must_use]
    pub fn new(at: i64, answer_bytes: usize) -> Self {
        let answer_bytes = u32::try_from(answer_bytes).unwrap_or(u32::MAX);
        Self { at, answer_bytes: NonZeroU32::new(answer_bytes).unwrap_or(NonZeroU32::MIN) }
    }

    /// A request that comes in now, and whose answer may have any length.
    #[must_use]
    pub fn now() -> Self {
        Self { at: clock::now(), answer_bytes: NonZeroU32::MAX }
    }

    /// Since when it waits to be applied, in unix milliseconds: in a stream, for example. It does not become too old there.
    #[must_use]
    pub const fn at(self) -> i64 {
        self.at
    }

    /// The most bytes of an answer that is a list, as it is encoded.
    #[must_use]
    pub const fn answer_bytes(self) -> usize {
        self.answer_bytes.get() as usize
    }
}

impl<O> Request<O> {
    /// A request for an operation that happens now, with a fresh id.
    pub fn new(op: impl Into<O>) -> Self {
        Self::with_head(Head::now(), op)
    }

    /// A request with the given head: to repeat an operation, or to say when it happened.
    pub fn with_head(head: Head, op: impl Into<O>) -> Self {
        Self::from_parts(head, Shared::new(op.into()))
    }

    /// A request of its parts, for an operation that is shared already.
    pub const fn from_parts(head: Head, op: Shared<O>) -> Self {
        Self { head, op, received: None }
    }

    /// The same request, received from elsewhere.
    #[must_use]
    pub fn with_received(self, received: Received) -> Self {
        Self { received: Some(received), ..self }
    }

    /// When it came in, and how long its answer may be, if it was received from elsewhere. Its answer is forwarded then, and a
    /// store need not read it: see [`Operation::forward_answer`].
    pub const fn received(&self) -> Option<Received> {
        self.received
    }
}

impl<O> Clone for Request<O> {
    fn clone(&self) -> Self {
        Self { head: self.head.clone(), op: self.op.clone(), received: self.received }
    }
}

impl<O: Operation> Label for Request<O> {
    const LABELS: &'static [&'static str] = O::NAMES;
    type Id = OpId;

    fn label(&self) -> usize {
        self.op.index()
    }

    fn id(&self) -> OpId {
        self.head.id.clone()
    }
}
