//! Answers go to inboxes, and nowhere else: a peer gets nothing done through the service that its own rights do not allow. And
//! what an answer cannot carry is left out, and said.

mod lists;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use async_nats::HeaderMap;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::program::rosey;
use crate::support::*;

/// The wire as bytes: what no client library would send.
struct Raw(TcpStream);

impl Raw {
    fn connect(server: &impl Url) -> Self {
        let url = server.url();
        let mut stream = TcpStream::connect(url.trim_start_matches("nats://")).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(b"CONNECT {\"verbose\":false,\"headers\":true}\r\n").unwrap();
        Self(stream)
    }

    fn publish(&mut self, subject: &str, reply: &str, payload: &str) {
        let line = format!("PUB {subject} {reply} {}\r\n{payload}\r\n", payload.len());
        self.0.write_all(line.as_bytes()).unwrap();
    }

    /// Waits until the server has read it all.
    fn flush(&mut self) {
        self.0.write_all(b"PING\r\n").unwrap();
        let mut seen = String::new();
        while !seen.contains("PONG") {
            let mut some = [0; 4096];
            let n = self.0.read(&mut some).unwrap();
            assert!(n > 0, "the server closed: {seen}");
            seen.push_str(&String::from_utf8_lossy(&some[..n]));
        }
    }
}

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
    let mut raw = Raw::connect(&server);
    let own =
        ["rosey.db.ping", "rosey.db.who", "rosey.db.applied", "rosey.db.no.such.thing", "rosey.db.kv.take"];
    let questions = ["$SRV.PING", "$SRV.INFO", "$SRV.STATS", "$SRV.PING.rosey-db", "$SRV.STATS.rosey-db"];
    let mut expected = 0;
    for reply in NO_INBOXES {
        for (subject, payload, _) in OPERATIONS {
            raw.publish(&format!("rosey.db.{subject}"), reply, payload);
        }
        for subject in own.iter().chain(&questions) {
            raw.publish(subject, reply, "");
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
    wait_until("they are kept", || async { file.buried().await == kept }).await;
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
    let mut raw = Raw::connect(&w.server);
    let subjects = OPERATIONS.iter().filter(|(subject, ..)| {
        subject.starts_with("query.") || subject.starts_with("messages.") || subject.ends_with(".get")
    });
    let mut sent = 0;
    for (subject, payload, _) in subjects {
        for reply in ["$JS.API.STREAM.PURGE.ROSEY", "$JS.API.STREAM.DELETE.ROSEY"] {
            raw.publish(&format!("rosey.db.{subject}"), reply, payload);
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
    let mut raw = Raw::connect(&w.server);
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
            raw.publish(&inbox, &reply, r#"{"username":"mallory"}"#);
            // The server lets no client say the others.
            sent += u64::from(!reply.starts_with("$JS.ACK"));
        }
    }
    raw.flush();
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

// What the one subscription takes along.

#[tokio::test]
async fn an_operation_that_does_not_exist_is_refused_at_once_and_a_flood_of_them_leaves_no_trace_but_a_number()
 {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start_with(&server, &file, &["--jetstream", "off"]).await;
    let peer = Peer::connect(&server).await;
    for subject in
        ["rosey.db.kv.take", "rosey.db.row.quotes.insert", "rosey.db.foo", "rosey.db.user", "rosey.db.PING"]
    {
        let said = peer.request(subject, "{}").await;
        assert_eq!(said.refusal(), Some(501), "{subject}: {said:?}");
        assert_eq!(said.json()["code"], "unknown_operation", "{subject}");
    }
    for n in 0..2_000 {
        peer.publish(&format!("rosey.db.kv.set.{n}"), "{}").await;
    }
    wait_until("they are counted", || async { stats(&peer).await["data"]["unknown"] == 2_005 }).await;
    assert_eq!(peer.request("rosey.db.ping", "").await.json()["unknown"], 2_005);
    assert_eq!((file.applied().await, file.buried().await), (0, 0));
    let log = service.terminate_and_log().await;
    let lines = log.lines().filter(|line| line.contains("unknown operation")).count();
    assert!((1..=10).contains(&lines), "named, and not for each of them:\n{log}");
}

#[tokio::test]
async fn each_request_is_answered_once_also_beside_an_instance_that_listens_to_each_subject_by_itself() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start_with(&server, &file, &["--jetstream", "off"]).await;
    let peer = Peer::connect(&server).await;
    let older = Peer::connect(&server).await;
    let subject = "rosey.db.user.joined";
    let mut taken = older.client.queue_subscribe(subject, "rosey.db".to_owned()).await.unwrap();
    older.flush().await;
    let client = older.client.clone();
    tokio::spawn(async move {
        let mut headers = HeaderMap::new();
        headers.insert("Eitherway-Reply", "1");
        while let Some(message) = taken.next().await {
            let reply = message.reply.unwrap();
            client.publish_with_headers(reply, headers.clone(), r#"{"older":true}"#.into()).await.unwrap();
        }
    });
    let inbox = peer.client.new_inbox();
    let mut answers = peer.listen(&format!("{inbox}.>")).await;
    let asked =
        [subject, "rosey.db.ping", "rosey.db.who", "rosey.db.applied", "rosey.db.query.channel_stats"];
    for n in 0..200 {
        for (place, subject) in asked.iter().enumerate() {
            let reply = format!("{inbox}.{place}.{n}");
            let payload = if place == 0 { format!(r#"{{"username":"u{n}"}}"#) } else { String::new() };
            peer.client.publish_with_reply(*subject, reply, payload.into()).await.unwrap();
        }
    }
    let (mut seen, mut by_older) = (BTreeSet::new(), 0);
    for _ in 0..200 * asked.len() {
        let answer = next(&mut answers).await;
        by_older += u64::from(answer.payload.starts_with(br#"{"older""#));
        assert!(seen.insert(answer.subject.to_string()), "answered twice: {}", answer.subject);
    }
    assert!(silent(&mut answers, Duration::from_millis(50)).await, "and not once more");
    assert!((1..200).contains(&by_older), "both have their share: {by_older}");
    assert_eq!(file.applied().await, 200 - by_older);
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test]
async fn questions_are_answered_while_thousands_of_events_wait_for_a_locked_database() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start_with(&server, &file, &["--jetstream", "off"]).await;
    let peer = Peer::connect(&server).await;
    let held = file.hold().await;
    let mut burst = String::new();
    for n in 0..5_000 {
        let payload = format!(r#"{{"username":"u{n}"}}"#);
        write!(burst, "PUB rosey.db.user.joined {}\r\n{payload}\r\n", payload.len()).unwrap();
    }
    let mut raw = Raw::connect(&server);
    raw.0.write_all(burst.as_bytes()).unwrap();
    raw.flush();
    for _ in 0..20 {
        assert_eq!(peer.request("rosey.db.stats.recent_chat.get", "{}").await.body, "[]");
    }
    held.release().await;
    wait_until("all events are applied", || async { file.applied().await == 5_000 }).await;
    assert_eq!(service.terminate().await, Some(0));
}
