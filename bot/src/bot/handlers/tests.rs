//! Each of the seven handlers, once on a stack that answers and once on one where every operation fails.

use serde_json::json;

use crate::bot::chat::Unsent;
use crate::bot::event::Body;
use crate::bot::testing::{Fault, MockStack, TestBot, join, leave, line, list, waiting};
use eitherway::error::Code;

fn answering() -> TestBot {
    TestBot::new(MockStack::default())
}

fn counted() -> Body {
    Body::UserCount { usercount: 7, connected: Some(12) }
}

/// Asserts that these operations are attempted while every operation fails, and that the bot continues
/// otherwise unaffected.
async fn carries_on(event: Body, tried: &[&str]) {
    for code in [Code::UNAVAILABLE, Code::UNANSWERED, Code::DATABASE, Code::INVALID] {
        let test = TestBot::new(MockStack::failing(code));
        test.handle(5_000, event.clone()).await;
        assert_eq!(test.stack.names(), tried, "{}", code.name);
        let progress = test.bot.progress();
        assert_eq!(progress.failed(), tried.len() as u64);
        assert_eq!((progress.handler_errors(), progress.handler_panics()), (0, 0));
        assert!(test.sender.said().is_empty());
        test.stack.recover();
        test.handle(6_000, line("bob", "still here")).await;
        assert_eq!(test.stack.of("message_log").len(), 1 + usize::from(tried.contains(&"message_log")));
        assert_eq!(progress.failed(), tried.len() as u64, "and the next event is served");
    }
}

#[tokio::test]
async fn a_join_is_recorded_at_its_time_and_then_what_waits_is_delivered() {
    let test = answering();
    test.stack
        .answer("outbound_get", json!([waiting(1, Some("alice"), "hi"), waiting(2, Some("alice"), "again")]));
    test.handle(5_000, join("alice")).await;
    assert_eq!(
        test.stack.names(),
        ["user_joined", "outbound_get", "outbound_mark_sent", "outbound_mark_sent"]
    );
    let seen = test.stack.seen();
    assert_eq!((&seen[0].payload, seen[0].at), (&json!({"username": "alice"}), 5_000));
    assert_eq!(seen[1].payload["username"], "alice");
    assert_eq!(seen[2].payload, json!({"message_id": 1}));
    assert!(seen[2].at > 1_000_000_000_000, "a mark is made now, whenever the event was");
    assert_eq!(test.sender.said(), ["pm alice hi", "pm alice again"]);
    assert_eq!(test.bot.progress().delivered(), 2);
}

#[tokio::test]
async fn a_line_is_recorded_at_its_own_time_and_an_empty_one_is_skipped() {
    let test = answering();
    test.handle(5_001, line("alice", "")).await;
    test.handle(5_002, line("alice", "hé")).await;
    let seen = test.stack.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].name, seen[0].at), ("message_log", 5_002));
    assert_eq!(seen[0].payload, json!({"username": "alice", "message": "hé"}));
}

#[tokio::test]
async fn a_count_goes_into_the_history_and_the_record() {
    let test = answering();
    test.handle(5_000, counted()).await;
    test.handle(6_000, Body::UserCount { usercount: 3, connected: None }).await;
    let both = json!({"chat_count": 7, "connected_count": 12});
    let seen = test.stack.seen();
    assert_eq!(test.stack.names(), ["user_count", "high_water", "user_count", "high_water"]);
    assert_eq!((&seen[0].payload, &seen[1].payload), (&both, &both));
    assert_eq!(seen[2].payload, json!({"chat_count": 3, "connected_count": 3}));
    assert_eq!(seen[3].payload, json!({"chat_count": 3}), "connections that were not counted set no record");
    assert!(seen[..2].iter().all(|seen| seen.at == 5_000) && seen[0].id != seen[1].id);
}

#[tokio::test]
async fn the_sign_of_life_of_the_last_bot_is_read_before_a_status_overwrites_it() {
    let test = answering();
    test.handle(5_000, Body::Connect).await;
    super::heartbeat(test.bot.clone()).await;
    assert_eq!(test.stack.names(), ["open_sessions", "status_update", "status_update"], "first, and once");
}

#[tokio::test]
async fn on_a_network_with_a_rate_nothing_is_claimed_that_may_not_be_said_yet() {
    let test = answering();
    test.handle(4_000, list(&["ann"])).await;
    let line = |id| json!([waiting(id, Some("ann"), &format!("line {id}"))]);
    // Between them the channel is asked for, for which nothing waits.
    for answer in [line(1), json!([]), line(2), json!([]), line(3)] {
        test.stack.answer("outbound_get", answer);
    }
    test.sender.allow(1);
    test.handle(5_000, join("ann")).await;
    assert_eq!(test.sender.said().len(), 1, "and the join is not held up by the others");
    for said in 2..=3 {
        super::channel_messages(test.bot.clone()).await;
        assert_eq!(test.sender.said().len(), said - 1, "not yet");
        test.sender.allow(1);
        super::channel_messages(test.bot.clone()).await;
        assert_eq!(test.sender.said().len(), said);
    }
    assert_eq!(test.sender.said(), ["pm ann line 1", "pm ann line 2", "pm ann line 3"]);
    let gets = test.stack.of("outbound_get");
    assert!(gets.iter().skip(1).all(|get| get.payload["limit"] == 1), "{gets:?}");
}

