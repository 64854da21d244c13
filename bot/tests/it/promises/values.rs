//! Values at the limits of SQLite and of JSON: each is applied or refused, over either path alike, and never keeps what comes
//! beside it from being applied.

use std::io::Write;
use std::process::Stdio;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::program::{Ran, rosey};
use crate::support::*;

/// The largest payload that is taken.
const LARGEST: usize = 256 << 10;

const SUBJECTS: [(&str, &str); 6] = [
    ("user_joined", "rosey.db.user.joined"),
    ("message_log", "rosey.db.message.log"),
    ("status_update", "rosey.db.status.update"),
    ("pm_command", "rosey.db.action.pm_command"),
    ("user_count", "rosey.db.stats.user_count"),
    ("outbound_enqueue", "rosey.db.messages.outbound.enqueue"),
];

/// What the tables hold, apart from times and ids.
const ROWS: &str = "
    SELECT 'chat ' || username || ' ' || hex(message) FROM recent_chat
    UNION ALL SELECT 'user ' || username || ' ' || total_chat_lines FROM user_stats_now
    UNION ALL SELECT 'queue ' || coalesce(username, '-') || ' ' || hex(message) FROM outbound_messages
    UNION ALL SELECT 'count ' || chat_users || ' ' || connected_users FROM user_count_history
    ORDER BY 1";

/// A payload of exactly this many bytes: this object, with one field that is filled up.
fn filled(object: serde_json::Value, field: &str, bytes: usize) -> String {
    let mut object = object;
    object[field] = json!("");
    let empty = object.to_string().len();
    object[field] = json!("x".repeat(bytes - empty));
    object.to_string()
}

