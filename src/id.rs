//! The identity of an operation.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::cause::{Cause, Code};

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
        let id = OpId::of_parts(&["irc", "msg-1", "note_taken"]);
        assert_eq!(id, OpId::of_parts(&["irc", "msg-1", "note_taken"]));
        assert_ne!(id, OpId::of_parts(&["irc", "msg-1note_taken", ""]));
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
        let ids: Vec<_> = sequences.map(|n| OpId::placed("SHOP", at, n).to_string()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b));
        assert!(OpId::placed("SHOP", at, 9_999) < OpId::placed("SHOP", at + 1_000_000, 1));
        assert_eq!(OpId::placed("SHOP", at, 7), OpId::placed("SHOP", at, 7));
        assert_ne!(OpId::placed("SHOP", at, 7), OpId::placed("SHOP", at + 1, 7), "created again");
        assert_ne!(OpId::placed("SHOP", at, 7), OpId::placed("OTHER", at, 7));
        let text = OpId::placed("SHOP", at, 7).to_string();
        assert_eq!((&text[14..15], OpId::parse(&text).expect("an id").to_string()), ("8", text.clone()));
    }
}
