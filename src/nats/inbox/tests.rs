use std::sync::Arc;

use futures_util::FutureExt;

use super::*;
use crate::nats::pending::PendingReply;

/// How the wait has ended, if it has.
fn settled(pending: &mut PendingReply) -> Option<Completion> {
    pending.now_or_never()
}

fn message(subject: String, ours: bool, payload: &'static str) -> Message {
    let headers = ours.then(|| {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(wire::REPLY, "1");
        headers
    });
    Message {
        subject: subject.into(),
        reply: None,
        payload: payload.into(),
        headers,
        status: None,
        description: None,
        length: 0,
    }
}

#[test]
fn a_dropped_call_leaves_nothing_behind_and_its_late_reply_is_counted() {
    let inbox = Arc::new(Inbox::new("_INBOX.x", "SHOP".to_owned()));
    let pending = inbox.wait("a".into(), ReplyFrom::Service);
    let subject = pending.subject();
    drop(pending);
    assert_eq!(inbox.counts().waiting, 0);
    let second = inbox.wait("a".into(), ReplyFrom::Service);
    inbox.complete(message(subject, true, "{}"));
    assert_eq!(inbox.counts(), InboxCounts { waiting: 1, late: 1, ..InboxCounts::default() });
    drop(second);
}

#[test]
fn an_answer_that_comes_too_late_is_told_for_its_kind_and_nothing_else_is() {
    let inbox = Arc::new(Inbox::new("_INBOX.x", "SHOP".to_owned()));
    let mut told = inbox.late_answers();
    let dropped = |event| {
        let asked = Asked { id: OpId::new(), named: false, event };
        inbox.wait_for_operation("a".into(), ReplyFrom::Stream, asked).subject()
    };
    let ours = r#"{"stream":"SHOP","seq":7}"#;
    for (event, is_ours, payload, heard) in [
        (true, true, "{}", true),
        (true, false, ours, true),
        (false, true, "{}", true),
        (false, false, ours, false),
        (true, false, r#"{"stream":"OTHER","seq":7}"#, false),
        (false, false, "{}", false),
    ] {
        let before = *told.borrow_and_update();
        inbox.complete(message(dropped(event), is_ours, payload));
        let LateAnswers { events, requests } = *told.borrow();
        let more = (events - before.events, requests - before.requests);
        let expected = if event { (u64::from(heard), 0) } else { (0, u64::from(heard)) };
        assert_eq!(more, expected, "event {event}, ours {is_ours}: {payload}");
    }
    assert_eq!(inbox.counts().late, 6);
}

#[test]
fn only_a_reply_of_our_service_settles_a_call() {
    let inbox = Arc::new(Inbox::new("_INBOX.x", "SHOP".to_owned()));
    let mut pending = inbox.wait("a".into(), ReplyFrom::Service);
    inbox.complete(message(pending.subject(), false, r#"{"stream":"OTHER","seq":1}"#));
    inbox.complete(message(pending.subject(), false, "{}"));
    assert!(settled(&mut pending).is_none());
    assert_eq!(inbox.counts().foreign, 2);
    inbox.complete(message(pending.subject(), true, "{}"));
    assert!(matches!(settled(&mut pending), Some(Completion::Answer(_))));
}

#[test]
fn an_answer_to_another_operation_settles_nothing() {
    let inbox = Arc::new(Inbox::new("_INBOX.x", "SHOP".to_owned()));
    let (id, other) = (OpId::new(), OpId::new());
    let answer = |pending: &PendingReply, names: Option<&str>| {
        let mut answer = message(pending.subject(), true, "{}");
        if let (Some(headers), Some(names)) = (&mut answer.headers, names) {
            headers.insert(wire::OPERATION_ID, names);
        }
        answer
    };
    // `named`: whether the service names what it answers; then what settles the request of `id`.
    for (named, names, settles) in [
        (true, Some(&id), true),
        (true, Some(&other), false),
        (true, None, false),
        (false, Some(&id), true),
        (false, Some(&other), false),
        (false, None, true),
    ] {
        let mut pending = inbox.wait_for_operation(
            "a".into(),
            ReplyFrom::Stream,
            Asked { id: id.clone(), named, event: true },
        );
        inbox.complete(answer(&pending, names.map(ToString::to_string).as_deref()));
        assert_eq!(
            matches!(settled(&mut pending), Some(Completion::Answer(_))),
            settles,
            "{named} {names:?}"
        );
    }
    assert_eq!(inbox.counts().foreign, 3);
}

#[test]
fn only_our_own_stream_settles_an_event_and_nothing_else() {
    let inbox = Arc::new(Inbox::new("_INBOX.x", "SHOP".to_owned()));
    let mut event = inbox.wait("a".into(), ReplyFrom::Stream);
    let mut query = inbox.wait("b".into(), ReplyFrom::Service);
    inbox.complete(message(event.subject(), false, r#"{"stream":"OTHER","seq":1}"#));
    inbox.complete(message(query.subject(), false, r#"{"stream":"SHOP","seq":1}"#));
    assert!(settled(&mut event).is_none() && settled(&mut query).is_none());
    assert_eq!(inbox.counts().foreign, 2);
    inbox.complete(message(event.subject(), false, r#"{"stream":"SHOP","seq":7}"#));
    assert!(matches!(settled(&mut event), Some(Completion::Stored(ack)) if ack.seq == 7));
}

#[test]
fn a_service_that_is_lost_releases_nobody_who_waits_for_the_stream() {
    let inbox = Arc::new(Inbox::new("_INBOX.x", "SHOP".to_owned()));
    let mut event = inbox.wait("a".into(), ReplyFrom::Stream);
    let mut query = inbox.wait("b".into(), ReplyFrom::Service);
    inbox.release(ReplyFrom::Service);
    assert!(matches!(settled(&mut query), Some(Completion::Lost)));
    assert!(settled(&mut event).is_none());
    assert_eq!(inbox.counts().waiting, 1);
}

#[test]
fn a_denial_ends_the_waiting_on_its_subject_and_on_no_other() {
    let inbox = Arc::new(Inbox::new("_INBOX.x", "SHOP".to_owned()));
    let mut denied = inbox.wait("a".into(), ReplyFrom::Stream);
    let mut other = inbox.wait("a.b".into(), ReplyFrom::Stream);
    let mut own = inbox.wait("ourselves".into(), ReplyFrom::Any);
    inbox.deny("a");
    inbox.deny(&own.subject());
    assert!(matches!(settled(&mut denied), Some(Completion::Denied(_))));
    assert!(matches!(settled(&mut own), Some(Completion::Denied(_))));
    assert!(settled(&mut other).is_none());
}

#[test]
fn a_lost_connection_releases_every_waiter_at_once() {
    let inbox = Arc::new(Inbox::new("_INBOX.x", "SHOP".to_owned()));
    let mut all: Vec<_> = (0..500).map(|_| inbox.wait("a".into(), ReplyFrom::Service)).collect();
    assert_eq!(inbox.release_all(), 500);
    assert!(all.iter_mut().all(|t| matches!(settled(t), Some(Completion::Lost))));
    assert_eq!(inbox.counts().waiting, 0);
}
