//! The end of a subscription: what the server has sent until then is not lost.
//!
//! The client library's `drain` forgets the subscription with whatever comes or goes next on the connection. Under load
//! that is before the server has heard of it, and what it sends in between is dropped without a word.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Message, Subscriber};
use futures_util::{FutureExt, StreamExt};
use tokio::task::coop::unconstrained;
use tokio::time;

use super::subscription::flush_subscriptions;

/// "After N messages" is how a client says both that it wants no more and how many it still takes. A server counts
/// to nine digits, reads anything longer as no number at all, and sends nothing more from that moment on; the client library
/// counts so far, and hands over what was sent before.
const NO_MORE: u64 = u64::MAX;

/// How long the server may take to read it.
const LIMIT: Duration = Duration::from_secs(1);

/// Ends a subscription; returns what the server had sent until it knew. Without a connection nothing says that this was
/// all: then it is what has arrived already.
pub(super) async fn drain_subscription(client: &Client, subscriber: &mut Subscriber) -> Vec<Message> {
    let unsubscribed = subscriber.unsubscribe_after(NO_MORE).await.is_ok();
    if unsubscribed && client.connection_state() == State::Connected {
        // What was sent before comes before this comes back.
        let _ = time::timeout(LIMIT, flush_subscriptions(client)).await;
    }
    let mut rest = Vec::new();
    // Outside of tokio's budget: it would say "nothing more" in the middle.
    while let Some(Some(message)) = unconstrained(subscriber.next()).now_or_never() {
        rest.push(message);
    }
    // Already unknown to the server; a client that is closed has nothing to forget.
    let _ = subscriber.unsubscribe().await;
    rest
}
