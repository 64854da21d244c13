//! `verify`: silent where everything is as the events make it, and exact where it is not.

mod changed;
mod lost;
mod unreadable;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::*;
use eitherway::operation::Persist;
use eitherway::sql::{DeadLetter, Finding, Retention};
use eitherway::{Cause, Code, Db, clock};
use rosey::op::{Op, PmCommand, QuoteAdd, StatusUpdate, Tell};
use tokio::task::JoinSet;

/// 2023-11-14 22:13:20
const AT: i64 = 1_700_000_000;

/// A closed file that has seen every kind of operation; none of its derived columns has its default.
async fn full() -> DbFile {
    let file = DbFile::new();
    let service = file.open().await;
    let db = Db::new(service.clone());
    let at = |second: i64| db.at((AT + second) * 1000);
    for (user, start) in [("alice", 0), ("bob", 50)] {
        at(start).user_joined(user).await.unwrap();
        at(start + 10).user_left(user).await.unwrap();
        at(start + 30).user_left(user).await.unwrap();
        at(start + 20).user_joined(user).await.unwrap();
        at(start + 5).message_log(user, "hello").await.unwrap();
    }
    at(40).user_joined("alice").await.unwrap();
    at(41).message_log("Server", "restarting").await.unwrap();
    at(42).message_log("poet", "a line").await.unwrap();
    at(43).user_left("ghost").await.unwrap();
    at(44).user_count(3, 5).await.unwrap();
    at(45).high_water(3, Some(5)).await.unwrap();
    at(46).high_water(2, None).await.unwrap();
    for (second, json) in [
        (
            48,
            r#"{"status":"online","details":"007","status_data":{"bot_name":"1e3","bot_rank":2.5,"bot_afk":true,
                "channel_name":"lounge","current_chat_users":3,"current_connected_users":5,"playlist_items":7,
                "current_media_title":" 12 ","current_media_duration":"192","bot_start_time":1699990000,
                "bot_connected":true}}"#,
        ),
        (47, r#"{"status":"kicked","status_data":{"bot_name":null,"current_media_duration":"03:12"}}"#),
    ] {
        at(second).status_update(serde_json::from_str::<StatusUpdate>(json).unwrap()).await.unwrap();
    }
    let command = PmCommand { username: "mod".into(), command: "stats".into(), ..PmCommand::default() };
    at(49).pm_command(command).await.unwrap();
    for n in 1..=6 {
        let user = if n % 2 == 0 { Some("alice") } else { None };
        assert_eq!(at(60 + n).outbound_enqueue(user, format!("message {n}")).await.unwrap(), n);
    }
    at(70).outbound_mark_sent(1).await.unwrap();
    at(72).outbound_mark_failed(2, "busy", false).await.unwrap();
    at(71).outbound_mark_failed(2, "busier", false).await.unwrap();
    at(73).outbound_mark_failed(3, "gone", true).await.unwrap();
    at(74).outbound_mark_failed(4, "gone", true).await.unwrap();
    at(75).outbound_mark_sent(4).await.unwrap();
    let tell = |content: &str| Tell {
        sender: "bob".into(),
        username: "poet".into(),
        content: content.into(),
        privately: false,
    };
    assert_eq!(at(76).tell(tell("hi")).await.unwrap(), 7);
    assert_eq!(at(77).tell(tell("ho")).await.unwrap(), 8);
    assert!(at(78).tell_undo("bob", 8).await.unwrap());
    let quote = QuoteAdd { username: "poet".into(), message: "a line".into(), added_by: None };
    at(79).quote_add(quote).await.unwrap();
    at(80).kv_set("quiz", "round", 7.into(), None).await.unwrap();
    at(81).kv_set("quiz", "gone", 7.into(), Some(5)).await.unwrap();
    assert!(at(82).kv_delete("quiz", "gone").await.unwrap());
    // somebody who was forgotten, and comes again
    for (second, line) in [(83, "a secret"), (86, "hi")] {
        at(second).message_log("eve", line).await.unwrap();
    }
    at(84).user_joined("eve").await.unwrap();
    at(85).forget("eve").await.unwrap();
    // a lease that ended without a word
    assert_eq!(db.outbound_channel_messages(5).await.unwrap().len(), 1);
    file.execute("UPDATE outbound_messages SET lease_until = 1700000080000 WHERE lease_id IS NOT NULL").await;
    assert_eq!(db.outbound_messages("alice", 1).await.unwrap().len(), 1);
    let cause = Cause::new(Code::INVALID, "no");
    let (subject, headers, payload) = ("rosey.db.user.joined".to_owned(), Vec::new(), vec![0, 255]);
    service.keep_dead_letter(DeadLetter { at: AT * 1000, cause, subject, headers, payload }).await.unwrap();
    service.close().await;
    file
}

