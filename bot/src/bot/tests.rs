//! The life cycle of a whole bot.

use std::future::{pending, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;

use super::event::Stamp;
use super::testing::{Fault, MockStack, RecordingSender, Script, join, leave, line, until, waiting};
use super::*;
use eitherway::error::Code;

const OFF: Intervals =
    Intervals { messages: Duration::ZERO, user_counts: Duration::ZERO, status: Duration::ZERO };

fn script(events: Vec<Body>, ends: bool) -> (Box<Script>, RecordingSender) {
    let sender = RecordingSender::default();
    let events = events.into_iter().map(|body| Event::new(body, Stamp::at(5_000))).collect();
    (Box::new(Script { events, ends, sender: sender.clone() }), sender)
}

fn bot(stack: &MockStack, events: Vec<Body>, ends: bool) -> Bot<MockStack> {
    Bot::new(Db::new(stack.clone()), script(events, ends).0).intervals(OFF)
}

fn lines(count: usize) -> Vec<Body> {
    (0..count).map(|number| line("alice", &number.to_string())).collect()
}

#[tokio::test]
async fn at_the_end_of_the_input_everything_taken_is_finished_and_the_last_word_is_offline() {
    let stack = MockStack::default();
    let events = vec![Body::Connect, join("alice"), line("alice", "hi"), line("alice", ""), leave("alice")];
    let bot = bot(&stack, events, true);
    let progress = bot.progress();
    let summary = bot.run(pending()).await;
    let last = stack.seen().pop().expect("operations");
    assert_eq!((last.name, &last.payload["status"]), ("status_update", &json!("offline")));
    assert_eq!(last.payload["status_data"]["bot_connected"], json!(false));
    assert!(last.at > 1_000_000_000_000, "now, whenever the events were");
    let events = [("connect", 1), ("message", 2), ("user_join", 1), ("user_leave", 1)];
    assert_eq!(summary.events, events.into_iter().collect());
    assert_eq!((summary.operations, summary.operations_failed), (stack.seen().len() as u64, 0));
    assert!(summary.is_clean());
    assert_eq!(progress.events(), 5);
}

#[tokio::test]
async fn one_slow_operation_does_not_stop_the_channel() {
    let stack = MockStack::default();
    let gate = stack.hold("user_joined");
    let running = tokio::spawn(
        bot(&stack, vec![join("alice"), line("alice", "hi"), leave("alice")], true).run(pending()),
    );
    until(|| stack.names().contains(&"user_left")).await;
    assert_eq!(stack.names(), ["user_joined", "message_log", "user_left"]);
    gate.add_permits(1);
    assert!(running.await.expect("bot").is_clean());
    assert!(stack.names().contains(&"outbound_get"), "the chain goes on where it was");
}

#[tokio::test]
async fn no_more_events_are_in_flight_than_allowed() {
    let stack = MockStack::default();
    let gate = stack.hold("message_log");
    let running = tokio::spawn(bot(&stack, lines(10), true).concurrency(3).run(pending()));
    until(|| stack.seen().len() == 3).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stack.seen().len(), 3);
    gate.add_permits(10);
    let summary = running.await.expect("bot");
    assert_eq!((summary.events["message"], stack.most_in_flight()), (10, 3));
}

#[tokio::test]
async fn chains_start_in_the_order_of_events_and_the_room_is_as_the_last_event_left_it() {
    let stack = MockStack::default();
    let gate = stack.hold("user_joined");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let note = Arc::clone(&seen);
    let bot = bot(&stack, vec![join("alice"), line("a", "1"), leave("alice"), line("a", "2")], true);
    let look = move |bot: Context<MockStack>, _: Arc<Event>| {
        note.lock().expect("seen").push(bot.room().has("alice"))
    };
    // Registered before all other handlers, as the room's own handler is.
    let mut dispatcher = Dispatcher::new();
    dispatcher.on(Kind::Message, look);
    handlers::register(&mut dispatcher);
    let running = tokio::spawn(Bot { dispatcher, ..bot }.run(pending()));
    until(|| stack.seen().len() == 4).await;
    assert_eq!(*seen.lock().expect("seen"), [true, false]);
    assert_eq!(stack.names(), ["user_joined", "message_log", "user_left", "message_log"]);
    gate.add_permits(1);
    running.await.expect("bot");
}

