//! Answers go to inboxes, and nowhere else: a peer gets nothing done through the service that its own rights do not allow. And
//! what an answer cannot carry is left out, and said.

mod lists;
mod subscription;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use async_nats::HeaderMap;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::program::rosey;
use crate::support::*;

/// A good message for each subject, and whether it changes something.
const OPERATIONS: [(&str, &str, bool); 28] = [
    ("user.joined", r#"{"username":"mallory"}"#, true),
    ("user.left", r#"{"username":"mallory"}"#, true),
    ("message.log", r#"{"username":"mallory","message":"hi"}"#, true),
    ("stats.user_count", r#"{"chat_count":1,"connected_count":2}"#, true),
    ("stats.high_water", r#"{"chat_count":1,"connected_count":2}"#, true),
    ("status.update", r#"{"status":"online"}"#, true),
    ("action.pm_command", r#"{"username":"mallory","command":"stats"}"#, true),
    ("messages.outbound.enqueue", r#"{"content":"hi"}"#, true),
    ("messages.outbound.get", "{}", true),
    ("messages.outbound.mark_sent", r#"{"message_id":1}"#, true),
    ("messages.outbound.mark_failed", r#"{"message_id":1,"error":"gone","permanent":false}"#, true),
    ("stats.recent_chat.get", "{}", false),
    ("query.user_stats", r#"{"username":"mallory"}"#, false),
    ("query.channel_stats", "{}", false),
    ("query.user_count_history", "{}", false),
    ("query.open_sessions", "{}", false),
    ("query.seen", r#"{"username":"mallory"}"#, false),
    ("query.leaderboard", "{}", false),
    ("query.chat", "{}", false),
    ("messages.tell", r#"{"sender":"mallory","username":"alice","content":"hi"}"#, true),
    ("messages.tell.undo", r#"{"sender":"mallory","message_id":1}"#, true),
    ("query.tells", r#"{"sender":"mallory"}"#, false),
    ("quote.add", r#"{"username":"mallory","message":"hi"}"#, true),
    ("quote.get", "{}", false),
    ("kv.set", r#"{"plugin_name":"mallory","key":"a","value":1}"#, true),
    ("kv.get", r#"{"plugin_name":"mallory","key":"a"}"#, false),
    ("kv.delete", r#"{"plugin_name":"mallory","key":"a"}"#, true),
    ("kv.list", r#"{"plugin_name":"mallory"}"#, false),
];

/// Others are refused by the server itself, from any client: `$JS.ACK.`, `_R_.` and `_GR_.` are its own.
const NO_INBOXES: [&str; 20] = [
    "$JS.API.STREAM.PURGE.ROSEY",
    "$JS.API.STREAM.DELETE.ROSEY",
    "$JS.API.CONSUMER.DELETE.ROSEY.writer",
    "$SRV.PING",
    "$SYS.REQ.SERVER.PING",
    "$KV.bucket.key",
    "$O.bucket.C.x",
    "rosey.db.user.joined",
    "rosey.db.ping",
    "rosey.dlq.user_joined",
    "victim.orders",
    "_INBOX",
    "_INBOX.",
    "_INBOX.*",
    "_INBOX.>",
    "_INBOX.a.*.b",
    "_INBOX..a",
    "_INBOX.a.",
    "_INBOXX.a",
    "_inbox.a",
];

/// What the service says of itself.
async fn stats(peer: &Peer) -> Value {
    peer.request("$SRV.STATS.rosey-db", "").await.json()
}

#[tokio::test]
async fn a_peer_that_wants_an_answer_where_no_inbox_is_gets_none_and_nothing_is_done() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start_with(&server, &file, &["--jetstream", "off"]).await;
    let peer = Peer::connect(&server).await;
    let mut everything = peer.listen(">").await;
    let mut raw = BytesPeer::connect(&server);
    let own =
        ["rosey.db.ping", "rosey.db.who", "rosey.db.applied", "rosey.db.no.such.thing", "rosey.db.kv.take"];
    let questions = ["$SRV.PING", "$SRV.INFO", "$SRV.STATS", "$SRV.PING.rosey-db", "$SRV.STATS.rosey-db"];
    let mut expected = 0;
    for reply in NO_INBOXES {
        for (subject, payload, _) in OPERATIONS {
            raw.publish_with_reply(&format!("rosey.db.{subject}"), reply.as_bytes(), b"", payload.as_bytes());
        }
        for subject in own.iter().chain(&questions) {
            raw.publish_with_reply(subject, reply.as_bytes(), b"", b"");
        }
        expected += OPERATIONS.len() + own.len() + questions.len();
    }
    raw.flush();
    let expected = u64::try_from(expected).unwrap();
    wait_until("each is counted", || async {
        stats(&peer).await["data"]["not_inboxes"].as_u64() == Some(expected)
    })
    .await;
    let ping = peer.request("rosey.db.ping", "").await.json();
    assert_eq!(ping["not_inboxes"], json!(expected), "{ping}");
    assert_eq!(file.applied().await, 0, "nothing is done");
    // What was to change something is kept with the reason.
    let writes = OPERATIONS.iter().filter(|(_, _, writes)| *writes).count();
    let kept = u64::try_from(writes * NO_INBOXES.len()).unwrap();
    wait_until("they are kept", || async { file.dead_letters().await == kept }).await;
    let reasons = file.texts("SELECT DISTINCT code FROM dead_letters").await;
    assert_eq!(reasons, ["invalid"]);

    // Nothing was published but to inboxes, and the notices of dead letters.
    peer.publish("the.end", "").await;
    let mut wrong = BTreeSet::new();
    loop {
        let message = next(&mut everything).await;
        let ours = message.headers.as_ref().is_some_and(|h| h.get("Eitherway-Reply").is_some())
            || String::from_utf8_lossy(&message.payload).contains("io.nats.micro");
        let inbox = message.subject.strip_prefix("_INBOX.").is_some_and(|rest| rest.len() > 20);
        if ours && !inbox {
            wrong.insert(message.subject.to_string());
        }
        if message.subject.as_str() == "the.end" {
            break;
        }
    }
    assert_eq!(wrong, BTreeSet::new(), "answers went astray");
    let said = peer.request("rosey.db.user.joined", r#"{"username":"alice"}"#).await;
    assert_eq!((said.refusal(), said.body.as_str()), (None, "{}"), "a peer with an inbox is served");
    let log = service.terminate_and_log().await;
    let lines = log.lines().filter(|line| line.contains("--reply-prefix")).count();
    assert!((1..=60).contains(&lines), "named, and not for each of them:\n{log}");
}

#[tokio::test]
async fn a_peer_that_may_only_ask_empties_no_stream_by_naming_it_as_its_inbox() {
    let w = Durable::new().await;
    let service = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", "on"]).await;
    let peer = Peer::connect(&w.server).await;
    let held = w.file.hold().await;
    for n in 0..50 {
        let said = peer.request("rosey.db.user.joined", format!(r#"{{"username":"u{n}"}}"#)).await;
        assert_eq!(said.json()["stream"], "ROSEY", "{}", said.body);
    }
    let mut raw = BytesPeer::connect(&w.server);
    let subjects = OPERATIONS.iter().filter(|(subject, ..)| {
        subject.starts_with("query.") || subject.starts_with("messages.") || subject.ends_with(".get")
    });
    let mut sent = 0;
    for (subject, payload, _) in subjects {
        for reply in ["$JS.API.STREAM.PURGE.ROSEY", "$JS.API.STREAM.DELETE.ROSEY"] {
            raw.publish_with_reply(&format!("rosey.db.{subject}"), reply.as_bytes(), b"", payload.as_bytes());
            sent += 1;
        }
    }
    raw.flush();
    wait_until("each is counted", || async {
        stats(&peer).await["data"]["not_inboxes"].as_u64() == Some(sent)
    })
    .await;
    assert_eq!(w.stored().await, Some(50), "what was acknowledged is there");
    held.release().await;
    w.emptied().await;
    assert_eq!(w.file.number("SELECT count(*) FROM presence").await, 50);
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test]
async fn what_comes_to_the_inbox_of_the_stream_acknowledges_nothing_and_is_published_nowhere() {
    let w = Durable::new().await;
    let peer = Peer::connect(&w.server).await;
    let mut pulls = peer.listen("$JS.API.CONSUMER.MSG.NEXT.ROSEY.writer").await;
    let service = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", "on"]).await;
    let inbox = next(&mut pulls).await.reply.expect("where the service takes messages").to_string();
    let held = w.file.hold().await;
    for n in 1..=20 {
        peer.request("rosey.db.user.joined", format!(r#"{{"username":"u{n}"}}"#)).await;
    }
    let mut published = peer.listen("$JS.>").await;
    let mut raw = BytesPeer::connect(&w.server);
    let mut sent = 0;
    for n in 1..=20 {
        for reply in [
            format!("$JS.ACK.ROSEY.writer.1.{n}.{n}.1700000000000000000.0"),
            format!("$JS.ACK._.HASH.ROSEY.writer.1.{n}.{n}.1700000000000000000.0.x"),
            format!("$JS.ACK.OTHER.writer.1.{n}.{n}.1700000000000000000.0"),
            format!("$JS.ACK.ROSEY.other.1.{n}.{n}.1700000000000000000.0"),
            "$JS.API.STREAM.PURGE.ROSEY".to_owned(),
            "$JS.API.STREAM.DELETE.ROSEY".to_owned(),
            "_INBOX.another".to_owned(),
        ] {
            raw.publish_with_reply(&inbox, reply.as_bytes(), b"", br#"{"username":"mallory"}"#);
            // The server lets no client say the others.
            sent += u64::from(!reply.starts_with("$JS.ACK"));
        }
    }
    wait_until("each is counted", || async {
        stats(&peer).await["data"]["not_inboxes"].as_u64() >= Some(sent)
    })
    .await;
    assert_eq!(w.stored().await, Some(20), "nothing is acknowledged that is not applied");
    held.release().await;
    w.emptied().await;
    assert_eq!(w.file.number("SELECT count(*) FROM presence").await, 20);
    assert_eq!(w.file.number("SELECT count(*) FROM presence WHERE username = 'mallory'").await, 0);
    peer.publish("$JS.THE_END", "").await;
    loop {
        let message = next(&mut published).await;
        let subject = message.subject.as_str();
        if subject == "$JS.THE_END" {
            break;
        }
        assert!(!subject.contains("PURGE") && !subject.contains("DELETE"), "{subject}");
        assert!(!subject.starts_with("$JS.ACK.OTHER") && !subject.contains(".other."), "{subject}");
    }
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test]
async fn an_operator_may_list_where_else_inboxes_are() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let options = [
        "--jetstream",
        "off",
        "--reply-prefix",
        "_INBOX_bot, answers.to.alice.>",
        "--reply-prefix",
        "inboxes",
    ];
    let service = ServeProcess::start_with(&server, &file, &options).await;
    let peer = Peer::connect(&server).await;
    for reply in ["_INBOX_bot.1", "answers.to.alice.1", "inboxes.a.b"] {
        let mut answers = peer.listen(reply).await;
        for subject in ["rosey.db.ping", "rosey.db.query.channel_stats", "$SRV.PING"] {
            peer.client.publish_with_reply(subject, reply.to_owned(), "".into()).await.unwrap();
            next(&mut answers).await;
        }
    }
    let mut others = peer.listen("answers.to.bob.1").await;
    peer.client.publish_with_reply("rosey.db.ping", "answers.to.bob.1", "".into()).await.unwrap();
    wait_until("it is counted", || async { stats(&peer).await["data"]["not_inboxes"] == 1 }).await;
    assert!(silent(&mut others, Duration::from_millis(10)).await);
    assert_eq!(service.terminate().await, Some(0));
}

fn serve(file: &DbFile, server: &str) -> Command {
    let mut command = rosey(file.dir());
    command.args(["serve", "--nats-url", server]);
    command
}

#[tokio::test]
async fn a_prefix_below_which_more_lies_than_inboxes_is_refused_at_the_start() {
    let file = DbFile::new();
    let refused = |command: &mut Command, what: &str| {
        let Ran { code, err: said, .. } = Ran::of(command);
        assert_eq!(code, Some(2), "{what}: {said}");
        let named =
            ["--reply-prefix", "ROSEY_REPLY_PREFIX", "rosey.toml"].iter().any(|name| said.contains(name));
        assert!(named && said.lines().count() == 1, "{what}: {said}");
    };
    for prefix in [
        "",
        ">",
        "*",
        "$JS",
        "$JS.API",
        "$SRV",
        "$SYS",
        "$KV",
        "rosey",
        "rosey.db",
        "rosey.db.user.joined",
        "rosey.dlq",
        "a..b",
        "a.*",
        "_INBOX_bot,$JS",
        "_GR_",
    ] {
        refused(serve(&file, "nats://127.0.0.1:1").args(["--reply-prefix", prefix]), prefix);
    }
    refused(serve(&file, "nats://127.0.0.1:1").env("ROSEY_REPLY_PREFIX", "_INBOX_bot, $JS"), "the variable");
    std::fs::write(file.path().with_file_name("rosey.toml"), "reply-prefix = \"$JS\"\n").unwrap();
    refused(&mut serve(&file, "nats://127.0.0.1:1"), "the file");
    assert!(!file.path().exists(), "and leaves nothing behind");
}
