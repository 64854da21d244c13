//! How the operations of a bundle are settled: together by the stream's acknowledgement, or each by its fate in an answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_nats::{Message, StatusCode, Subject};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::Queued;
use super::answers::{self, Fate};
use crate::error::{Cause, Code};
use crate::nats::inbox::{Completion, Inbox, ReplyFrom, Unbundled, Waiters};
use crate::nats::stored::PubAck;
use crate::nats::wire;

/// What an answer to a bundle says of one operation of it.
#[derive(Debug)]
pub(in crate::nats) struct BundledReply {
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

    /// Registers a bundle of these operations, and returns its reply subject; none, if none of them is waited for.
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
        // One that names nothing may be so old that it knows no bundles.
        let named = || match wire::answered(&message) {
            Some(id) => id.is_some_and(|id| id.to_string() == slot.id),
            None => wire::refusal(&message).is_some_and(|cause| cause.code() == Code::UNKNOWN_OPERATION),
        };
        let mut ends = Vec::with_capacity(slot.open);
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            waiters.end_bundle(key, &mut ends, || Completion::Unbundled(Unbundled::NoResponders));
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
        Err(cause) if cause.code() == Code::TOO_LARGE => Completion::Unbundled(Unbundled::Refused),
        _ => Completion::Stored(ack.clone()),
    }
}

