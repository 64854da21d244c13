//! What people of a channel leave for each other and what plugins keep, on each store.

use eitherway::sql::SqlService;
use eitherway::{Db, clock};
use rosey::op::{GetQuote, Op, QuoteAdd, RoseyClient, SearchChat, Tell};
use serde_json::json;

use crate::support::*;

type People = Db<SqlService<Op>>;

/// A test for each store.
macro_rules! on_each_store {
    ($($check:ident),+ $(,)?) => {
        $(mod $check {
            use super::*;

            #[tokio::test]
            async fn on_sqlite() {
                let file = DbFile::new();
                let service = file.open().await;
                super::$check(&Db::new(service.clone())).await;
                file.assert_clean().await;
                service.close().await;
            }

            #[cfg(feature = "postgres")]
            #[tokio::test]
            async fn on_postgres() {
                use eitherway::postgres::{PostgresOptions, verify};
                let url = Postgres::shared().database().await;
                let options = PostgresOptions::new(&url).unwrap().retention(None);
                let service = SqlService::open_postgres(&options).await.unwrap();
                super::$check(&Db::new(service.clone())).await;
                let verdict = verify::<Op>(&options, |_| {}).await.unwrap();
                assert!(verdict.is_clean(), "{:#?}", verdict.findings);
                service.close().await;
            }
        })+
    };
}

on_each_store! {
    who_was_seen_says_when_he_was_here_and_when_he_spoke,
    what_was_said_is_found_by_who_and_what_and_counted_since_when,
    a_message_is_handed_out_with_its_sender_in_order_and_listed_until_it_is_told,
    a_message_is_taken_back_by_its_sender_alone_and_only_while_nobody_was_told,
    a_quote_is_found_by_its_number_its_speaker_its_text_and_any_place,
    the_latest_writer_of_a_key_counts_and_a_value_ends,
    keys_are_listed_by_plugin_and_prefix_up_to_a_limit,
}

const AT: i64 = 1_700_000_000;

fn tell(sender: &str, username: &str, content: &str, privately: bool) -> Tell {
    Tell { sender: sender.into(), username: username.into(), content: content.into(), privately }
}

async fn who_was_seen_says_when_he_was_here_and_when_he_spoke(db: &People) {
    let at = |second: i64| db.at((AT + second) * 1000);
    assert_eq!(db.seen("ann").await.unwrap(), None);
    at(0).user_joined("ann").await.unwrap();
    at(5).message_log("ann", "hi").await.unwrap();
    let seen = db.seen("ann").await.unwrap().unwrap();
    assert_eq!((seen.first_seen, seen.last_seen, seen.last_line), (Some(AT), Some(AT + 5), Some(AT + 5)));
    assert_eq!(seen.here_since, Some(AT));
    at(9).user_left("ann").await.unwrap();
    at(1).message_log("bob", "hi").await.unwrap();
    let seen = db.seen("ann").await.unwrap().unwrap();
    assert_eq!((seen.last_seen, seen.last_line, seen.here_since), (Some(AT + 9), Some(AT + 5), None));
    let seen = db.seen("bob").await.unwrap().unwrap();
    assert_eq!((seen.first_seen, seen.last_seen, seen.last_line), (Some(AT + 1), Some(AT + 1), Some(AT + 1)));
}

