//! Takes messages of the consumer, a batch at a time: the requests for more, their ends, and the heartbeats between.
//!
//! The library's stream of messages cannot be told to ask for nothing more and to hand over the rest; at the end of a
//! service that rest would lie unacknowledged for the whole of `ack_wait`.

use std::time::Duration;

use async_nats::{Client, Message, StatusCode, Subscriber};
use futures_util::StreamExt;
use serde_json::json;
use tokio::time::{self, Instant};

use super::declare::CONSUMER;
use crate::service::leave::leave;

/// How many bytes are asked for at once.
const BYTES: usize = 4 << 20;

/// How long the server keeps a request for more.
const EXPIRES: Duration = Duration::from_secs(30);
/// How often the server says that it is still there while it has nothing.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// After so long without a word something is wrong.
const SILENCE: Duration = Duration::from_secs(5);
/// After so long without a message, at the end, there are none.
const QUIET: Duration = Duration::from_millis(100);

/// What comes.
pub(super) enum Came {
    Message(Message),
    /// Nothing more will come this way, and why.
    Lost(String),
    /// All that had been asked for has come.
    Finished,
}

pub(super) struct Pull {
    client: Client,
    subscriber: Subscriber,
    inbox: String,
    subject: String,
    batch: usize,
    /// How many have been asked for and have not come.
    asked: usize,
    /// The next message is larger than what may be asked for: it is asked for alone.
    large: bool,
    /// A message has come since a request ended.
    some: bool,
    heard: Instant,
    finishing: bool,
}

impl Pull {
    pub(super) async fn open(client: &Client, stream: &str, batch: usize) -> Result<Self, String> {
        let inbox = client.new_inbox();
        let subscriber = client.subscribe(inbox.clone()).await.map_err(|e| e.to_string())?;
        Ok(Self {
            client: client.clone(),
            subscriber,
            inbox,
            subject: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{CONSUMER}"),
            batch,
            asked: 0,
            large: false,
            some: false,
            heard: Instant::now(),
            finishing: false,
        })
    }

    /// Asks for nothing more from now on. What has been asked for still comes, and is to be taken: a message that the
    /// server sends in the moment in which nobody listens any more would lie there for the whole of `ack_wait`.
    pub(super) fn finish(&mut self) {
        self.finishing = true;
        self.heard = Instant::now();
    }

    /// Waits for the next message, and asks for more in time. Cancel safe.
    pub(super) async fn next(&mut self) -> Came {
        loop {
            if self.finishing && self.asked == 0 {
                return Came::Finished;
            }
            if !self.finishing
                && self.asked <= self.batch / 2
                && let Err(e) = self.ask(self.batch - self.asked).await
            {
                return Came::Lost(e);
            }
            let patience = if self.finishing { QUIET } else { SILENCE };
            let message = match time::timeout_at(self.heard + patience, self.subscriber.next()).await {
                Ok(Some(message)) => message,
                Ok(None) => return Came::Lost("the subscription has ended".to_owned()),
                Err(_) if self.finishing => return Came::Finished,
                Err(_) => return Came::Lost(format!("no word of the consumer for {SILENCE:?}")),
            };
            self.heard = Instant::now();
            // The consumer itself speaks to the inbox; a message has the subject that it was sent to, whatever status its
            // sender has given it.
            match message.status.filter(|_| *message.subject == *self.inbox) {
                None | Some(StatusCode::OK) => {
                    self.asked = self.asked.saturating_sub(1);
                    self.some = true;
                    return Came::Message(message);
                }
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                Some(StatusCode::NO_RESPONDERS) => return Came::Lost("there is no consumer".to_owned()),
                Some(status) => {
                    let said = message.description.clone().unwrap_or_default();
                    if said.contains("Deleted") || said.contains("push based") {
                        return Came::Lost(said);
                    }
                    tracing::trace!("a request for more ended: {status} {said}");
                    // Nothing of it has come: the next message does not fit.
                    self.large |= said.contains("Exceeds MaxBytes") && !std::mem::take(&mut self.some);
                    // Without a number, all that was asked for is off.
                    let left = message.headers.as_ref().and_then(|h| h.get("Nats-Pending-Messages"));
                    let left = left.and_then(|n| n.as_str().parse().ok()).unwrap_or(self.asked);
                    self.asked = self.asked.saturating_sub(left);
                }
            }
        }
    }

    async fn ask(&mut self, batch: usize) -> Result<(), String> {
        let large = std::mem::take(&mut self.large);
        let batch = if large { 1 } else { batch };
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut body = json!({"batch": batch, "expires": nanos(EXPIRES), "idle_heartbeat": nanos(HEARTBEAT)});
        if !large {
            body["max_bytes"] = BYTES.into();
        }
        // Counted before it is sent: cancelled in between, it is only asked for late.
        self.asked += batch;
        let sent =
            self.client.publish_with_reply(self.subject.clone(), self.inbox.clone(), body.to_string().into());
        sent.await.map_err(|e| e.to_string())
    }

    /// Asks for nothing more, and hands over what is on its way already. What is lost here all the same, because there is
    /// no connection, is delivered again.
    pub(super) async fn close(mut self) -> Vec<Message> {
        let mut rest = leave(&self.client, &mut self.subscriber).await;
        let own = |message: &Message| *message.subject == *self.inbox;
        rest.retain(|message| message.status.is_none_or(|status| status == StatusCode::OK) || !own(message));
        rest
    }
}
