//! What is sent to a namespace while it is not open: held until it is, or refused with the reason.

use async_nats::{Client, HeaderMap, Message};

use crate::error::{Cause, Code};
use crate::nats::names::{BUNDLES, Names};
use crate::nats::wire;
use crate::operation::{Kind, Operation};
use crate::service::counters::Served;
use crate::service::replies::Replies;
use crate::service::waiting::{Capacity, QueuePosition};

/// How many bytes are held of one namespace, at most.
pub(super) const MOST: usize = 1 << 20;

/// What a message wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wants {
    /// That of the operation of this index, which is an event or is none.
    Operation(usize, Kind),
    /// A sign of life, or to know what is applied, or several operations.
    Sign,
    /// Nothing that would be served.
    Nothing,
}

/// The messages.
pub(super) struct PendingMessages {
    room: Capacity,
    messages: Vec<(Message, QueuePosition, Since)>,
    /// Whether the stream takes events, as far as it is known: then they are there, and come from there.
    stored: Option<bool>,
}

/// When a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    /// Before it was known whether there is a stream.
    Before,
    After,
}

impl PendingMessages {
    pub(super) const fn new(room: Capacity) -> Self {
        Self { room, messages: Vec::new(), stored: None }
    }

    /// Whether the stream takes events now. What is found out before the namespace is opened holds for what came until then.
    pub(super) const fn stream_is_there(&mut self, stored: Option<bool>) {
        self.stored = stored;
    }

    /// Whether the sender of this wants the namespace to be open. Other instances look for a service that answers, and want
    /// nothing.
    pub(super) fn is_asked_by(&self, names: &Names, message: &Message) -> bool {
        wants(names, message) != Wants::Nothing
    }

    /// Keeps it until the namespace is open. Answers it again if there is no room.
    pub(super) fn keep(&mut self, mut message: Message) -> Option<Message> {
        let Some(place) = self.room.take(&mut message) else { return Some(message) };
        let since = if self.stored.is_none() { Since::Before } else { Since::After };
        self.messages.push((message, place, since));
        None
    }

    /// Sends all of it again, now that the service listens. What a stream stores as well is done from there: an event of a peer that
    /// gives no id would take effect twice.
    pub(super) async fn forward(&mut self, names: &Names, client: &Client, stored_now: bool) {
        let stored_before = self.stored.unwrap_or(false);
        for (message, _place, since) in std::mem::take(&mut self.messages) {
            if matches!(wants(names, &message), Wants::Operation(_, Kind::Event)) {
                let named = wire::names_id(message.headers.as_ref());
                if stored_before || (stored_now && since == Since::After && !named) {
                    continue;
                }
            }
            let Message { subject, reply, payload, headers, .. } = message;
            let sent = match (reply, headers) {
                (Some(reply), Some(headers)) => {
                    client.publish_with_reply_and_headers(subject, reply, headers, payload).await
                }
                (Some(reply), None) => client.publish_with_reply(subject, reply, payload).await,
                (None, Some(headers)) => client.publish_with_headers(subject, headers, payload).await,
                (None, None) => client.publish(subject, payload).await,
            };
            if let Err(e) = sent {
                tracing::warn!("what was sent while the namespace was opened is lost: {e}");
            }
        }
    }

    /// Refuses all of it.
    pub(super) async fn refuse_all<O: Operation>(
        &mut self,
        to: (&Names, &Replies, &Client),
        why: &str,
    ) -> Served {
        let mut served = Served::default();
        for (message, ..) in std::mem::take(&mut self.messages) {
            served = served.and(self.refuse::<O>(to, &message, why).await);
        }
        served
    }

    /// Refuses a message; counts it.
    pub(super) async fn refuse<O: Operation>(
        &self,
        (names, replies, client): (&Names, &Replies, &Client),
        message: &Message,
        why: &str,
    ) -> Served {
        let operation = match wants(names, message) {
            // It is acknowledged by the stream, and waits there.
            Wants::Operation(_, Kind::Event) if self.stored == Some(true) => return Served::default(),
            Wants::Operation(index, _) => Some(&O::SPECS[index]),
            Wants::Sign => None,
            Wants::Nothing => return Served::default(),
        };
        if let Ok(Some(to)) = replies.of(message) {
            let cause = Cause::new(Code::UNAVAILABLE, why.to_owned());
            let (mut headers, body) = wire::refusal_within("", operation, &cause, client.max_payload());
            wire::name_operation(&mut headers, message);
            if let Err(e) = client.publish_with_headers(to.subject(), headers, body.into()).await {
                tracing::debug!("a refusal could not be sent: {e}");
            }
        }
        let Some(spec) = operation else { return Served::default() };
        let failed = u64::from(message.reply.is_some());
        // Where it is not known whether a stream has it, it may be there.
        let lost = u64::from(failed == 0 && spec.writes() && self.stored == Some(false));
        Served { taken: failed + lost, failed, lost, ..Served::default() }
    }
}

fn wants(names: &Names, message: &Message) -> Wants {
    let looks = |headers: &HeaderMap| headers.get(wire::LOOK).is_some();
    if message.headers.as_ref().is_some_and(looks) {
        return Wants::Nothing;
    }
    match names.operations().find(|(_, _, subject)| **subject == message.subject) {
        Some((index, spec, _)) => Wants::Operation(index, spec.kind),
        None => match names.word(&message.subject) {
            Some("ping" | "applied" | BUNDLES) => Wants::Sign,
            _ => Wants::Nothing,
        },
    }
}
