//! What leaves a client: alone at once, or with what waits in the queue beside it. The queue never waits for more: it is sent
//! as soon as the tasks that can run have run.

use std::future::{Future, poll_fn};
use std::mem::take;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use async_nats::client::PublishErrorKind;
use async_nats::connection::State;
use async_nats::message::OutboundMessage;
use async_nats::{Client, HeaderMap, HeaderValue, Subject};
use futures_util::SinkExt;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::{coop::unconstrained, yield_now};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Offer, operations};
use crate::error::{Cause, Code};
use crate::nats::health::{Health, Route};
use crate::nats::inbox::{Inbox, ReplyFrom};
use crate::nats::names::Names;
use crate::nats::{keys, wire};
use crate::operation::{Kind, Spec};
use crate::request::Head;

/// How many bytes of payloads may wait in the queue; beyond that an operation is refused.
const BYTES: usize = 8 << 20;
/// What the headers of a bundle may need, of what the server takes in one message.
const HEADERS: usize = 512;

/// An operation that is to be sent.
#[derive(Debug)]
pub(in crate::nats) struct Queued {
    pub(in crate::nats) head: Head,
    pub(in crate::nats) spec: &'static Spec,
    pub(in crate::nats) subject: Subject,
    pub(in crate::nats) payload: Box<[u8]>,
    /// Where it is sent to.
    pub(in crate::nats) way: Route,
    /// Its place in the inbox.
    pub(in crate::nats) key: usize,
    pub(in crate::nats) token: u64,
    /// Its reply subject, where it travels alone.
    pub(in crate::nats) reply: String,
}

/// The way out, shared by all requests of a client.
#[derive(Debug)]
pub(in crate::nats) struct Outgoing {
    pub(in crate::nats) client: Client,
    pub(in crate::nats) names: Arc<Names>,
    pub(in crate::nats) inbox: Arc<Inbox>,
    pub(in crate::nats) health: Arc<Health>,
    /// The header that keeps events out of any other stream.
    stream: HeaderValue,
    queue: Mutex<Vec<Queued>>,
    bytes: AtomicUsize,
    /// How many may wait in the queue.
    most: usize,
    filled: Notify,
}

impl Outgoing {
    pub(in crate::nats) fn new(
        client: Client,
        names: Arc<Names>,
        inbox: Arc<Inbox>,
        health: Arc<Health>,
        most: usize,
    ) -> Self {
        let stream = HeaderValue::from(names.stream.as_str());
        let (queue, bytes, filled) = (Mutex::default(), AtomicUsize::new(0), Notify::new());
        Self { client, names, inbox, health, stream, queue, bytes, most, filled }
    }

    /// Sends an operation alone.
    pub(in crate::nats) fn alone(
        &self,
        head: &Head,
        spec: &Spec,
        (subject, reply): (Subject, String),
        payload: &[u8],
        way: Route,
    ) -> Result<(), Cause> {
        let mut headers = wire::head_to_headers(head);
        if way == Route::Stream {
            headers.insert(wire::EXPECTED_STREAM, self.stream.clone());
            if self.health.keyed() {
                headers.insert(wire::ID, keys::key(&head.id, spec.name, payload));
            }
        }
        let payload = wire::stamped(payload, spec, head.occurred_at);
        self.hand_over(subject, reply, headers, payload)
    }

