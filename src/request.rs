//! A request and its head: the value that travels through every layer.
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

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use eitherway_layers::Label;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::clock;
use crate::error::{Cause, Code};
use crate::operation::Operation;

/// The identity of one operation: assigned before the first attempt, kept through every retry, fallback and
/// replay.
///
/// Our client uses UUIDs (version 7, so that they sort by time); a peer may send any string of 1 to 128
/// printable ASCII characters. The textual form is the same on every path, and is the key of the ledger.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpId(Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    Uuid(Uuid),
    Text(Arc<str>),
}

impl OpId {
    /// A new id (UUID version 7). Does not allocate.
    #[must_use]
    pub fn new() -> Self {
        Self(Repr::Uuid(Uuid::now_v7()))
    }

    /// An id derived from the source's own identification of an event: the same parts always yield the same
    /// id, so that an event that is read twice takes effect once. A UUID version 8 (RFC 9562, section 5.8) of
    /// a SHA-256 over the parts. It contains no time: the same event may be read with another time, or with
    /// none.
    #[must_use]
    pub fn of_parts(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // The length separates the parts: "ab", "c" differ from "a", "bc".
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        Self(Repr::Uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid()))
    }

    /// An id derived from an event's fixed time, its source and its name there: the same three always yield
    /// the same id, and ids sort by time. A UUID version 8: 48 bits of time, then a SHA-256 of source and
    /// name. If the event may be read again with another time, use [`of_parts`](Self::of_parts).
    #[must_use]
    pub fn derived(occurred_at: i64, source: &str, name: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update((source.len() as u64).to_be_bytes());
        hash.update(source.as_bytes());
        hash.update(name.as_bytes());
        let digest = hash.finalize();
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&occurred_at.to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&digest[..10]);
        Self(Repr::Uuid(uuid::Builder::from_custom_bytes(bytes).into_uuid()))
    }

    /// An id for a message without one, derived from its position in a stream: the same message always has
    /// the same id, and of two messages stored in one millisecond the later one has the greater id. A UUID
    /// version 8: 48 bits of time, 48 of the sequence, and the remaining bits from a SHA-256 of stream,
    /// nanosecond and sequence. A stream that is created again starts at sequence 1 again, but at another
    /// time.
    #[must_use]
    pub fn placed(stream: &str, nanos: i64, sequence: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(nanos.to_be_bytes());
        hash.update(sequence.to_be_bytes());
        hash.update(stream.as_bytes());
        let digest = hash.finalize();
        let mut tail = [0; 4];
        tail.copy_from_slice(&digest[..4]);
        let millis = u128::from((nanos / 1_000_000).unsigned_abs() & 0xffff_ffff_ffff);
        let place = u128::from(sequence & 0xffff_ffff_ffff);
        // Around the bits of version and variant: 12 bits of the sequence, 36 more, 26 of the hash.
        let hash = u128::from(u32::from_be_bytes(tail) >> 6);
        let bits = (millis << 80) | ((place >> 36) << 64) | ((place & 0xf_ffff_ffff) << 26) | hash;
        Self(Repr::Uuid(uuid::Builder::from_custom_bytes(bits.to_be_bytes()).into_uuid()))
    }

    /// Parses an id that a peer sent.
    ///
    /// # Errors
    /// `invalid`, unless it is 1 to 128 printable ASCII characters that neither begin nor end with a blank.
    pub fn parse(text: &str) -> Result<Self, Cause> {
        // A header loses blanks at the ends, so one id would become two.
        let trimmed = text.trim_ascii() == text;
        if !trimmed || !(1..=128).contains(&text.len()) || !text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
            let message =
                "an operation id is 1 to 128 printable ASCII characters, without blanks at its ends";
            return Err(Cause::new(Code::INVALID, message));
        }
        // Only the exact textual form becomes a UUID: what is printed must equal what was read.
        Ok(Self(match Uuid::try_parse(text) {
            Ok(uuid) if uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text => {
                Repr::Uuid(uuid)
            }
            _ => Repr::Text(text.into()),
        }))
    }
}

