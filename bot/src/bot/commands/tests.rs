//! Commands on a stack that answers, and on one that does not.

use serde_json::{Value, json};

use super::{Command, Commands, Language};
use crate::bot::event::{Body, Event, Stamp};
use crate::bot::testing::{MockStack, TestBot, join, line, list};
use eitherway::clock;
use eitherway::error::Code;

fn bot() -> TestBot {
    TestBot::asked(MockStack::default(), Commands::default())
}

fn queued(id: i64) -> Value {
    json!({ "id": id })
}

impl TestBot {
    /// `user` says this now; the texts that were put into the queue for it, each with its recipient.
    async fn answers(&self, user: &str, text: &str) -> Vec<Value> {
        self.answers_to(Event::new(line(user, text), Stamp::at(clock::now()))).await
    }

    async fn answers_to(&self, event: Event) -> Vec<Value> {
        let before = self.stack.of("outbound_enqueue").len();
        self.stack.answer("outbound_enqueue", queued(1));
        self.handle_event(event).await;
        self.stack.of("outbound_enqueue").into_iter().skip(before).map(|seen| seen.payload).collect()
    }

    /// The one answer that the channel is given.
    async fn says(&self, user: &str, text: &str) -> String {
        match &self.answers(user, text).await[..] {
            [answer] if answer["username"].is_null() => answer["content"].as_str().expect("text").to_owned(),
            other => panic!("{text}: {other:?}"),
        }
    }
}

fn seen(name: &str, spoke: i64) -> Value {
    let now = clock::now() / 1000;
    json!({"username": name, "found": true, "first_seen": 1, "last_seen": now - 3700, "last_line": now - spoke, "here_since": null})
}

#[tokio::test]
async fn an_answer_goes_out_through_the_queue_and_is_delivered_at_once() {
    let bot = bot();
    bot.stack.answer("seen", seen("bob", 7200));
    assert_eq!(bot.says("ann", "!seen bob").await, "ann: bob was here 1 h 1 min ago; spoke 2 h ago");
    let names = bot.stack.names();
    assert_eq!(&names[names.len() - 3..], ["seen", "outbound_enqueue", "outbound_get"]);
    assert!(bot.sender.said().is_empty(), "nothing is said past the queue");
}

#[tokio::test]
async fn two_readings_of_one_line_make_one_answer_and_what_another_bot_has_said_is_no_failure() {
    let event = || Event::new(line("ann", "!help"), Stamp::at(clock::now()).identified("irc/net", "m1"));
    let (one, other) = (bot(), bot());
    one.answers_to(event()).await;
    other.stack.fail("outbound_enqueue", Code::ID_REUSED);
    other.answers_to(event()).await;
    let id = |bot: &TestBot| bot.stack.of("outbound_enqueue")[0].id.clone();
    assert_eq!(id(&one), id(&other));
    assert_eq!(other.bot.progress().refused(), 0, "it is no failure of ours");
}

#[tokio::test]
async fn who_asks_too_often_is_not_answered() {
    let bot = bot();
    let mut answered = 0;
    for _ in 0..10 {
        answered += bot.answers("ann", "!help").await.len();
    }
    assert_eq!(answered, 4);
    assert_eq!(bot.answers("bob", "!help").await.len(), 1);
}

#[tokio::test]
async fn nothing_is_answered_that_is_old_or_from_outside_or_from_the_bot_itself_or_switched_off() {
    let bot = TestBot::asked(MockStack::default(), Commands::default().prefix("?").only([Command::Help]));
    let old = Event::new(line("ann", "?help"), Stamp::at(clock::now() - 6 * 60 * 1000));
    assert!(bot.answers_to(old).await.is_empty());
    for (user, text) in [("rosey", "?help"), ("ann", "!help"), ("ann", "?seen bob"), ("ann", "help?")] {
        assert!(bot.answers(user, text).await.is_empty(), "{user}: {text}");
    }
    let pm = || Event::now(Body::Pm { user: "ann".into(), content: "?help".into() });
    assert!(bot.answers_to(pm()).await.is_empty(), "she is not in the channel");
    bot.handle(clock::now(), list(&["ann"])).await;
    let answers = bot.answers_to(pm()).await;
    assert_eq!(answers, [json!({"username": "ann", "content": "?help"})], "and where it was asked");
    assert!(TestBot::new(MockStack::default()).answers("ann", "!help").await.is_empty(), "without commands");
}