/// Operations with odd payloads, and whether each is applied.
fn odd() -> Vec<(&'static str, Vec<u8>, bool)> {
    let mut odd: Vec<(&str, Vec<u8>, bool)> = Vec::new();
    // Every text that may be long, as large as a payload may be, and one byte more.
    for (operation, object, field) in [
        ("message_log", json!({"username": "ann"}), "message"),
        ("outbound_enqueue", json!({"username": "ann"}), "content"),
        ("pm_command", json!({"username": "ann", "command": "c", "args": "", "result": "r"}), "args"),
        ("pm_command", json!({"username": "ann", "command": "c", "args": "", "result": "r"}), "error"),
    ] {
        odd.push((operation, filled(object.clone(), field, LARGEST).into(), true));
        odd.push((operation, filled(object, field, LARGEST + 1).into(), false));
    }
    // Texts that may not, although the payload fits.
    for (operation, object, field) in [
        ("user_joined", json!({}), "username"),
        ("message_log", json!({"message": "hi"}), "username"),
        ("status_update", json!({}), "status"),
        ("pm_command", json!({"username": "ann", "args": "", "result": "r"}), "command"),
        ("pm_command", json!({"username": "ann", "command": "c", "args": ""}), "result"),
    ] {
        odd.push((operation, filled(object, field, LARGEST).into(), false));
    }
    // Larger when it is written again, by its escapes: each character of these takes six bytes.
    let controls = format!(r#"{{"username":"ann","message":"{}"}}"#, r"\u0001".repeat(40_000));
    odd.push(("message_log", controls.into(), true));
    let quotes = format!(r#"{{"username":"ann","message":"{}"}}"#, r#"\""#.repeat(120_000));
    odd.push(("message_log", quotes.into(), true));
    let mut raw = |operation, payload: &[u8], applied| odd.push((operation, payload.to_vec(), applied));
    raw("message_log", r#"{"username":"ann","message":"é\u00e9\ud83d\ude00"}"#.as_bytes(), true);
    for lone in [r"\ud800", r"\udfff", r"\ud800\ud800", r"\udc00\ud800", r"\ud800x", r"\u0000", r"\x00"] {
        raw("user_joined", format!(r#"{{"username":"{lone}"}}"#).as_bytes(), false);
        raw("message_log", format!(r#"{{"username":"ann","message":"{lone}"}}"#).as_bytes(), false);
        raw("outbound_enqueue", format!(r#"{{"content":"{lone}"}}"#).as_bytes(), false);
    }
    for number in
        ["1e400", "-1e400", "1e19", "18446744073709551616", "1e-400", "NaN", "Infinity", "0x10", "01"]
    {
        raw("user_count", format!(r#"{{"chat_count":{number},"connected_count":1}}"#).as_bytes(), false);
    }
    // A time that is no number counts as none; no number at all is no JSON.
    raw("user_joined", br#"{"username":"bob","timestamp":1e400}"#, false);
    raw("user_joined", br#"{"username":"ann","username":"bob"}"#, false);
    raw("message_log", br#"{"username":"ann","message":"one","message":"two"}"#, false);
    raw("user_joined", br#"{"username":"twice","x":1,"x":2}"#, true);
    raw("user_joined", b"{\"username\":\"a\0b\"}", false);
    raw("user_joined", b"{\"username\":\"a\xff\"}", false);
    raw("user_joined", b"{\"username\":\"a\xed\xa0\x80\"}", false);
    raw("user_joined", b"\xef\xbb\xbf{\"username\":\"mark\"}", false);
    // What is not known is passed over, as deep as it is.
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let unknown = format!(r#"{{"username":"deep","x":{}}}"#, nested(100));
        raw("user_joined", unknown.as_bytes(), true);
        let deep = nested(1_000);
        raw("message_log", format!(r#"{{"username":"ann","message":{deep}}}"#).as_bytes(), false);
    }
    odd
}

/// How a payload that is nested a thousand times in a field that is not known is taken: either way, but alike.
fn deep_unknown() -> Vec<u8> {
    format!(r#"{{"username":"deeper","x":{}1{}}}"#, "[".repeat(1_000), "]".repeat(1_000)).into_bytes()
}

/// Sends it without NATS; whether it was applied.
fn direct(file: &DbFile, operation: &str, payload: &[u8]) -> bool {
    let mut child = rosey(file.dir())
        .args(["send", operation, "-", "--no-nats", "--database-url", &file.url()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut input, payload) = (child.stdin.take().unwrap(), payload.to_vec());
    let writing = std::thread::spawn(move || drop(input.write_all(&payload)));
    let ran = Ran::from(child.wait_with_output().unwrap());
    writing.join().unwrap();
    assert!(matches!(ran.code, Some(0 | 2 | 3)), "{operation}: {ran:?}");
    ran.code == Some(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_at_a_limit_is_applied_or_refused_over_both_paths_alike() {
    let (server, over_nats, by_hand) = (NatsServer::start().await, DbFile::new(), DbFile::new());
    let service = ServeProcess::start(&server, &over_nats).await;
    let peer = Peer::connect(&server).await;
    let all: Vec<_> =
        odd().into_iter().map(|(operation, payload, applied)| (operation, payload, Some(applied))).collect();
    let unknown = ("user_joined", deep_unknown(), None);
    let mut count = 0;
    for (operation, payload, expected) in all.into_iter().chain([unknown]) {
        let subject = SUBJECTS.iter().find(|(name, _)| *name == operation).unwrap().1;
        let shown = String::from_utf8_lossy(&payload[..payload.len().min(100)]).into_owned();
        let said = peer.request(subject, payload.clone()).await;
        assert!(said.refusal().is_none_or(|code| (400..500).contains(&code)), "{shown}: {said:?}");
        let applied = said.refusal().is_none();
        count += u64::from(applied);
        assert!(expected.is_none_or(|expected| expected == applied), "{operation} {shown}: {said:?}");
        assert_eq!(
            direct(&by_hand, operation, &payload),
            applied,
            "{operation} {shown}: over both paths alike"
        );
    }
    assert_eq!(over_nats.texts(ROWS).await, by_hand.texts(ROWS).await, "the same rows");
    assert_eq!((over_nats.applied().await, by_hand.applied().await), (count, count));
    for file in [&over_nats, &by_hand] {
        file.assert_clean().await;
    }
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_odd_keeps_nothing_beside_it_from_being_applied() {
    for mode in ["off", "on"] {
        let w = Durable::new().await;
        let service = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", mode]).await;
        let peer = Peer::connect(&w.server).await;
        // All of it waits for one lock, so that it meets in one batch or two.
        let held = w.file.hold().await;
        let (mut good, mut refused) = (0, 0);
        for (n, (operation, payload, applied)) in odd().into_iter().enumerate() {
            let subject = SUBJECTS.iter().find(|(name, _)| *name == operation).unwrap().1;
            // A call is not stored, and no caller waits for its answer here.
            if operation == "outbound_enqueue" {
                continue;
            }
            peer.publish(subject, payload).await;
            peer.publish("rosey.db.user.joined", format!(r#"{{"username":"beside{n}"}}"#)).await;
            (good, refused) = (good + 1 + u64::from(applied), refused + u64::from(!applied));
        }
        peer.flush().await;
        peer.request("rosey.db.ping", "").await;
        held.release().await;
        let done = holds_within(LIMIT, || async {
            (w.file.applied().await, w.file.dead_letters().await) == (good, refused)
        });
        let done = done.await;
        let found = (w.file.applied().await, w.file.dead_letters().await);
        assert!(done, "{mode}: {found:?}, and {good} and {refused} were expected:\n{}", service.log());
        let log = service.terminate_and_log().await;
        assert!(log.contains(" 0 lost"), "{mode}: {log}");
        w.file.assert_clean().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_users_and_lines_as_large_as_may_be_fit_into_what_is_written_at_once() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start(&server, &file).await;
    let peer = Peer::connect(&server).await;
    let held = file.hold().await;
    for n in 0..10_000 {
        let name = format!("{n:05}{}", "u".repeat(200));
        peer.publish("rosey.db.user.joined", json!({ "username": name }).to_string()).await;
    }
    peer.flush().await;
    peer.request("rosey.db.ping", "").await;
    held.release().await;
    wait_until("all have joined", || async { file.applied().await == 10_000 }).await;
    assert_eq!(file.number("SELECT count(*) FROM presence").await, 10_000);

    let line = filled(json!({"username": "ann"}), "message", LARGEST);
    let held = file.hold().await;
    let asked = (0..64).map(|_| peer.request("rosey.db.message.log", line.clone()));
    let (answers, ()) = tokio::join!(join_all(asked), async {
        service.says("the database fails").await;
        held.release().await;
    });
    assert!(answers.iter().all(|said| said.refusal().is_none()), "{answers:?}");
    assert_eq!(file.number("SELECT count(*) FROM recent_chat").await, 64);
    assert_eq!(file.dead_letters().await, 0);
    let log = service.terminate_and_log().await;
    assert!(log.contains(" 0 lost"), "{log}");
    file.assert_clean().await;
}
