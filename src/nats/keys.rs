//! The deduplication keys that are sent to a stream.

use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::LazyLock;
use uuid::Uuid;

use crate::headers::OPERATION_ID;
use crate::request::OpId;

/// Whether a service reads an operation's id from the header in which it is sent: it names that header in its ping. A service
/// that names none, or a former one, takes the stream's key for the id.
#[must_use]
pub(crate) fn understood(header: &str) -> bool {
    header == OPERATION_ID.name
}

/// The secret of this process. Without it, a peer that knows which event is about to be sent could send
/// another message under the same key first, and the stream would drop the event as a duplicate.
static SECRET: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let mut secret = [0; 32];
    secret[..16].copy_from_slice(Uuid::now_v7().as_bytes());
    secret[16..].copy_from_slice(Uuid::now_v7().as_bytes());
    secret
});

/// The key of one operation, for the header `Nats-Msg-Id`. It covers the id, the operation's name and its
/// payload (without the time, as in the ledger), so that a stream drops only repeats of exactly this
/// operation. Another process computes another key: the stream then stores the repeat, and the ledger
/// recognises it.
///
/// The key contains a tab, so that a service that knows only `Nats-Msg-Id` refuses it instead of taking it
/// for an id.
#[must_use]
pub(crate) fn key(id: &OpId, name: &str, payload: &[u8]) -> String {
    let id = id.to_string();
    let mut hash = Sha256::new();
    hash.update(*SECRET);
    for part in [id.as_bytes(), name.as_bytes(), payload] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut key = String::with_capacity(36);
    key.push_str("op\t");
    for byte in &hash.finalize()[..16] {
        // Writing into a `String` does not fail.
        let _ = write!(key, "{byte:02x}");
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_for_one_operation_and_is_no_id() {
        let id = |text| OpId::parse(text).expect(text);
        let one = key(&id("a"), "note_taken", b"{}");
        assert_eq!(one, key(&id("a"), "note_taken", b"{}"));
        for other in [
            key(&id("b"), "note_taken", b"{}"),
            key(&id("a"), "item_added", b"{}"),
            key(&id("a"), "note_taken", b"{ }"),
            key(&id("am"), "essage_log", b"{}"),
        ] {
            assert_ne!(one, other);
        }
        assert!(OpId::parse(&one).is_err(), "an older service must refuse it");
        assert!(understood("Eitherway-Operation-Id") && !understood("Rosey-Operation-Id") && !understood(""));
    }
}
