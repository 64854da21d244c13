//! Takes messages of the consumer, a batch at a time: the requests for more, their ends, and the heartbeats between.
//!
//! The library's stream of messages cannot be told to ask for nothing more and to hand over the rest; at the end of a
//! service that rest would lie unacknowledged for the whole of `ack_wait`.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::{Client, Message, StatusCode, Subscriber};
use futures_util::StreamExt;
use serde_json::json;
use tokio::time::{self, Instant};

use super::declare::CONSUMER;
use super::pull_limits::Limits;
use crate::service::drain::drain_subscription;

/// How many bytes are asked for at once.
const BYTES: u64 = 2 << 20;

/// How often the server says that it is still there while it has nothing.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// After so long without a word something is wrong.
const SILENCE: Duration = Duration::from_secs(5);
/// The pause after a request that was refused, or that ended as soon as it came.
const BACK_OFF: Duration = Duration::from_millis(500);
/// How many requests are remembered by their size.
const REMEMBERED: usize = 16;
/// After so long without a message, at the end, there are none.
const QUIET: Duration = Duration::from_millis(100);

/// What comes.
pub(super) enum PullEvent {
    Message(Message),
    /// A request for more was refused, and why. The next one follows after a pause, and asks for less if that helps.
    Refused(String),
    /// What a peer has published to our inbox: no message of the stream, whatever it says.
    Stray(Message),
    /// Nothing more will come this way, and why.
    Lost(String),
    /// All that had been asked for has come.
    Finished,
}

/// What the end of a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Its time or its size is up.
    Usual,
    /// The server does not accept it.
    Refused,
    /// Nothing more comes from this consumer.
    Lost,
}

impl Ended {
    fn read(status: StatusCode, said: &str) -> Self {
        const LOST: [&str; 4] = ["Deleted", "push based", "Leadership Change", "Server Shutdown"];
        const USUAL: [&str; 3] = ["Batch Completed", "Message Size Exceeds MaxBytes", "Interest Expired"];
        match status.as_u16() {
            404 | 408 => Self::Usual,
            503 => Self::Lost,
            409 if LOST.iter().any(|text| said.contains(text)) => Self::Lost,
            409 if USUAL.iter().any(|text| said.contains(text)) => Self::Usual,
            _ => Self::Refused,
        }
    }
}

pub(super) struct Pull {
    client: Client,
    subscriber: Subscriber,
    inbox: String,
    subject: String,
    batch: usize,
    limits: Limits,
    /// The number of the last request, and how large the last ones were: each is answered on a subject of its own.
    last: u64,
    sizes: VecDeque<(u64, usize)>,
    /// When was asked last, and whether a message has come since.
    asked_at: Instant,
    came: bool,
    not_before: Instant,
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
    pub(super) async fn open(
        client: &Client,
        stream: &str,
        batch: usize,
        limits: Limits,
    ) -> Result<Self, String> {
        let inbox = client.new_inbox();
        let subscriber = client.subscribe(format!("{inbox}.*")).await.map_err(|e| e.to_string())?;
        let now = Instant::now();
        Ok(Self {
            client: client.clone(),
            subscriber,
            inbox,
            subject: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{CONSUMER}"),
            batch,
            limits,
            last: 0,
            sizes: VecDeque::new(),
            asked_at: now,
            came: true,
            not_before: now,
            asked: 0,
            heard: now,
            large: false,
            some: false,
            finishing: false,
        })
    }

    /// How much may be asked for, as far as that is known by now.
    pub(super) const fn limits(&self) -> Limits {
        self.limits
    }

    /// Asks for nothing more from now on. What has been asked for still comes, and is to be taken: a message that the
    /// server sends in the moment in which the subscription has ended would lie there for the whole of `ack_wait`.
    pub(super) fn finish(&mut self) {
        self.finishing = true;
        self.heard = Instant::now();
    }

    /// Waits for the next message, and asks for more in time. Cancel safe.
    pub(super) async fn next(&mut self) -> PullEvent {
        loop {
            if self.finishing && self.asked == 0 {
                return PullEvent::Finished;
            }
            let batch = self.batch.min(self.limits.batch).max(1);
            let short = self.asked <= if self.limits.one { 0 } else { batch / 2 };
            let wants = !self.finishing && short;
            if wants
                && Instant::now() >= self.not_before
                && let Err(e) = self.ask(batch - self.asked.min(batch - 1)).await
            {
                return PullEvent::Lost(e);
            }
            let wants = wants && self.asked < batch && Instant::now() < self.not_before;
            let silent = self.heard + if self.finishing { QUIET } else { SILENCE };
            let until = match (wants, self.asked) {
                (true, 0) => self.not_before,
                (true, _) => silent.min(self.not_before),
                (false, _) => silent,
            };
            let message = match time::timeout_at(until, self.subscriber.next()).await {
                Ok(Some(message)) => message,
                Ok(None) => return PullEvent::Lost("the subscription has ended".to_owned()),
                Err(_) if self.finishing => return PullEvent::Finished,
                Err(_) if wants && Instant::now() >= self.not_before => continue,
                Err(_) => return PullEvent::Lost(format!("no word of the consumer for {SILENCE:?}")),
            };
            self.heard = Instant::now();
            // The consumer itself speaks to the inbox; a message has the subject that it was sent to, whatever status its
            // sender has given it.
            let own = self.is_own(&message);
            match message.status.filter(|_| own) {
                None | Some(StatusCode::OK) if own => return PullEvent::Stray(message),
                None | Some(StatusCode::OK) => {
                    self.asked = self.asked.saturating_sub(1);
                    self.came = true;
                    self.some = true;
                    return PullEvent::Message(message);
                }
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                Some(status) => {
                    let said = message.description.clone().unwrap_or_default();
                    if let Some(came) = self.ended(status, &said, &message) {
                        return came;
                    }
                }
            }
        }
    }