async fn what_was_said_is_found_by_who_and_what_and_counted_since_when(db: &People) {
    for (second, user, line) in
        [(0, "ann", "an old one"), (1, "bob", "100% sure_"), (2, "ann", "sure"), (3, "ann", "so")]
    {
        db.at((AT + second) * 1000).message_log(user, line).await.unwrap();
    }
    let found = async |search: SearchChat| {
        let lines = db.chat(search).await.unwrap();
        lines.into_iter().map(|line| line.message).collect::<Vec<_>>()
    };
    let all = SearchChat { limit: 10, ..SearchChat::default() };
    let of = |user: &str| Some(user.to_owned());
    assert_eq!(
        found(SearchChat { limit: 2, ..all.clone() }).await,
        ["sure", "so"],
        "the newest, oldest first"
    );
    assert_eq!(found(SearchChat { username: of("ann"), ..all.clone() }).await, ["an old one", "sure", "so"]);
    assert_eq!(found(SearchChat { containing: of("sure"), ..all.clone() }).await, ["100% sure_", "sure"]);
    assert_eq!(
        found(SearchChat { containing: of("%"), ..all.clone() }).await,
        ["100% sure_"],
        "letter by letter"
    );
    let since = u32::try_from(AT + 1).unwrap();
    assert_eq!(found(SearchChat { since, username: of("ann"), ..all }).await, ["sure", "so"]);
    let board = async |since: u32, limit: u32| {
        let chatters = db.leaderboard(since, limit).await.unwrap();
        chatters.into_iter().map(|chatter| (chatter.username, chatter.chat_lines)).collect::<Vec<_>>()
    };
    assert_eq!(board(0, 10).await, [("ann".to_owned(), 3), ("bob".to_owned(), 1)]);
    assert_eq!(board(since, 1).await, [("ann".to_owned(), 2)]);
}

async fn a_message_is_handed_out_with_its_sender_in_order_and_listed_until_it_is_told(db: &People) {
    let at = |second: i64| db.at((AT + second) * 1000);
    // The later one arrives first.
    let second = at(2).tell(tell("bob", "ann", "two", false)).await.unwrap();
    let first = at(1).tell(tell("carl", "ann", "one", true)).await.unwrap();
    at(4).tell(tell("bob", "dora", "hi", true)).await.unwrap();
    db.at(AT * 1000 + 1500).outbound_enqueue(Some("ann"), "of nobody").await.unwrap();
    let waits = db.tells_for("ann").await.unwrap();
    assert_eq!(waits.iter().map(|tell| tell.id).collect::<Vec<_>>(), [first, second]);
    assert_eq!((waits[1].sender.as_str(), waits[1].privately, waits[1].timestamp), ("bob", false, AT + 2));
    let own = db.tells_of("bob").await.unwrap();
    assert_eq!(own.iter().map(|tell| tell.username.as_str()).collect::<Vec<_>>(), ["ann", "dora"]);
    let claimed = db.outbound_messages("ann", 10).await.unwrap();
    let told: Vec<_> =
        claimed.iter().map(|m| (m.content.as_str(), m.sender.as_deref(), m.privately)).collect();
    assert_eq!(told, [("one", Some("carl"), true), ("of nobody", None, true), ("two", Some("bob"), false)]);
    db.outbound_mark_sent(first).await.unwrap();
    assert_eq!(db.tells_for("ann").await.unwrap().len(), 1);
}

async fn a_message_is_taken_back_by_its_sender_alone_and_only_while_nobody_was_told(db: &People) {
    let id = db.tell(tell("bob", "ann", "one", true)).await.unwrap();
    assert!(!db.tell_undo("carl", id).await.unwrap(), "it is not carl's");
    assert!(!db.tell_undo("bob", 99).await.unwrap(), "there is none");
    assert_eq!(db.tells_for("ann").await.unwrap().len(), 1);
    assert!(db.tell_undo("bob", id).await.unwrap());
    assert_eq!(db.tells_for("ann").await.unwrap(), []);
    assert_eq!(db.outbound_messages("ann", 10).await.unwrap(), []);
    let told = db.tell(tell("bob", "ann", "two", true)).await.unwrap();
    assert_eq!(db.outbound_messages("ann", 10).await.unwrap().len(), 1);
    db.outbound_mark_sent(told).await.unwrap();
    assert!(!db.tell_undo("bob", told).await.unwrap(), "she was told");
    let late = db.tell(tell("bob", "ann", "three", true)).await.unwrap();
    assert!(db.tell_undo("bob", late).await.unwrap());
    // It was on its way.
    db.outbound_mark_sent(late).await.unwrap();
}

