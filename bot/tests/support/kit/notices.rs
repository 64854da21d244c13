//! What the service says of itself, asked by a peer.

use eitherway_testkit::{Peer, holds_within, wait_until};
use serde_json::Value;

use super::SOON;

/// Its answer to a ping.
pub(crate) async fn ping(peer: &Peer) -> Value {
    peer.request("rosey.db.ping", "").await.json()
}

/// What is in the way, as JSON: `[]` if nothing is.
pub(crate) async fn notices(peer: &Peer) -> String {
    ping(peer).await["notices"].to_string()
}

/// Waits until something is in the way that is described with these words, for [`SOON`] at most.
pub(crate) async fn noticed(peer: &Peer, words: &str) {
    let seen = holds_within(SOON, || async { notices(peer).await.contains(words) }).await;
    assert!(seen, "within {SOON:?} not noticed: {words}; {}", notices(peer).await);
}

/// Waits until nothing is in the way.
pub(crate) async fn all_clear(peer: &Peer) {
    wait_until("nothing is in the way", || async { notices(peer).await == "[]" }).await;
}