impl Default for OpId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Uuid(uuid) => fmt::Display::fmt(uuid, f),
            Repr::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The W3C trace context of a request, passed on unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The header `traceparent`.
    pub parent: String,
    /// The header `tracestate`, if there was one.
    pub state: Option<String>,
}

impl Trace {
    /// A context, if `parent` has the form of a `traceparent` (version, trace id, span id, flags in
    /// lower-case hexadecimal). Anything else yields `None` and no error: tracing must not refuse an
    /// operation.
    #[must_use]
    pub fn new(parent: &str, state: Option<&str>) -> Option<Self> {
        let fields: Vec<&str> = parent.split('-').collect();
        let form = fields.iter().map(|f| f.len()).eq([2, 32, 16, 2]);
        let hex = fields.iter().all(|f| f.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        (form && hex).then(|| Self {
            parent: parent.to_owned(),
            state: state
                .filter(|s| s.len() <= 512 && s.bytes().all(|b| (b' '..=b'~').contains(&b)))
                .map(str::to_owned),
        })
    }
}

/// The metadata of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The operation's id; travels as the NATS header `Rosey-Operation-Id`.
    pub id: OpId,
    /// When the operation happened, in unix milliseconds; travels as `Rosey-Occurred-At`.
    pub occurred_at: i64,
    /// The trace that the operation belongs to, if any; travels as `traceparent` and `tracestate`.
    pub trace: Option<Arc<Trace>>,
}

impl Head {
    /// The head of an operation that happens now: a fresh id, and a time never below the last one issued.
    #[must_use]
    pub fn now() -> Self {
        Self { id: OpId::new(), occurred_at: clock::issue(), trace: None }
    }

    /// The head of an operation that happened at `occurred_at` (unix milliseconds), with a fresh id.
    #[must_use]
    pub fn at(occurred_at: i64) -> Self {
        Self { id: OpId::new(), occurred_at, trace: None }
    }
}

impl Head {
    /// The default limit on how far in the future an operation may claim to have happened.
    pub const AHEAD: Duration = Duration::from_secs(5 * 60);

    /// The default limit on how long ago an operation may claim to have happened: ten years. A clock that was never set
    /// starts in 1970, 1980 or 2000; an imported history may be years old.
    pub const BEHIND: Duration = Duration::from_secs(3650 * 86_400);

    /// Checks the time: not more than `ahead` from now, and not more than `behind` ago. Every path checks it, so that no
    /// path takes what another one refuses.
    ///
    /// # Errors
    /// `clock`.
    pub fn check(&self, ahead: Duration, behind: Duration) -> Result<(), Cause> {
        self.check_of(clock::now(), ahead, behind)
    }

    /// The same for something that was taken at `taken`, in unix milliseconds: it does not become too old while it waits to
    /// be applied.
    ///
    /// # Errors
    /// `clock`.
    pub fn check_of(&self, taken: i64, ahead: Duration, behind: Duration) -> Result<(), Cause> {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let (at, now) = (self.occurred_at, clock::now());
        // One that took it by a clock that is ahead of this one has claimed nothing.
        let taken = taken.min(now);
        let why = if at < 1 {
            "before 1970".to_owned()
        } else if at > now.saturating_add(millis(ahead)) {
            let most = ahead.as_secs_f64();
            let by = at.saturating_sub(now) / 1000;
            format!(
                "that is {by} s ahead, and at most {most} s are taken (--future-tolerance-ms); is a clock wrong?"
            )
        } else if at < taken.saturating_sub(millis(behind)) {
            let (days, most) = (taken.saturating_sub(at) / 86_400_000, behind.as_secs() / 86_400);
            format!(
                "that is {days} days ago, and at most {most} are taken (--past-tolerance-days); is a clock wrong?"
            )
        } else {
            return Ok(());
        };
        Err(Cause::new(Code::CLOCK, format!("it cannot have happened at {at} (unix milliseconds): {why}")))
    }
}