    /// Puts an operation into the queue, which is sent next.
    pub(in crate::nats) fn enqueue(&self, one: Queued) -> Result<(), Cause> {
        let size = one.payload.len();
        let mut queue = self.queue.lock();
        if queue.len() >= self.most || self.bytes.load(Ordering::Relaxed) + size > BYTES {
            return Err(full());
        }
        self.bytes.fetch_add(size, Ordering::Relaxed);
        queue.push(one);
        if queue.len() == 1 {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Sends what is in the queue, whenever there is something, until the client ends.
    pub(in crate::nats) async fn run(self: Arc<Self>, ended: CancellationToken) {
        loop {
            tokio::select! {
                () = self.filled.notified() => {}
                () = ended.cancelled() => return,
            }
            // Those that an answer has just woken send first what they send next.
            yield_now().await;
            self.flush();
        }
    }

    fn flush(&self) {
        let mut all = take(&mut *self.queue.lock());
        self.bytes.fetch_sub(all.iter().map(|one| one.payload.len()).sum(), Ordering::Relaxed);
        self.inbox.keep_waiting(&mut all);
        // What arrives later has found out that by itself.
        if self.client.connection_state() != State::Connected {
            let cause = self.health.disconnected();
            return self.refuse(all.iter().map(|one| (one.key, one.token)), &cause);
        }
        let (events, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|one| one.spec.kind == Kind::Event);
        self.send(&events);
        self.send(&others);
    }

    /// Sends these, which are all events or all none, in as many messages as it takes.
    fn send(&self, mut all: &[Queued]) {
        while let Some(first) = all.first() {
            let offer = self.health.bundles(first.way).filter(|_| !self.is_denied(first.way));
            let (count, payload) = match offer {
                Some(offer) => self.fill(all, offer),
                None => (1, Vec::new()),
            };
            let (now, rest) = all.split_at(count);
            all = rest;
            let sent = match now {
                [one] => {
                    let to = (one.subject.clone(), one.reply.clone());
                    self.alone(&one.head, one.spec, to, &one.payload, one.way)
                }
                many => self.together(many, payload),
            };
            if let Err(cause) = sent {
                self.refuse(now.iter().map(|one| (one.key, one.token)), &cause);
            }
        }
    }

    /// How many of these fit into one message, one at least; and that message.
    fn fill(&self, all: &[Queued], offer: Offer) -> (usize, Vec<u8>) {
        let room = self.client.max_payload().saturating_sub(HEADERS);
        let most = room.min(offer.bytes).min(Offer::SENT.bytes);
        let count = offer.operations.clamp(1, Offer::SENT.operations);
        let way = all.first().map(|one| one.way);
        let mut bundle = Vec::new();
        for (n, one) in all.iter().enumerate().take(count) {
            let before = bundle.len();
            operations::write(&mut bundle, &one.head, one.spec.name, &one.payload);
            if bundle.len() > most || Some(one.way) != way {
                bundle.truncate(before);
                return (n.max(1), bundle);
            }
        }
        (all.len().min(count), bundle)
    }

    fn together(&self, all: &[Queued], payload: Vec<u8>) -> Result<(), Cause> {
        let Some(first) = all.first() else { return Ok(()) };
        let id = Uuid::now_v7().to_string();
        let mut headers = HeaderMap::new();
        headers.insert(wire::OPERATION_ID, id.as_str());
        let expects = match first.way {
            Route::Service => ReplyFrom::Service,
            Route::Stream => {
                headers.insert(wire::EXPECTED_STREAM, self.stream.clone());
                // A random one, which no peer can know before.
                headers.insert(wire::ID, format!("bundle\t{}", Uuid::new_v4()));
                ReplyFrom::Stream
            }
        };
        let subject = self.subject(first.way).clone();
        let members = all.iter().map(|one| (one.key, one.token)).collect();
        let events = first.spec.kind == Kind::Event;
        let Some(reply) = self.inbox.wait_for_bundle(&subject, expects, id, members, events) else {
            return Ok(());
        };
        self.hand_over(subject, reply, headers, payload)?;
        self.inbox.bundles.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn subject(&self, way: Route) -> &Subject {
        match way {
            Route::Service => &self.names.bundles,
            Route::Stream => &self.names.stored_bundles,
        }
    }

    /// Whether the server denies us bundles.
    pub(in crate::nats) fn is_denied(&self, way: Route) -> bool {
        self.health.denies(self.subject(way))
    }

    fn refuse(&self, all: impl Iterator<Item = (usize, u64)>, cause: &Cause) {
        all.for_each(|(key, token)| self.inbox.refuse(key, token, cause));
    }

    /// Hands a message to the connection.
    fn hand_over(
        &self,
        subject: Subject,
        reply: String,
        headers: HeaderMap,
        payload: Vec<u8>,
    ) -> Result<(), Cause> {
        // A sink must be ready before it takes an item. It is polled with a no-op waker, because a full queue
        // means that the server has stopped reading: the request is refused instead of waiting. The poll runs
        // outside tokio's cooperative budget, because a task that has used up its budget would see `Pending`
        // from an empty queue.
        let mut client = self.client.clone();
        let ready = std::pin::pin!(unconstrained(poll_fn(|cx| client.poll_ready_unpin(cx))));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Err(Cause::new(Code::UNAVAILABLE, "the NATS client is closed")),
            Poll::Pending => return Err(full()),
        }
        let message = OutboundMessage {
            subject,
            reply: Some(reply.into()),
            payload: payload.into(),
            headers: Some(headers),
        };
        client.start_send_unpin(message).map_err(|e| match e.kind() {
            PublishErrorKind::MaxPayloadExceeded => {
                Cause::new(Code::TOO_LARGE, "larger than the NATS server takes (max_payload)")
            }
            _ => Cause::new(Code::UNAVAILABLE, format!("the NATS client refused it: {e}")),
        })
    }
}

fn full() -> Cause {
    Cause::new(Code::UNAVAILABLE, "the NATS client's queue is full")
}