fn names() -> BTreeSet<&'static str> {
    Op::CHECKS.iter().copied().flatten().map(|check| check.name).chain(["file"]).collect()
}

#[tokio::test]
async fn a_database_that_saw_everything_is_clean() {
    let file = full().await;
    let mut asked = BTreeSet::new();
    let verdict = eitherway::sql::verify::<Op>(&file.options(), |check| {
        asked.insert(check);
    })
    .await
    .unwrap();
    assert_eq!(verdict.findings, []);
    assert!(verdict.is_clean());
    assert_eq!(asked, names());
    let compared: BTreeSet<_> =
        verdict.compared.iter().filter(|(_, n)| **n > 0).map(|(name, _)| *name).collect();
    assert_eq!(compared, names(), "each has something to compare: {:?}", verdict.compared);
    assert_eq!(file.number("SELECT count(*) FROM outbound_marks WHERE kind = 'expired'").await, 1);

    // what is gone is not missed
    let service = file.open().await;
    let week = Duration::from_secs(7 * 86_400);
    for retention in [Retention::default().keep("ledger", week), Retention::default()] {
        for now in [clock::now(), clock::now() + 8 * 86_400_000, clock::now() + 40 * 86_400_000] {
            service.sweep(&retention, now).await.unwrap();
            file.assert_clean().await;
        }
    }
    assert_eq!(file.applied().await, 0);
    let db = Db::new(service.clone());
    db.user_left("alice").await.unwrap();
    db.message_log("alice", "again").await.unwrap();
    file.assert_clean().await;
}

#[tokio::test]
async fn an_empty_database_is_clean() {
    let file = DbFile::new();
    file.open().await.close().await;
    file.assert_clean().await;
}

/// Reports on numbers that were not given yet.
#[tokio::test]
async fn a_report_on_a_message_that_nobody_knows_says_nothing_of_a_later_one() {
    let file = DbFile::new();
    let service = file.open().await;
    let db = Db::new(service.clone());
    db.outbound_mark_sent(1).await.unwrap();
    db.outbound_mark_failed(2, "gone", true).await.unwrap();
    db.outbound_mark_failed(2, "busy", false).await.unwrap();
    file.assert_clean().await;
    for id in 1..=2 {
        assert_eq!(db.outbound_enqueue(None, "hi").await.unwrap(), id);
    }
    file.assert_clean().await;
    assert_eq!(db.outbound_channel_messages(5).await.unwrap().len(), 2, "no bot has sent them");
    db.outbound_mark_sent(1).await.unwrap();
    file.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_are_not_held_up_and_one_state_is_seen() {
    const EACH: u64 = 1500;
    let file = DbFile::new();
    let services = [file.open().await, file.open().await];
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let db = Db::new(services[caller % 2].clone());
        callers.spawn(async move {
            for n in 0..EACH {
                let user = format!("user{}", n % 20);
                match n % 6 {
                    0 => db.user_joined(user).await.unwrap(),
                    1 => db.user_left(user).await.unwrap(),
                    2 => db.user_count(1, 2).await.unwrap(),
                    3 => {
                        let id = db.outbound_enqueue(None, "hi").await.unwrap();
                        db.outbound_mark_sent(id).await.unwrap();
                    }
                    _ => db.message_log(user, "a line").await.unwrap(),
                }
            }
        });
    }
    let mut states = BTreeSet::new();
    while !callers.is_empty() {
        // what is old goes meanwhile
        let short = Retention::default().keep("chat", Duration::from_millis(100));
        services[0].sweep(&short, clock::now()).await.unwrap();
        let verdict = file.verdict().await;
        assert!(verdict.is_clean(), "{:#?}", verdict.findings);
        // Two checks, one of the ledger and one of the table: both saw the same moment.
        let [known, there] = ["user counts", "user_count_history"].map(|check| verdict.compared.get(check));
        assert_eq!(known, there);
        states.insert(known.copied());
        while let Some(ended) = callers.try_join_next() {
            ended.unwrap();
        }
    }
    assert!(states.len() >= 10, "they have written all the time: {states:?}");
    assert_eq!(file.applied().await, 8 * (EACH + EACH / 6));
    file.assert_clean().await;
}

/// What was found of one row, without the rest.
fn of<'a>(findings: &'a [Finding], check: &str) -> Vec<&'a Finding> {
    findings.iter().filter(|finding| finding.check == check).collect()
}