#[tokio::test]
async fn a_message_is_left_for_each_recipient_in_order_and_once_however_the_name_is_written() {
    let bot = bot();
    for id in 1..=2 {
        bot.stack.answer("tell", queued(id));
    }
    assert_eq!(bot.says("ann", "!tell Bob,carol,bob the door is open").await, "ann: I will tell Bob, carol");
    let told: Vec<Value> = bot.stack.of("tell").into_iter().map(|seen| seen.payload).collect();
    let tell =
        |to| json!({"sender": "ann", "username": to, "content": "the door is open", "privately": false});
    assert_eq!(told, [tell("Bob"), tell("carol")]);
    for (asked, answer) in [("!tell ann hi", "tell somebody else"), ("!tell Rosey hi", "tell somebody else")]
    {
        assert_eq!(bot.says("ann", asked).await, format!("ann: {answer}"));
    }
    assert_eq!(bot.says("eve", "!tell a,b,c,d,e,f hi").await, "eve: 5 at once at most");
    assert_eq!(bot.stack.of("tell").len(), 2);
}

#[tokio::test]
async fn what_was_left_is_told_when_its_recipient_speaks_or_joins_whatever_the_spelling() {
    let bot = bot();
    let waits = |privately: bool| {
        let sent = clock::now() / 1000 - 120;
        json!([{"id": 7, "username": "bob", "content": "hi", "message": "hi", "timestamp": sent, "retry_count": 0,
                "error_message": null, "sender": "ann", "privately": privately}])
    };
    bot.answers("Bob", "hello").await;
    let asked: Vec<Value> =
        bot.stack.of("outbound_get").iter().map(|get| get.payload["username"].clone()).collect();
    assert_eq!(asked, ["Bob"], "at the first line");
    bot.answers("bob", "hello again").await;
    assert_eq!(bot.stack.of("outbound_get").len(), 1, "and not at the second");
    bot.stack.answer("tell", queued(7));
    bot.answers("ann", "!tell BOB hi").await;
    bot.stack.answer("outbound_get", waits(false));
    bot.answers("Bob", "what?").await;
    assert_eq!(bot.sender.said(), ["say Bob: ann said 2 min ago: hi"], "but when something was left since");
    let other = self::bot();
    other.stack.answer("outbound_get", waits(true));
    other.handle(clock::now(), join("Bob")).await;
    assert_eq!(other.sender.said(), ["pm Bob ann said 2 min ago: hi"]);
}

#[tokio::test]
async fn the_newest_message_of_ones_own_is_taken_back() {
    let bot = bot();
    let own = |id: i64| json!({"id": id, "sender": "ann", "username": "bob", "content": "x", "privately": false, "timestamp": 1});
    bot.stack.answer("tells", json!([own(3), own(4)]));
    bot.stack.answer("tell_undo", json!({"undone": true}));
    assert_eq!(bot.says("ann", "!tell undo").await, "ann: #4 is taken back");
    assert_eq!(bot.stack.of("tell_undo")[0].payload, json!({"sender": "ann", "message_id": 4}));
    assert_eq!(bot.says("ann", "!tell undo").await, "ann: nothing of yours waits");
    bot.stack.answer("tells", json!([own(3)]));
    let list = bot.answers("ann", "!tell").await;
    assert_eq!(list, [json!({"username": "ann", "content": "#3 → bob: x"})], "in private");
}

