//! What people of a channel leave for each other and what plugins keep, on each store.

use eitherway::sql::SqlService;
use eitherway::{Db, clock};
use futures_util::future::join_all;
use rosey::op::{GetQuote, Lead, Leader, Op, PmCommand, QuoteAdd, RoseyClient, SearchChat, Tell};
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
    of_many_lines_the_newest_ten_thousand_are_looked_through_and_no_more,
    a_person_who_is_forgotten_leaves_nothing_and_what_comes_late_brings_nothing_back,
    a_report_on_a_message_of_somebody_forgotten_has_no_effect,
    keys_are_listed_by_plugin_and_prefix_up_to_a_limit,
    of_several_bots_in_a_room_one_leads_until_it_goes_or_its_time_ends,
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

async fn of_many_lines_the_newest_ten_thousand_are_looked_through_and_no_more(db: &People) {
    db.at(AT * 1000).message_log("rare", "long ago").await.unwrap();
    for n in 0..10 {
        let others: Vec<_> = (1..=1000).map(|m| db.at(AT * 1000 + n * 1000 + m)).collect();
        for result in join_all(others.iter().map(|db| db.message_log("ann", "hi"))).await {
            result.unwrap();
        }
    }
    let of_rare =
        |before| SearchChat { username: Some("rare".into()), before, limit: 5, ..SearchChat::default() };
    assert_eq!(db.chat(of_rare(None)).await.unwrap(), [], "it is the 10 001st");
    let before = u32::try_from(AT + 9).unwrap();
    assert_eq!(
        db.chat(of_rare(Some(before))).await.unwrap().len(),
        1,
        "of those before the newest it is one"
    );
    assert_eq!(db.leaderboard(0, 2).await.unwrap().len(), 2, "many more are counted");
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

async fn of_several_bots_in_a_room_one_leads_until_it_goes_or_its_time_ends(db: &People) {
    let ask = async |bot: &str, seconds: u32| -> Leader {
        let (room, name) = ("irc:#lounge".to_owned(), format!("{bot}'s name"));
        db.lead(Lead { room, bot: bot.to_owned(), name, seconds }).await.unwrap()
    };
    let bots: Vec<String> = (0..8).map(|n| format!("bot {n}")).collect();
    let answers = join_all(bots.iter().map(|bot| ask(bot, 60))).await;
    let leads: Vec<usize> = (0..8).filter(|n| answers[*n].leads).collect();
    assert_eq!(leads.len(), 1, "{answers:?}");
    let (leader, other) = (&bots[leads[0]], &bots[(leads[0] + 1) % 8]);
    assert!(ask(leader, 60).await.leads, "it goes on");
    let refused = ask(other, 60).await;
    assert_eq!((refused.leads, refused.leader), (false, format!("{leader}'s name")));
    assert!(ask(leader, 60).await.company, "it knows of the others");
    assert!(!ask(other, 0).await.leads, "who does not lead gives nothing back");
    assert!(!ask(other, 60).await.leads);
    let elsewhere = Lead { room: "irc:#other".into(), bot: other.clone(), name: String::new(), seconds: 60 };
    assert!(db.lead(elsewhere).await.unwrap().leads, "each room has its own");

    assert!(!ask(leader, 0).await.leads);
    assert!(ask(other, 1).await.leads, "it was given back");
    wait_until("its time ends", || async { ask(leader, 60).await.leads }).await;
    assert!(!ask(other, 60).await.leads);

    // By its own clock it asked a minute ago, or will in a minute: that changes nothing.
    let now = clock::now();
    for at in [now - 60_000, now + 60_000] {
        let (room, name) = ("irc:#lounge".to_owned(), String::new());
        let answer = db.at(at).lead(Lead { room, bot: other.clone(), name, seconds: 60 }).await.unwrap();
        assert!(!answer.leads);
    }
    let skewed = Lead { room: "irc:#lounge".into(), bot: leader.clone(), name: String::new(), seconds: 60 };
    let skew = db.at(now + 60_000).lead(skewed).await.unwrap().skew;
    assert!((30_000..=60_001).contains(&skew), "{skew}");
}

/// What ann leaves behind before second 9, and the numbers of two quotes: what she said, and what she kept.
async fn ann_was_here(db: &People) -> [i64; 2] {
    let at = |second: i64| db.at((AT + second) * 1000);
    at(0).user_joined("ann").await.unwrap();
    at(1).message_log("ann", "secret").await.unwrap();
    at(2).message_log("bob", "hi").await.unwrap();
    at(3).user_left("ann").await.unwrap();
    at(4).tell(tell("ann", "bob", "secret", true)).await.unwrap();
    at(4).tell(tell("bob", "ann", "secret", false)).await.unwrap();
    at(5).outbound_enqueue(Some("ann"), "secret").await.unwrap();
    let quote = |of: &str, by: &str| QuoteAdd {
        username: of.into(),
        message: format!("{of} said it"),
        added_by: Some(by.into()),
    };
    let said = at(6).quote_add(quote("ann", "bob")).await.unwrap();
    let kept = at(7).quote_add(quote("bob", "ann")).await.unwrap();
    let command = PmCommand { username: "ann".into(), command: "stats".into(), ..PmCommand::default() };
    at(8).pm_command(command).await.unwrap();
    [said, kept]
}

async fn a_person_who_is_forgotten_leaves_nothing_and_what_comes_late_brings_nothing_back(db: &People) {
    let at = |second: i64| db.at((AT + second) * 1000);
    let mut quotes = ann_was_here(db).await;
    at(10).message_log("ann", "back again").await.unwrap();
    at(9).forget("ann").await.unwrap();
    let left = db.chat(SearchChat { username: Some("ann".into()), limit: 9, ..SearchChat::default() });
    assert_eq!(left.await.unwrap().len(), 1);
    at(5).forget("ann").await.unwrap();
    for (round, bobs_lines) in [("before", 1), ("late", 2)] {
        let stats = db.user_stats("ann").await.unwrap().unwrap();
        let known = (stats.first_seen, stats.last_seen, stats.total_chat_lines, stats.total_time_connected);
        assert_eq!(known, (Some(AT + 10), Some(AT + 10), Some(1), Some(0)), "{round}");
        let lines = db.recent_chat(10).await.unwrap();
        let of_ann: Vec<_> = lines.iter().filter(|line| line.username != "bob").collect();
        assert_eq!(
            of_ann.iter().map(|line| line.message.as_str()).collect::<Vec<_>>(),
            ["back again"],
            "{round}"
        );
        assert_eq!(lines.len() - of_ann.len(), bobs_lines, "{round}");
        assert_eq!(db.tells_of("ann").await.unwrap(), [], "{round}");
        for name in ["ann", "bob"] {
            assert_eq!(db.tells_for(name).await.unwrap(), [], "{round}");
            assert_eq!(db.outbound_messages(name, 10).await.unwrap(), [], "{round}");
        }
        let [said, kept] = quotes;
        assert_eq!(
            db.quote(GetQuote { id: Some(said), ..GetQuote::default() }).await.unwrap(),
            None,
            "{round}"
        );
        let kept = db.quote(GetQuote { id: Some(kept), ..GetQuote::default() }).await.unwrap().unwrap();
        assert_eq!((kept.username.as_str(), kept.added_by), ("bob", None), "{round}");
        assert_eq!(db.channel_stats().await.unwrap().total_users_seen, 2, "{round}");
        quotes = ann_was_here(db).await;
    }
    assert_eq!(db.open_sessions().await.unwrap(), []);
    assert!(db.forget("[Server]").await.is_err(), "the channel itself is nobody");
}

async fn a_report_on_a_message_of_somebody_forgotten_has_no_effect(db: &People) {
    let at = |second: i64| db.at((AT + second) * 1000);
    let one = at(1).tell(tell("ann", "bob", "secret", true)).await.unwrap();
    let other = at(2).tell(tell("ann", "bob", "secret", true)).await.unwrap();
    at(3).outbound_mark_failed(one, "ann is not here", false).await.unwrap();
    at(4).forget("ann").await.unwrap();
    at(3).outbound_mark_failed(other, "ann is not here", false).await.unwrap();
    assert!(!at(5).tell_undo("ann", one).await.unwrap());
    at(6).outbound_mark_sent(other).await.unwrap();
    let third = at(7).tell(tell("ann", "bob", "again", true)).await.unwrap();
    assert!(third > other, "no number is given twice");
    assert_eq!(db.tells_of("ann").await.unwrap().len(), 1);
}

/// A line that is applied again after the ledger has forgotten it is there twice.
#[tokio::test]
async fn a_person_whose_lines_are_there_twice_is_forgotten_too() {
    let file = DbFile::new();
    let service = file.open().await;
    let db: People = Db::new(service.clone());
    db.at(AT * 1000).message_log("ann", "secret").await.unwrap();
    file.execute(
        "INSERT INTO recent_chat (timestamp, username, message, at, op_id)
         SELECT timestamp, username, message, at, op_id FROM recent_chat",
    )
    .await;
    db.at((AT + 1) * 1000).forget("ann").await.unwrap();
    assert_eq!(file.number("SELECT count(*) FROM recent_chat").await, 0);
    service.close().await;
}