    /// Whether it was sent to the inbox, and so is no message of the stream.
    fn is_own(&self, message: &Message) -> bool {
        message.subject.strip_prefix(self.inbox.as_str()).is_some_and(|rest| rest.starts_with('.'))
    }

    /// A request has ended; what has to be said of it.
    fn ended(&mut self, status: StatusCode, said: &str, message: &Message) -> Option<PullEvent> {
        let ended = Ended::read(status, said);
        if status == StatusCode::NO_RESPONDERS {
            return Some(PullEvent::Lost("there is no consumer".to_owned()));
        }
        if ended == Ended::Lost {
            return Some(PullEvent::Lost(said.to_owned()));
        }
        tracing::trace!("a request for more ended: {status} {said}");
        // Without a number, all that this one asked for is off.
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse::<u64>().ok());
        let size = self.sizes.iter().find(|(known, _)| Some(*known) == number).map(|(_, size)| *size);
        let left = message.headers.as_ref().and_then(|h| h.get("Nats-Pending-Messages"));
        let left = left.and_then(|n| n.as_str().parse().ok()).or(size).unwrap_or(self.asked);
        self.asked = self.asked.saturating_sub(left);
        // Only of the newest request it is known whether anything came of it.
        let newest = number.is_none_or(|number| number == self.last);
        let at_once =
            newest && !self.came && !said.contains("Batch Completed") && self.asked_at.elapsed() < BACK_OFF;
        // Nothing of it has come: the next message does not fit.
        let too_large = said.contains("Exceeds MaxBytes") && !std::mem::take(&mut self.some);
        self.large |= too_large;
        if ended == Ended::Refused || (at_once && !too_large) {
            self.not_before = self.asked_at + BACK_OFF;
        }
        if ended != Ended::Refused {
            return None;
        }
        if self.limits.learn(said) {
            tracing::info!("a request for more was refused ({said}); the next ones ask for less");
            return None;
        }
        Some(PullEvent::Refused(format!("{status} {said}")))
    }

    async fn ask(&mut self, batch: usize) -> Result<(), String> {
        let large = std::mem::take(&mut self.large);
        let batch = if large { 1 } else { batch };
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let Limits { expires, max_bytes, .. } = self.limits;
        let heartbeat = HEARTBEAT.min(expires / 4);
        let mut body = json!({"batch": batch, "expires": nanos(expires), "idle_heartbeat": nanos(heartbeat)});
        match max_bytes {
            Some(bytes) => body["max_bytes"] = bytes.min(BYTES).into(),
            None if !large => body["max_bytes"] = BYTES.into(),
            None => {}
        }
        let now = Instant::now();
        if self.asked == 0 {
            // Until now nothing was to be heard.
            self.heard = now;
        }
        // Counted before it is sent: cancelled in between, it is only asked for late.
        self.asked += batch;
        (self.asked_at, self.came) = (now, false);
        self.last += 1;
        self.sizes.push_back((self.last, batch));
        if self.sizes.len() > REMEMBERED {
            self.sizes.pop_front();
        }
        let reply = format!("{}.{}", self.inbox, self.last);
        let sent = self.client.publish_with_reply(self.subject.clone(), reply, body.to_string().into());
        sent.await.map_err(|e| e.to_string())
    }

    /// Asks for nothing more, and hands over what is on its way already. What is lost here all the same, because there is
    /// no connection, is delivered again.
    pub(super) async fn close(mut self) -> Vec<Message> {
        let mut rest = drain_subscription(&self.client, &mut self.subscriber).await;
        rest.retain(|message| !self.is_own(message));
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_of_a_request_is_known_by_name_or_is_a_refusal() {
        let read = |code, said| Ended::read(StatusCode::from_u16(code).expect("a status"), said);
        for (code, said) in [(404, "No Messages"), (408, "Request Timeout"), (409, "Batch Completed")] {
            assert_eq!(read(code, said), Ended::Usual, "{said}");
        }
        for said in ["Consumer Deleted", "Consumer is push based", "Leadership Change", "Server Shutdown"] {
            assert_eq!(read(409, said), Ended::Lost, "{said}");
        }
        for (code, said) in [
            (400, "Bad Request - Priority Group missing"),
            (409, "Exceeded MaxRequestBatch of 100"),
            (409, "something new"),
            (423, "Nats-Wrong-Pin-Id"),
            (500, ""),
        ] {
            assert_eq!(read(code, said), Ended::Refused, "{said}");
        }
    }
}