#[tokio::test]
async fn a_quote_is_kept_from_what_was_said_and_is_no_command() {
    let bot = bot();
    let said = |name: &str, text: &str| json!({"timestamp": 1, "username": name, "message": text});
    bot.stack.answer("chat", json!([said("Bob", "it works on my machine"), said("Bob", "!help")]));
    bot.stack.answer("quote_add", queued(5));
    assert_eq!(bot.says("ann", "!quote add bob").await, "ann: kept as #5");
    let kept = json!({"username": "Bob", "message": "it works on my machine", "added_by": "ann"});
    assert_eq!(bot.stack.of("quote_add")[0].payload, kept);
    let quote =
        json!({"id": 5, "username": "Bob", "message": "it works", "added_by": null, "timestamp": 1, "of": 1});
    bot.stack.answer("quote", quote);
    assert_eq!(bot.says("ann", "!quote 5").await, "ann: #5 <Bob> it works");
    assert_eq!(bot.stack.of("quote")[0].payload, json!({"id": 5, "place": 0}));
}

#[tokio::test]
async fn who_wants_to_be_forgotten_confirms_it_and_is_so_behind_the_line_and_before_the_answer() {
    let bot = bot();
    for asked in ["!forgetme", "!forgetme bob", "!forgetme now"] {
        assert!(bot.says("Ann", asked).await.ends_with("If you mean it: !forgetme yes"), "{asked}");
    }
    assert_eq!(bot.stack.of("forget"), []);
    let event =
        || Event::new(line("Ann", "!forgetme yes"), Stamp::at(clock::now()).identified("irc/net", "m1"));
    let (first, other) = (event(), self::bot());
    let (at, before) = (first.occurred_at(), bot.stack.seen().len());
    let answers = bot.answers_to(first).await;
    assert_eq!(answers, [json!({"content": "Ann: what I knew of you is forgotten"})]);
    let forgotten = bot.stack.of("forget");
    let names: Vec<_> = forgotten.iter().map(|seen| seen.payload["username"].clone()).collect();
    assert_eq!(names, ["Ann"]);
    let seen = bot.stack.seen();
    let answer = seen.iter().skip(before).find(|seen| seen.name == "outbound_enqueue").expect("an answer");
    assert!(forgotten.iter().all(|seen| at < seen.at && seen.at < answer.at), "{forgotten:?}, {answer:?}");
    other.answers_to(event()).await;
    let ids = |bot: &TestBot| bot.stack.of("forget").into_iter().map(|seen| seen.id).collect::<Vec<_>>();
    assert_eq!(ids(&bot), ids(&other), "two bots forget once");
    bot.stack.fail("forget", Code::UNAVAILABLE);
    assert_eq!(bot.says("bob", "!forgetme yes").await, "bob: I cannot do that now, try again later");
}

#[tokio::test]
async fn the_language_is_that_of_the_configuration() {
    let bot = TestBot::asked(MockStack::default(), Commands::default().language(Language::German));
    bot.stack.answer("seen", seen("bob", 180));
    assert_eq!(bot.says("ann", "!seen bob").await, "ann: bob war vor 1 h 1 min da; schrieb vor 3 min");
    bot.stack.answer("channel_stats", json!({
        "high_water_mark": {"users": 1, "timestamp": null}, "high_water_connected": {"users": 1, "timestamp": null},
        "top_chatters": [{"username": "bob", "chat_lines": 3}], "total_users_seen": 1, "success": true}));
    assert_eq!(bot.says("ann", "!top").await, "ann: 1. bob (3)");
    bot.stack.answer("recent_chat", json!([]));
    assert_eq!(bot.says("ann", "!last").await, "ann: noch hat niemand etwas gesagt");
}

#[tokio::test]
async fn what_cannot_be_looked_up_is_said_and_the_bot_goes_on() {
    let bot = bot();
    for name in ["seen", "user_stats", "channel_stats", "recent_chat", "chat", "tells", "quote"] {
        bot.stack.fail(name, Code::UNAVAILABLE);
    }
    for (n, asked) in
        ["seen bob", "stats", "top", "last", "tell bob hi", "tell", "inbox", "quote", "last bob"]
            .iter()
            .enumerate()
    {
        let user = format!("ann{}", n % 3);
        let said = bot.says(&user, &format!("!{asked}")).await;
        assert_eq!(said, format!("{user}: I cannot do that now, try again later"), "{asked}");
    }
    assert_eq!(bot.bot.progress().handler_panics(), 0);
}