async fn a_quote_is_found_by_its_number_its_speaker_its_text_and_any_place(db: &People) {
    let any = GetQuote::default();
    assert_eq!(db.quote(any.clone()).await.unwrap(), None);
    let mut ids = Vec::new();
    for (n, (user, line)) in
        [("ann", "it works"), ("bob", "it's \"so\" 💥"), ("ann", "it broke")].iter().enumerate()
    {
        let quote =
            QuoteAdd { username: (*user).into(), message: (*line).into(), added_by: Some("carl".into()) };
        ids.push(db.at(AT * 1000 + n as i64).quote_add(quote).await.unwrap());
    }
    let text = async |which: GetQuote| db.quote(which).await.unwrap().map(|quote| quote.message);
    let is = |text: &str| Some(text.to_owned());
    assert_eq!(text(GetQuote { id: Some(ids[1]), ..any.clone() }).await, is("it's \"so\" 💥"));
    assert_eq!(text(GetQuote { id: Some(99), ..any.clone() }).await, None);
    for (place, expected) in [(0, "it works"), (1, "it broke"), (2, "it works"), (u32::MAX, "it broke")] {
        assert_eq!(
            text(GetQuote { username: is("ann"), place, ..any.clone() }).await,
            is(expected),
            "{place}"
        );
    }
    assert_eq!(text(GetQuote { containing: is("broke"), ..any.clone() }).await, is("it broke"));
    let quote = db.quote(any).await.unwrap().unwrap();
    assert_eq!((quote.added_by.as_deref(), quote.timestamp, quote.of), (Some("carl"), AT, 3));
}

async fn the_latest_writer_of_a_key_counts_and_a_value_ends(db: &People) {
    let now = clock::now();
    let set = async |at: i64, value: serde_json::Value, ttl: Option<u32>| {
        db.at(at).kv_set("quiz", "round", value, ttl).await.unwrap();
    };
    assert_eq!(db.kv_get("quiz", "round").await.unwrap(), None);
    let value = json!({"b": [1, 2.5, null], "a": "it's \"so\" 💥"});
    set(now - 5000, value.clone(), None).await;
    set(now - 9000, json!("older"), None).await;
    assert_eq!(db.kv_get("quiz", "round").await.unwrap(), Some(value));
    assert_eq!(db.kv_get("other", "round").await.unwrap(), None, "it is the plugin's own");
    assert!(!db.at(now - 6000).kv_delete("quiz", "round").await.unwrap(), "it was written later");
    assert!(db.at(now - 4000).kv_delete("quiz", "round").await.unwrap());
    set(now - 4500, json!("late"), None).await;
    assert_eq!(db.kv_get("quiz", "round").await.unwrap(), None, "what was deleted does not come back");
    set(now - 3000, json!(null), Some(3600)).await;
    assert_eq!(db.kv_get("quiz", "round").await.unwrap(), Some(json!(null)));
    set(now - 2000, json!(1), Some(1)).await;
    assert_eq!(db.kv_get("quiz", "round").await.unwrap(), None, "it has ended");
    assert!(!db.at(now).kv_delete("quiz", "round").await.unwrap());
}

async fn keys_are_listed_by_plugin_and_prefix_up_to_a_limit(db: &People) {
    for key in ["b%", "b1", "a", "né"] {
        db.kv_set("quiz", key, json!(1), None).await.unwrap();
    }
    db.kv_set("other", "b2", json!(1), None).await.unwrap();
    db.kv_delete("quiz", "a").await.unwrap();
    let keys = async |prefix: &str| db.kv_list("quiz", prefix).await.unwrap().keys;
    assert_eq!(keys("").await, ["b%", "b1", "né"]);
    assert_eq!(keys("b").await, ["b%", "b1"]);
    assert_eq!(keys("b%").await, ["b%"]);
    assert_eq!(keys("né").await, ["né"]);
    let few = rosey::op::KvList { plugin_name: "quiz".into(), prefix: String::new(), limit: 2 };
    let few = db.call(few).await.unwrap().answer.data;
    assert_eq!((few.keys.len(), few.count, few.truncated), (2, 2, true));
}