#[tokio::test]
async fn messages_that_cannot_be_asked_for_are_none_and_come_later() {
    let test = TestBot::new(MockStack::failing(Code::UNAVAILABLE));
    super::channel_messages(test.bot.clone()).await;
    assert!(test.sender.said().is_empty());
    test.stack.recover();
    test.stack.answer("outbound_get", json!([waiting(8, None, "late")]));
    super::channel_messages(test.bot.clone()).await;
    assert_eq!(test.sender.said(), ["say late"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_claim_was_granted_after_it_had_found_nothing_is_said_at_the_next_poll() {
    let test = answering();
    let gate = test.stack.hold("outbound_get");
    let answers = async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        gate.add_permits(10);
    };
    tokio::join!(test.handle(5_000, join("alice")), answers);
    assert!(test.sender.said().is_empty());
    // The other path has granted it meanwhile.
    test.stack.answer("outbound_get", json!([waiting(1, Some("alice"), "hi")]));
    super::channel_messages(test.bot.clone()).await;
    assert_eq!(test.sender.said(), ["pm alice hi"]);
    let ids = || test.stack.of("outbound_get").into_iter().map(|get| get.id).collect::<Vec<_>>();
    assert_eq!(ids()[0], ids()[1], "the same id gets what it holds");
    super::channel_messages(test.bot.clone()).await;
    assert!(!ids()[2..].contains(&ids()[0]), "once is enough");
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_claim_holds_is_not_said_to_a_user_who_has_left_meanwhile() {
    let test = answering();
    test.handle(4_000, list(&["bob"])).await;
    let gate = test.stack.hold("outbound_get");
    let answers = async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        gate.add_permits(10);
    };
    tokio::join!(test.handle(5_000, join("alice")), answers);
    test.handle(6_000, leave("alice")).await;
    let before = test.stack.of("outbound_get");
    let asked = |n: usize| before[n].id.clone();
    super::channel_messages(test.bot.clone()).await;
    let again = test.stack.of("outbound_get").split_off(before.len());
    assert!(again.iter().all(|get| get.payload["username"] != "alice"), "{again:?}");
    test.handle(7_000, join("alice")).await;
    test.stack.answer("outbound_get", json!([waiting(1, Some("alice"), "hi")]));
    super::channel_messages(test.bot.clone()).await;
    assert_eq!(test.sender.said(), ["pm alice hi"]);
    let alices = test.stack.of("outbound_get").into_iter().filter(|get| get.payload["username"] == "alice");
    let first = before.iter().position(|get| get.payload["username"] == "alice").expect("her claim");
    assert_eq!(alices.filter(|get| get.id == asked(first)).count(), 2, "asked again when she is here");
}

#[tokio::test]
async fn a_lost_channel_claims_nothing() {
    let test = answering();
    test.handle(5_000, Body::Disconnect { reason: None }).await;
    super::channel_messages(test.bot.clone()).await;
    assert!(test.stack.of("outbound_get").is_empty());
    test.handle(6_000, Body::Connect).await;
    super::channel_messages(test.bot.clone()).await;
    assert_eq!(test.stack.of("outbound_get").len(), 1);
}

#[tokio::test]
async fn a_message_that_is_handed_out_again_is_not_sent_again_but_marked_again() {
    let test = answering();
    for _ in 0..2 {
        test.stack.answer("outbound_get", json!([waiting(1, Some("alice"), "hi")]));
    }
    test.stack.fail("outbound_mark_sent", Code::UNANSWERED);
    test.handle(5_000, join("alice")).await;
    test.stack.recover();
    test.handle(6_000, join("alice")).await;
    assert_eq!(test.sender.said(), ["pm alice hi"]);
    assert_eq!(test.stack.of("outbound_mark_sent").len(), 2);
    assert_eq!(test.bot.progress().delivered(), 1);
}

#[tokio::test]
async fn a_mark_that_failed_is_repeated_under_its_id_before_the_next_poll() {
    let test = answering();
    test.stack.answer("outbound_get", json!([waiting(1, None, "hi")]));
    test.stack.fail("outbound_mark_sent", Code::UNANSWERED);
    super::channel_messages(test.bot.clone()).await;
    super::channel_messages(test.bot.clone()).await;
    test.stack.recover();
    super::channel_messages(test.bot.clone()).await;
    super::channel_messages(test.bot.clone()).await;
    let marks = test.stack.of("outbound_mark_sent");
    assert_eq!(marks.len(), 3, "twice in vain, once with effect, and then no more");
    assert!(marks.iter().all(|mark| mark.id == marks[0].id && mark.at == marks[0].at));
    assert_eq!(test.stack.names().iter().rposition(|name| *name == "outbound_mark_sent"), Some(4));
    assert_eq!(test.bot.deliveries().pending_marks(), 0);
}

#[tokio::test]
async fn a_mark_that_was_refused_is_not_repeated() {
    let test = answering();
    test.stack.answer("outbound_get", json!([waiting(1, None, "hi")]));
    test.stack.fail("outbound_mark_sent", Code::INVALID);
    super::channel_messages(test.bot.clone()).await;
    assert_eq!(test.bot.deliveries().pending_marks(), 0);
}

#[tokio::test]
async fn what_the_chat_does_not_take_is_marked_failed_and_what_it_never_will_is_given_up() {
    let test = answering();
    let claim = || json!([waiting(1, Some("alice"), "hi")]);
    for (unsent, permanent) in [(Unsent::transient("busy"), false), (Unsent::permanent("nobody"), true)] {
        test.sender.fault(Some(Fault::Refuse(unsent)));
        test.stack.answer("outbound_get", claim());
        test.handle(5_000, join("alice")).await;
        let failed = test.stack.of("outbound_mark_failed");
        assert_eq!(failed.last().expect("mark").payload["permanent"], json!(permanent));
    }
    assert_eq!(test.stack.of("outbound_mark_failed")[0].payload["error"], "busy");
    test.sender.fault(None);
    test.stack.answer("outbound_get", claim());
    test.handle(6_000, join("alice")).await;
    assert_eq!(test.sender.said(), ["pm alice hi"], "what was not sent may be sent later");
}

#[tokio::test]
async fn more_messages_than_one_claim_takes_are_claimed_on() {
    let test = answering();
    let full: Vec<_> = (0..10).map(|id| waiting(id, Some("alice"), "hi")).collect();
    test.stack.answer("outbound_get", json!(full));
    test.stack.answer("outbound_get", json!([waiting(10, Some("alice"), "last")]));
    test.handle(5_000, join("alice")).await;
    assert_eq!(test.sender.said().len(), 11);
    assert_eq!(test.stack.of("outbound_get").len(), 2);
}

#[tokio::test]
async fn a_list_makes_the_present_join_and_those_gone_leave_when_the_last_bot_stopped_watching() {
    let test = answering();
    let sessions = json!([
        {"username": "gone", "since": 10, "watched_until": 20},
        {"username": "here", "since": 15, "watched_until": 20},
    ]);
    test.stack.answer("open_sessions", sessions);
    test.handle(90_000, Body::Connect).await;
    // By now the new bot's own status has overwritten that of the previous one.
    let sessions = json!([
        {"username": "gone", "since": 10, "watched_until": 90},
        {"username": "here", "since": 15, "watched_until": 90},
        {"username": "later", "since": 99, "watched_until": 99},
    ]);
    test.stack.answer("open_sessions", sessions);
    test.stack.answer("outbound_get", json!([waiting(1, Some("new"), "welcome")]));
    test.handle(95_000, list(&["here", "new", "new"])).await;
    let left = test.stack.of("user_left");
    assert_eq!(left.len(), 1, "who came after the list does not leave");
    assert_eq!((&left[0].payload["username"], left[0].at), (&json!("gone"), 20_000));
    let joined = test.stack.of("user_joined");
    assert_eq!(joined.len(), 1, "who has a session keeps it");
    assert_eq!((&joined[0].payload["username"], joined[0].at), (&json!("new"), 95_000));
    assert_eq!(test.sender.said(), ["pm new welcome"]);
}

#[tokio::test]
async fn after_a_reconnect_those_gone_left_when_the_connection_was_lost() {
    let test = answering();
    test.handle(10_000, list(&[])).await;
    test.handle(20_000, join("alice")).await;
    test.handle(30_500, Body::Disconnect { reason: None }).await;
    test.handle(80_000, Body::Connect).await;
    test.stack.answer("open_sessions", json!([{"username": "alice", "since": 20, "watched_until": 80}]));
    test.handle(81_000, list(&["bob"])).await;
    let left = test.stack.of("user_left");
    assert_eq!(left.iter().map(|left| left.at).collect::<Vec<_>>(), [30_500]);
}

#[tokio::test]
async fn a_list_without_knowing_the_sessions_makes_everybody_join_and_nobody_leave() {
    let test = answering();
    test.stack.fail("open_sessions", Code::UNAVAILABLE);
    test.handle(5_000, list(&["ann", "bob"])).await;
    let joined = test.stack.of("user_joined");
    assert_eq!(joined.iter().map(|joined| &joined.payload["username"]).collect::<Vec<_>>(), ["ann", "bob"]);
    assert!(test.stack.of("user_left").is_empty());
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_stop_the_bot() {
    let status = &["open_sessions", "status_update"][..];
    for (event, tried) in [
        (join("alice"), &["user_joined", "outbound_get"][..]),
        (leave("alice"), &["user_left"]),
        (line("alice", "hi"), &["message_log"]),
        (counted(), &["user_count", "high_water"]),
        (Body::Connect, status),
        (Body::Disconnect { reason: None }, status),
        (Body::Kicked { reason: Some("x".repeat(100_000)) }, status),
        (list(&["ann"]), &["open_sessions", "open_sessions", "user_joined", "outbound_get"]),
    ] {
        carries_on(event, tried).await;
    }
}