/// A request: a head and an operation.
///
/// The operation is behind an `Arc`, so that keeping a copy for a fallback increments a reference count and
/// allocates nothing.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<O> {
    /// Id, time and trace.
    pub head: Head,
    /// The operation.
    pub op: Arc<O>,
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
        Self::from_parts(head, Arc::new(op.into()))
    }

    /// A request of its parts, for an operation that is shared already.
    pub const fn from_parts(head: Head, op: Arc<O>) -> Self {
        Self { head, op, received: None }
    }

    /// The same request, received from elsewhere.
    #[must_use]
    pub fn with_received(self, received: Received) -> Self {
        Self { received: Some(received), ..self }
    }

    /// When it came in, and how long its answer may be, if it was received from elsewhere.
    pub const fn received(&self) -> Option<Received> {
        self.received
    }
}

impl<O> Clone for Request<O> {
    fn clone(&self) -> Self {
        Self { head: self.head.clone(), op: Arc::clone(&self.op), received: self.received }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_prints_as_it_was_read() {
        let upper = "0190B5A0-7B7B-7CCC-8DDD-0123456789AB";
        for text in ["x", "order 17", upper, "0190b5a0-7b7b-7ccc-8ddd-0123456789ab"] {
            assert_eq!(OpId::parse(text).expect(text).to_string(), text);
        }
        let own = OpId::new();
        assert_eq!(OpId::parse(&own.to_string()).expect("own id"), own);
    }

    #[test]
    fn an_id_that_cannot_be_printed_is_refused() {
        for text in ["", " a", "a ", "a\nb", "naïve", &"x".repeat(129)] {
            assert!(OpId::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_event_read_twice_has_one_id() {
        let id = OpId::derived(1_700_000_000_000, "irc", "msg-1");
        assert_eq!(id, OpId::derived(1_700_000_000_000, "irc", "msg-1"));
        assert_ne!(id, OpId::derived(1_700_000_000_000, "irc", "msg-2"));
        assert_ne!(OpId::derived(1, "ab", "c"), OpId::derived(1, "a", "bc"));
        assert!(id < OpId::derived(1_700_000_000_001, "irc", "msg-0"), "derived ids sort by time");
    }

    #[test]
    fn an_id_made_of_parts_knows_where_each_ends() {
        let id = OpId::of_parts(&["irc", "msg-1", "message_log"]);
        assert_eq!(id, OpId::of_parts(&["irc", "msg-1", "message_log"]));
        assert_ne!(id, OpId::of_parts(&["irc", "msg-1message_log", ""]));
        assert_ne!(OpId::of_parts(&["ab", "c"]), OpId::of_parts(&["a", "bc"]));
        assert_eq!(OpId::parse(&id.to_string()).expect("an id"), id);
    }

    #[test]
    fn ids_are_in_the_order_in_which_they_were_made() {
        let ids: Vec<_> = (0..100_000).map(|_| OpId::new().to_string()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "as the texts that the database sorts");
    }

    #[test]
    fn ids_of_a_stream_are_in_the_order_of_its_sequence() {
        let at = 1_700_000_000_123_456_789;
        let sequences = (1..5_000).chain((1 << 36) - 50..(1 << 36) + 50).chain((1 << 48) - 50..1 << 48);
        let ids: Vec<_> = sequences.map(|n| OpId::placed("ROSEY", at, n).to_string()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(OpId::placed("ROSEY", at, 9_999) < OpId::placed("ROSEY", at + 1_000_000, 1));
        assert_eq!(OpId::placed("ROSEY", at, 7), OpId::placed("ROSEY", at, 7));
        assert_ne!(OpId::placed("ROSEY", at, 7), OpId::placed("ROSEY", at + 1, 7), "created again");
        assert_ne!(OpId::placed("ROSEY", at, 7), OpId::placed("OTHER", at, 7));
        let text = OpId::placed("ROSEY", at, 7).to_string();
        assert_eq!((&text[14..15], OpId::parse(&text).expect("an id").to_string()), ("8", text.clone()));
    }

    #[test]
    fn only_a_well_formed_traceparent_is_passed_on() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(Trace::new(good, Some("a=b")).expect("context").state.as_deref(), Some("a=b"));
        for bad in ["", "00-xyz", "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"] {
            assert!(Trace::new(bad, None).is_none(), "{bad}");
        }
    }
}
