//! One message of the stream: applied, then acknowledged. It is begun in the order of the stream, and may end in any.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::Message;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::ack::{ACK, AckInfo, NAK, say};
use super::attempt::{Attempt, Delivery, End, First};
use crate::clock;
use crate::error::{Cause, Code};
use crate::nats::bundle::operations::{self, Entry};
use crate::nats::wire;
use crate::operation::{Kind, Operation};
use crate::request::{Head, Received, Request};
use crate::service::counters::count;
use crate::service::work_limit::WorkPermit;
use crate::service::{Shared, bundle};
use crate::store::Store;
use crate::store::dead_letter::UNKNOWN_SUBJECT;

/// A message that is begun.
pub(super) struct Begun<O: Operation, D: Store<O>> {
    message: Message,
    info: AckInfo,
    since: Instant,
    content: Content<O, D>,
}

/// What is in it.
enum Content<O: Operation, D: Store<O>> {
    One(Part<O, D>),
    Bundle(Vec<Entry>),
}

/// One operation.
struct Part<O: Operation, D: Store<O>> {
    /// Which operation it is, if it is one.
    index: Option<usize>,
    /// Why it cannot be read, if so.
    first: Result<First<O, D>, Cause>,
}

impl<O: Operation, D: Store<O>> Begun<O, D> {
    /// How many operations it has.
    pub(super) const fn operations(&self) -> usize {
        match &self.content {
            Content::One(_) => 1,
            Content::Bundle(entries) => entries.len(),
        }
    }
}

/// Reads a message, and hands it to the database. Where they are begun one by one, they come there in order. What comes in a bundle
/// has ids and times, and needs no order.
pub(super) fn begin<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    message: Message,
    info: AckInfo,
) -> Begun<O, D> {
    let since = Instant::now();
    let arrival = arrival(shared, &info);
    let content = if shared.names.is_of_bundles(&message.subject) {
        match operations::read(&message.payload, arrival) {
            Ok(entries) => Content::Bundle(entries),
            Err(cause) => Content::One(Part { index: None, first: Err(cause) }),
        }
    } else {
        // An event of a later version, or the stream was given other subjects by hand.
        let none = || Cause::new(Code::INVALID, UNKNOWN_SUBJECT);
        let index = shared.names.index(&message.subject).ok_or_else(none);
        let (headers, payload) = (message.headers.as_ref(), &message.payload);
        let head = || wire::head_or(headers, payload, arrival, || info.id());
        Content::One(part(shared, &info, index, head, payload))
    };
    Begun { message, info, since, content }
}

/// When it was stored. A server whose clock is far ahead has claimed nothing: then it is the time here, in the order of the stream
/// still.
fn arrival<O: Operation, D: Store<O>>(shared: &Shared<O, D>, info: &AckInfo) -> i64 {
    let tolerance = i64::try_from(shared.db.future_tolerance().as_millis()).unwrap_or(i64::MAX);
    let ahead = info.arrival() > clock::now().saturating_add(tolerance);
    if ahead { clock::issue() } else { info.arrival() }
}

/// Hands one operation to the database.
fn part<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    info: &AckInfo,
    index: Result<usize, Cause>,
    head: impl FnOnce() -> Result<Head, Cause>,
    payload: &[u8],
) -> Part<O, D> {
    let read = |index| {
        // It was acknowledged when it was stored: now it is applied, however late.
        let head = Head { deadline: None, ..head()? };
        let received = Received::new(info.arrival(), usize::MAX);
        Ok(Request::with_head(head, O::decode(index, payload)?).with_received(received))
    };
    let first = index.clone().and_then(read).map(|request| match shared.outage.enter(0) {
        Ok(permit) => First::Called(permit, shared.db.clone().call(request)),
        Err(pending) => First::Waits(pending, request),
    });
    Part { index: index.ok(), first }
}

/// Applies a message, or keeps it as a dead letter; then acknowledges it. What the database's environment refuses is
/// tried again until it is applied, or until `stop`: then the stream gets it back. Returns whether it is done. While it only
/// waits, its place is free for others.
pub(super) async fn apply<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    (begun, free): (Begun<O, D>, Option<WorkPermit>),
    stop: &CancellationToken,
    ack_wait: Duration,
) -> bool {
    let Begun { message, info, since, content } = begun;
    let Some(reply) = message.reply.clone() else { return true };
    let delivery = Delivery { shared, message: &message, info, reply: &reply, stop, ack_wait, since };
    let ends = match content {
        Content::One(part) => vec![delivery.one(part, free, None).await],
        Content::Bundle(entries) => {
            // Each has a place of its own.
            drop(free);
            join_all(entries.iter().map(|entry| delivery.of_bundle(entry))).await
        }
    };
    let done = ends.iter().all(|(_, end)| !matches!(end, End::Returned));
    if done {
        // Before the stream can be seen without it.
        shared.progress.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    say(&shared.client, &reply, if done { ACK } else { NAK }).await;
    for (index, end) in ends {
        let Some(counters) = index.map(|index| shared.counters.of(index)) else { continue };
        match end {
            End::Applied => count(&counters.done),
            End::Returned => count(&counters.returned),
            End::DeadLettered { new } => {
                count(&counters.refused);
                if new {
                    count(&counters.buried);
                }
            }
        }
        counters.took(since.elapsed());
    }
    done
}

impl<O: Operation, D: Store<O>> Delivery<'_, O, D> {
    /// One operation of it, as one that came alone.
    async fn of_bundle(&self, entry: &Entry) -> (Option<usize>, End) {
        let free = self.shared.work_limit.enter().await;
        let index = match bundle::index::<O>(&entry.name) {
            Some(index) if O::SPECS[index].kind == Kind::Event => Ok(index),
            Some(_) => Err(Cause::new(Code::INVALID, "it is no event")),
            // A newer version may know it.
            None => Err(Cause::new(Code::UNKNOWN_OPERATION, "no event has this name")),
        };
        let payload = &self.message.payload[entry.payload.clone()];
        let part = part(self.shared, &self.info, index, || entry.head.clone(), payload);
        self.one(part, Some(free), Some(entry)).await
    }

    async fn one(
        &self,
        Part { index, first }: Part<O, D>,
        free: Option<WorkPermit>,
        entry: Option<&Entry>,
    ) -> (Option<usize>, End) {
        let Self { shared, stop, .. } = *self;
        if let Some(index) = index {
            count(&shared.counters.of(index).taken);
        }
        let mut attempt = Attempt { delivery: self, shared, entry, free, kept_alive: self.since };
        let name = index.map_or("unknown", |index| O::SPECS[index].name);
        let end = match first {
            Ok(first) => attempt.perform(name, first, stop).await,
            Err(cause) => attempt.keep_dead_letter(name, cause, stop).await,
        };
        (index, end)
    }
}
