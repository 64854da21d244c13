//! How the operations of a bundle are settled: together by the stream's acknowledgement, or each by its fate in an answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::{Message, StatusCode, Subject};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::Queued;
use super::answers::{self, Fate};
use crate::error::{Cause, Code};
use crate::nats::inbox::{Completion, Inbox, ReplyFrom, Waiters};
use crate::nats::stored::PubAck;
use crate::nats::wire;

/// What an answer to a bundle says of one operation of it.
#[derive(Debug)]
pub(in crate::nats) struct Settled {
    pub(in crate::nats) database: Option<Arc<str>>,
    pub(in crate::nats) fate: Fate<Bytes>,
}

/// A bundle whose answers are waited for, in the inbox.
#[derive(Debug)]
pub(in crate::nats) struct Slot {
    token: u64,
    asked: Subject,
    expects: ReplyFrom,
    /// The bundle's own id.
    id: String,
    /// Key and token of each operation that travels in it.
    members: Vec<(usize, u64)>,
    /// How many of them are waited for.
    pub(in crate::nats) open: usize,
}

/// The end of a wait.
type End = (oneshot::Sender<Completion>, Completion);

impl Inbox {
    /// Leaves those of these that are waited for.
    pub(super) fn keep_waiting(&self, all: &mut Vec<Queued>) {
        let waiters = self.waiters.lock();
        let waits =
            |one: &Queued| waiters.single.get(one.key).is_some_and(|waiter| waiter.token == one.token);
        all.retain(waits);
    }

    /// Ends the wait for an operation that was not sent.
    pub(super) fn refuse(&self, key: usize, token: u64, cause: &Cause) {
        let waiter = self.waiters.lock().take(key, token);
        if let Some(waiter) = waiter {
            settle((waiter.tx, Completion::Refused(cause.clone())));
        }
    }

    /// Registers a bundle of these operations, and answers its reply subject; none, if none of them is waited for.
    pub(super) fn wait_for_bundle(
        &self,
        asked: &Subject,
        expects: ReplyFrom,
        id: String,
        members: Vec<(usize, u64)>,
        events: bool,
    ) -> Option<String> {
        let token = self.token();
        let mut waiters = self.waiters.lock();
        let Waiters { single, bundles } = &mut *waiters;
        let entry = bundles.vacant_entry();
        let mut open = 0;
        for (key, token) in &members {
            if let Some(waiter) = single.get_mut(*key).filter(|waiter| waiter.token == *token) {
                waiter.bundle = Some(entry.key());
                waiter.asked = asked.clone();
                open += 1;
            }
        }
        let subject = self.bundle_subject(entry.key(), token, events);
        let slot = Slot { token, asked: asked.clone(), expects, id, members, open };
        (open > 0).then(|| {
            entry.insert(slot);
            subject
        })
    }

    /// Settles with an answer what it is an answer to.
    pub(in crate::nats) fn complete_bundle(&self, key: usize, token: u64, event: bool, message: Message) {
        let mut waiters = self.waiters.lock();
        let Some(slot) = waiters.bundles.get(key).filter(|slot| slot.token == token) else {
            drop(waiters);
            let fates = answers::read(&message.payload).map_or(1, |fates| fates.len() as u64);
            self.late.fetch_add(fates, Ordering::Relaxed);
            self.too_late(&message, event);
            self.others.note(&message);
            return;
        };
        let named = || wire::answered(&message).flatten().is_some_and(|id| id.to_string() == slot.id);
        let mut ends = Vec::with_capacity(slot.open);
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            waiters.end_bundle(key, &mut ends, || Completion::Unbundled);
        } else if wire::is_ours(&message) && named() {
            let late = answer(&mut waiters, key, &message, &mut ends);
            drop(waiters);
            if late > 0 {
                self.late.fetch_add(late, Ordering::Relaxed);
                self.too_late(&message, event);
            }
            return ends.into_iter().for_each(settle);
        } else if let Some(ack) = self.our_stream(slot.expects, &message) {
            waiters.end_bundle(key, &mut ends, || stored(&ack));
        } else {
            let asked = slot.asked.clone();
            drop(waiters);
            self.others.note(&message);
            self.foreign(&asked, &message);
            return;
        }
        drop(waiters);
        ends.into_iter().for_each(settle);
    }
}

fn settle((tx, completion): End) {
    // The receiver may be gone already.
    let _ = tx.send(completion);
}

/// What a stream's acknowledgement means for each operation. A stream that was given another limit may take each of them alone.
fn stored(ack: &PubAck) -> Completion {
    match ack.clone().stored() {
        Err(cause) if cause.code() == Code::TOO_LARGE => Completion::Unbundled,
        _ => Completion::Stored(ack.clone()),
    }
}

/// Settles what the service answers; returns how many were not waited for any more.
fn answer(waiters: &mut Waiters, key: usize, message: &Message, ends: &mut Vec<End>) -> u64 {
    if let Some(cause) = wire::refusal(message) {
        // Nothing of it was done. One that does not know bundles, or cannot read this one, may take each operation alone.
        let alone = [Code::UNKNOWN_OPERATION, Code::TOO_LARGE, Code::INVALID].contains(&cause.code());
        let how = || if alone { Completion::Unbundled } else { Completion::Refused(cause.clone()) };
        waiters.end_bundle(key, ends, how);
        return 0;
    }
    let Some(fates) = answers::read(&message.payload) else {
        let cause = Cause::new(Code::UNREADABLE, "the answer to a bundle cannot be read");
        waiters.end_bundle(key, ends, || Completion::Refused(cause.clone()));
        return 0;
    };
    let database: Option<Arc<str>> = wire::database(message).map(Into::into);
    let mut late = 0;
    for (n, fate) in fates {
        let member = waiters.bundles.get(key).and_then(|slot| slot.members.get(n).copied());
        let waiter = member.and_then(|(member, token)| waiters.take(member, token));
        let Some(waiter) = waiter else {
            late += 1;
            continue;
        };
        let fate = match fate {
            Fate::Done => Fate::Done,
            Fate::Answered { body, omitted } => Fate::Answered { body: message.payload.slice(body), omitted },
            Fate::Refused(cause) => Fate::Refused(cause),
        };
        ends.push((waiter.tx, Completion::Bundled(Settled { database: database.clone(), fate })));
    }
    late
}

impl Waiters {
    /// Ends the wait for every operation of a bundle.
    fn end_bundle(&mut self, key: usize, ends: &mut Vec<End>, how: impl Fn() -> Completion) {
        let members = self.bundles.get_mut(key).map(|slot| std::mem::take(&mut slot.members));
        for (member, token) in members.into_iter().flatten() {
            if let Some(waiter) = self.take(member, token) {
                ends.push((waiter.tx, how()));
            }
        }
    }
}
