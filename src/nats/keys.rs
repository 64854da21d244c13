//! By what a stream may know that an event is a repeat.

use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::LazyLock;
use uuid::Uuid;

use super::wire;
use crate::request::OpId;

/// The name of the header from which a service reads an operation's id, as it says in its ping. A service that says
/// nothing takes the stream's key for the id.
#[must_use]
pub fn understood(header: &str) -> bool {
    header == wire::OPERATION_ID.to_string()
}

/// The secret of this process. Without it a peer who knows what is going to be sent could send something else under
/// that key first, and the stream would drop the event as its repeat.
static SECRET: LazyLock<[u8; 32]> = LazyLock::new(|| {
    let mut secret = [0; 32];
    secret[..16].copy_from_slice(Uuid::now_v7().as_bytes());
    secret[16..].copy_from_slice(Uuid::now_v7().as_bytes());
    secret
});

/// The key of one operation, for the header `Nats-Msg-Id`: of its id, its name and its payload (without the time, as in
/// the ledger), so that what a stream drops as a repeat is the very same operation and nothing else. Another process
/// has another key for it: then the stream stores the repeat, and the ledger knows it.
///
/// It holds a tab: a service that knows only `Nats-Msg-Id` refuses it, instead of taking it for an id.
#[must_use]
pub fn key(id: &OpId, name: &str, payload: &[u8]) -> String {
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
        let one = key(&id("a"), "message_log", b"{}");
        assert_eq!(one, key(&id("a"), "message_log", b"{}"));
        for other in [
            key(&id("b"), "message_log", b"{}"),
            key(&id("a"), "user_joined", b"{}"),
            key(&id("a"), "message_log", b"{ }"),
            key(&id("am"), "essage_log", b"{}"),
        ] {
            assert_ne!(one, other);
        }
        assert!(OpId::parse(&one).is_err(), "an older service must refuse it");
        assert!(understood("Rosey-Operation-Id") && !understood(""));
    }
}