#[tokio::test]
async fn told_to_stop_the_bot_takes_nothing_more_and_finishes_what_it_took() {
    let stack = MockStack::default();
    let gate = stack.hold("message_log");
    let (stop, stopped) = oneshot::channel::<()>();
    let bot = bot(&stack, lines(10), false).concurrency(2);
    let running = tokio::spawn(bot.run(async { drop(stopped.await) }));
    until(|| stack.seen().len() == 2).await;
    stop.send(()).expect("running");
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    gate.add_permits(10);
    let summary = running.await.expect("bot");
    assert_eq!(stack.names(), ["message_log", "message_log", "status_update"]);
    assert_eq!((summary.ended, summary.events["message"], summary.abandoned), (Ended::Shutdown, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_finished_within_the_grace_period_is_abandoned_and_counted() {
    let stack = MockStack::default();
    let _never = stack.hold("message_log");
    let begun = tokio::time::Instant::now();
    let summary = bot(&stack, lines(3), true).grace(Duration::from_secs(4)).run(pending()).await;
    assert_eq!(begun.elapsed().as_secs(), 4);
    assert_eq!((summary.abandoned, summary.is_clean()), (3, false));
    assert_eq!(stack.names().last(), Some(&"status_update"), "and the last status is sent all the same");
}

#[tokio::test(start_paused = true)]
async fn a_memory_that_never_answers_does_not_keep_the_bot_from_ending() {
    let stack = MockStack::default();
    let (_never, _either) = (stack.hold("status_update"), stack.hold("open_sessions"));
    let begun = tokio::time::Instant::now();
    bot(&stack, vec![Body::Connect], true).grace(Duration::from_secs(4)).run(pending()).await;
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn the_background_tasks_keep_their_intervals_and_end_with_the_bot() {
    let stack = MockStack::default();
    let counted = Body::UserCount { usercount: 4, connected: Some(6) };
    let bot = Bot::new(Db::new(stack.clone()), script(vec![counted], false).0).channel("lounge");
    bot.run(tokio::time::sleep(Duration::from_secs(601))).await;
    assert_eq!(stack.of("outbound_get").len(), 300);
    assert_eq!(stack.of("user_count").len(), 1 + 2, "the event's and the clock's");
    let status = stack.of("status_update");
    assert_eq!(status.len(), 60 + 1, "heartbeats and the last one");
    let heartbeat = &status[0].payload;
    assert_eq!(heartbeat.get("status"), None);
    assert_eq!(heartbeat["status_data"]["current_chat_users"], 4);
    assert_eq!(heartbeat["status_data"]["current_connected_users"], 6);
    assert_eq!(heartbeat["status_data"]["channel_name"], "lounge");
    assert_eq!(heartbeat["status_data"]["bot_connected"], true);
    let before = stack.seen().len();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(stack.seen().len(), before);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_fails_is_asked_again_and_loses_nothing() {
    let stack = MockStack::default();
    stack.fail("outbound_get", Code::UNAVAILABLE);
    let intervals = Intervals { messages: Duration::from_secs(2), ..OFF };
    let (chat, voice) = script(vec![], false);
    let bot = Bot::new(Db::new(stack.clone()), chat).intervals(intervals);
    let running = tokio::spawn(bot.run(tokio::time::sleep(Duration::from_secs(5))));
    tokio::time::sleep(Duration::from_secs(3)).await;
    stack.recover();
    stack.answer("outbound_get", json!([waiting(1, None, "one")]));
    let summary = running.await.expect("bot");
    assert_eq!(
        (summary.operations_failed, summary.polls_failed, summary.is_clean()),
        (1, 1, true),
        "{summary}"
    );
    assert!(summary.to_string().contains("1 of them asked again"), "{summary}");
    assert_eq!(voice.said(), ["say one"]);
    // One that is refused is refused the next time as well.
    let stack = MockStack::default();
    stack.fail("outbound_get", Code::REFUSED);
    let bot = Bot::new(Db::new(stack.clone()), script(vec![], false).0).intervals(intervals);
    let summary = bot.run(tokio::time::sleep(Duration::from_secs(3))).await;
    assert_eq!((summary.polls_failed, summary.is_clean()), (0, false), "{summary}");
}

#[tokio::test(start_paused = true)]
async fn missed_ticks_are_skipped_and_a_task_never_runs_beside_itself() {
    let stack = MockStack::default();
    let gate = stack.hold("outbound_get");
    let intervals = Intervals { messages: Duration::from_secs(2), ..OFF };
    let (chat, _) = script(vec![], false);
    let bot = Bot::new(Db::new(stack.clone()), chat).intervals(intervals);
    let running = tokio::spawn(bot.run(tokio::time::sleep(Duration::from_secs(25))));
    tokio::time::sleep(Duration::from_secs(19)).await;
    assert_eq!(stack.of("outbound_get").len(), 1, "since the second second");
    gate.add_permits(100);
    running.await.expect("bot");
    assert_eq!(stack.of("outbound_get").len(), 1 + 1 + 1 + 3, "at once, the slow one again, then at 20, 22, 24");
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_background_task_costs_one_tick() {
    let stack = MockStack::default();
    stack.answer("outbound_get", json!([waiting(1, None, "one")]));
    let (chat, sender) = script(vec![], false);
    sender.fault(Some(Fault::Panic));
    let intervals = Intervals { messages: Duration::from_secs(2), ..OFF };
    let bot = Bot::new(Db::new(stack.clone()), chat).intervals(intervals);
    let running = tokio::spawn(bot.run(tokio::time::sleep(Duration::from_secs(5))));
    tokio::time::sleep(Duration::from_secs(3)).await;
    sender.fault(None);
    stack.answer("outbound_get", json!([waiting(1, None, "one")]));
    let summary = running.await.expect("bot");
    assert_eq!((summary.handler_panics, sender.said()), (1, vec!["say one".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn marks_that_failed_are_repeated_at_the_end_and_what_stays_unmarked_is_counted() {
    for (recovers, lost) in [(true, 0), (false, 1)] {
        let stack = MockStack::default();
        stack.answer("outbound_get", json!([waiting(1, Some("alice"), "hi")]));
        stack.fail("outbound_mark_sent", Code::UNAVAILABLE);
        let (stop, stopped) = oneshot::channel::<()>();
        let running =
            tokio::spawn(bot(&stack, vec![join("alice")], false).run(async { drop(stopped.await) }));
        until(|| !stack.of("outbound_mark_sent").is_empty()).await;
        if recovers {
            stack.recover();
        }
        stop.send(()).expect("running");
        assert_eq!(running.await.expect("bot").marks_lost, lost);
        assert_eq!(stack.of("outbound_mark_sent").len(), 2);
    }
}

#[tokio::test]
async fn with_everything_failing_a_whole_session_is_lived_through() {
    let stack = MockStack::failing(Code::UNAVAILABLE);
    let events = vec![Body::Connect, join("alice"), line("alice", "hi"), leave("alice")];
    let summary = bot(&stack, events, true).run(pending()).await;
    assert_eq!(summary.events.values().sum::<u64>(), 4);
    assert_eq!((summary.operations_failed, summary.operations), (7, 7));
    assert_eq!((summary.handler_errors, summary.handler_panics, summary.abandoned), (0, 0, 0));
}

#[tokio::test]
async fn handlers_of_ones_own_come_behind_and_cannot_take_the_bot_down() {
    let stack = MockStack::default();
    let bot = bot(&stack, lines(2), true)
        .on(Kind::Message, |_: Context<MockStack>, _: Arc<Event>| -> Propagation { panic!("mine") });
    let summary = bot.run(pending()).await;
    assert_eq!((summary.handler_panics, stack.of("message_log").len()), (2, 2));
}

#[tokio::test]
async fn a_bot_told_to_stop_before_it_begins_only_says_that_it_is_offline() {
    let stack = MockStack::default();
    bot(&stack, lines(3), true).run(ready(())).await;
    assert_eq!(stack.names(), ["status_update"]);
}

#[tokio::test]
async fn the_summary_reads_well_for_people_and_machines() {
    let stack = MockStack::default();
    let summary = bot(&stack, vec![join("alice"), line("alice", "hi")], true).run(pending()).await;
    let text = "end of input: 2 events (message 1, user_join 1), 0 bad lines skipped\n\
                4 operations, 0 failed (0 of them refused)\n\
                0 messages delivered, 0 attempts failed";
    assert_eq!(summary.to_string(), text);
    let json = serde_json::to_value(&summary).expect("JSON");
    assert_eq!((&json["ended"], &json["events"]["message"]), (&json!("end_of_input"), &json!(1)));
}