/// Settles what the service answers; returns how many were not waited for any more.
fn answer(waiters: &mut Waiters, key: usize, message: &Message, ends: &mut Vec<End>) -> u64 {
    if let Some(cause) = wire::refusal(message) {
        // Nothing of it was done. One that does not know bundles, or cannot read this one, may take each operation alone.
        let alone = [Code::UNKNOWN_OPERATION, Code::TOO_LARGE, Code::INVALID].contains(&cause.code());
        let how = || {
            if alone { Completion::Unbundled(Unbundled::Refused) } else { Completion::Refused(cause.clone()) }
        };
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
        ends.push((waiter.tx, Completion::Bundled(BundledReply { database: database.clone(), fate })));
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::nats::inbox::Asked;
    use crate::nats::pending::PendingReply;
    use crate::request::OpId;

    const ID: &str = "the bundle";

    /// Operations of one bundle, and its reply subject.
    fn bundle(inbox: &Arc<Inbox>, many: usize, expects: ReplyFrom) -> (Vec<PendingReply>, String) {
        let asked = |event| Asked { id: OpId::new(), named: true, event };
        let event = expects == ReplyFrom::Stream;
        let wait = |_| inbox.wait_for_operation("a".into(), expects, asked(event));
        let all: Vec<_> = (0..many).map(wait).collect();
        let members = all.iter().map(PendingReply::slot).collect();
        let reply = inbox.wait_for_bundle(&"batch".into(), expects, ID.to_owned(), members, event);
        (all, reply.expect("they wait"))
    }

    fn inbox() -> Arc<Inbox> {
        Arc::new(Inbox::new("_INBOX.x", "SHOP".to_owned()))
    }

    fn message(subject: &str, names: Option<&str>, body: &'static str) -> Message {
        let headers = names.map(|names| {
            let mut headers = wire::answer_headers("db");
            headers.insert(wire::OPERATION_ID, names);
            headers
        });
        Message {
            subject: subject.into(),
            reply: None,
            payload: body.into(),
            headers,
            status: None,
            description: None,
            length: 0,
        }
    }

    fn fate(pending: &mut PendingReply) -> Option<Fate<Bytes>> {
        match pending.now_or_never()? {
            Completion::Bundled(settled) => Some(settled.fate),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_operation_is_settled_by_its_own_fate_whichever_answer_has_it() {
        let inbox = inbox();
        let (mut all, reply) = bundle(&inbox, 4, ReplyFrom::Service);
        inbox.complete(message(&reply, Some(ID), "{\"done\":[2,9]}\n{\"n\":0,\"size\":2}\n[]\n"));
        assert_eq!(fate(&mut all[2]), Some(Fate::Done));
        assert_eq!(fate(&mut all[0]), Some(Fate::Answered { body: "[]".into(), omitted: 0 }));
        assert!(fate(&mut all[1]).is_none() && fate(&mut all[3]).is_none());
        drop(all.pop());
        inbox.complete(message(
            &reply,
            Some(ID),
            "{\"done\":[2,3]}\n{\"n\":1,\"code\":409,\"reason\":\"x\"}\n",
        ));
        assert!(matches!(fate(&mut all[1]), Some(Fate::Refused(cause)) if cause.code() == Code::ID_REUSED));
        let waiters = inbox.waiters.lock();
        assert!(waiters.single.is_empty() && waiters.bundles.is_empty(), "nothing is left behind");
        drop(waiters);
        assert_eq!(inbox.counts().late, 3, "one of no operation, one twice, one that was given up");
    }

    #[test]
    fn a_bundle_that_is_given_up_leaves_nothing_behind_and_its_late_answers_are_counted() {
        let inbox = inbox();
        let (all, reply) = bundle(&inbox, 3, ReplyFrom::Stream);
        drop(all);
        assert!(inbox.waiters.lock().bundles.is_empty());
        inbox.complete(message(&reply, None, r#"{"stream":"SHOP","seq":7}"#));
        inbox.complete(message(&reply, Some(ID), "{\"done\":[0,1,2]}\n"));
        assert_eq!((inbox.counts().late, inbox.late_answers().borrow().events), (4, 2));
    }

    #[test]
    fn an_answer_to_something_else_settles_nothing_of_a_bundle() {
        let inbox = inbox();
        let (mut all, reply) = bundle(&inbox, 2, ReplyFrom::Service);
        for (names, body) in [
            (Some("another"), "{\"done\":[0,1]}\n"),
            (None, "{\"done\":[0,1]}\n"),
            (None, r#"{"stream":"SHOP","seq":7}"#),
        ] {
            inbox.complete(message(&reply, names, body));
            assert!(all.iter_mut().all(|one| fate(one).is_none()), "{body}");
        }
        assert_eq!(inbox.counts().foreign, 3);
    }

    #[test]
    fn a_bundle_that_nobody_takes_is_sent_one_by_one_and_one_that_is_lost_is_not() {
        let unbundled = |all: &mut [PendingReply]| {
            all.iter_mut().all(|one| matches!(one.now_or_never(), Some(Completion::Unbundled(_))))
        };
        let inbox = inbox();
        let (mut all, reply) = bundle(&inbox, 3, ReplyFrom::Service);
        let no_responders = Message { status: Some(StatusCode::NO_RESPONDERS), ..message(&reply, None, "") };
        inbox.complete(no_responders);
        assert!(unbundled(&mut all));
        for (code, alone) in [("501", true), ("413", true), ("400", true), ("503", false), ("521", false)] {
            let (mut all, reply) = bundle(&inbox, 3, ReplyFrom::Service);
            let mut refused = message(&reply, Some(ID), "{}");
            refused.headers.iter_mut().for_each(|headers| headers.insert(wire::ERROR_CODE, code));
            inbox.complete(refused);
            assert_eq!(unbundled(&mut all), alone, "{code}");
        }
        for (code, old) in [("501", true), ("400", false)] {
            let (mut all, reply) = bundle(&inbox, 3, ReplyFrom::Service);
            let mut refused = message(&reply, Some(""), "{}");
            refused.headers = Some(wire::answer_headers("db"));
            refused.headers.iter_mut().for_each(|headers| headers.insert(wire::ERROR_CODE, code));
            inbox.complete(refused);
            assert_eq!(unbundled(&mut all), old, "one that names no operation says {code}");
        }
        let (mut all, _) = bundle(&inbox, 3, ReplyFrom::Service);
        inbox.deny("batch");
        assert!(unbundled(&mut all));
        let (mut all, reply) = bundle(&inbox, 3, ReplyFrom::Stream);
        inbox.complete(message(&reply, None, r#"{"stream":"SHOP","error":{"err_code":10054}}"#));
        assert!(unbundled(&mut all));
        let (mut all, reply) = bundle(&inbox, 3, ReplyFrom::Stream);
        inbox.complete(message(&reply, None, r#"{"stream":"SHOP","seq":7}"#));
        assert!(
            all.iter_mut()
                .all(|one| matches!(one.now_or_never(), Some(Completion::Stored(ack)) if ack.seq == 7))
        );
        let (mut all, _) = bundle(&inbox, 3, ReplyFrom::Service);
        inbox.release(ReplyFrom::Service);
        assert!(all.iter_mut().all(|one| matches!(one.now_or_never(), Some(Completion::Lost))));
        assert!(inbox.waiters.lock().bundles.is_empty());
    }
}
