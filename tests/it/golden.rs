//! The wire contract as files: what we send and answer, byte by byte, and what we take from others.
//!
//! `GOLDEN=write cargo test --test it golden::` writes the files anew; the difference is then to be read, because every peer
//! out there has been written against them.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::support::*;
use async_nats::{HeaderMap, Message};
use eitherway::operation::Definition;
use eitherway::request::{OpId, Trace};
use eitherway::{Head, Operation, Request};
use rosey::op::*;
use tower::Service;

fn status(json: &str) -> StatusUpdate {
    serde_json::from_str(json).unwrap()
}

/// Each operation, the second form of the status too, in an order in which each has something to answer.
fn operations() -> Vec<(&'static str, Op)> {
    let documented = r#"{"status":"online","details":"in the lounge"}"#;
    let python = r#"{"status_data":{"bot_name":"Rosey","bot_rank":2.5,"bot_afk":false,"channel_name":"lounge",
        "current_chat_users":3,"current_connected_users":5,"playlist_items":7,"current_media_title":null,
        "current_media_duration":"03:12","bot_start_time":1699990000,"bot_connected":true}}"#;
    let alice = || "alice".to_owned();
    let command = PmCommand {
        username: alice(),
        command: "stats".into(),
        args: "top 3".into(),
        result: "error".into(),
        error: Some("no such list".into()),
    };
    let tell = |privately| Tell {
        sender: "bob".into(),
        username: alice(),
        content: "the door is open".into(),
        privately,
    };
    let search = SearchChat {
        username: Some(alice()),
        containing: Some("hi".into()),
        since: 1_700_000_000,
        before: Some(1_800_000_000),
        limit: 20,
    };
    let quote = QuoteAdd {
        username: alice(),
        message: "it works on \"my\" machine".into(),
        added_by: Some("bob".into()),
    };
    let lead = Lead { room: "irc:#lounge".into(), bot: "0197c3".into(), name: "rosey".into(), seconds: 6 };
    let kv_set = |key: &str, ttl_seconds| KvSet {
        plugin_name: "trivia".into(),
        key: key.into(),
        value: serde_json::json!({"b": [1, 2.5, null], "a": "☃"}),
        ttl_seconds,
    };
    vec![
        ("user_joined", UserJoined { username: alice() }.into()),
        ("message_log", MessageLog { username: alice(), message: "\"hi\" \\ ☃ 💥 \u{7f}\n".into() }.into()),
        ("user_count", UserCount { chat_count: 3, connected_count: 5 }.into()),
        ("high_water", HighWater { chat_count: 3, connected_count: Some(5) }.into()),
        ("high_water_without_connections", HighWater { chat_count: 2, connected_count: None }.into()),
        ("status_update", status(documented).into()),
        ("status_update_python", status(python).into()),
        ("pm_command", command.into()),
        (
            "outbound_enqueue",
            OutboundEnqueue { username: Some(alice()), content: "welcome back".into() }.into(),
        ),
        ("outbound_enqueue_channel", OutboundEnqueue { username: None, content: "to all".into() }.into()),
        ("outbound_get", OutboundGet { username: Some(alice()), limit: 10, max_retries: 3 }.into()),
        ("outbound_get_channel", OutboundGet { username: None, limit: 50, max_retries: 3 }.into()),
        ("outbound_mark_sent", OutboundMarkSent { message_id: 1 }.into()),
        (
            "outbound_mark_failed",
            OutboundMarkFailed { message_id: 2, error: "gone".into(), permanent: true }.into(),
        ),
        ("recent_chat", RecentChat { limit: 50 }.into()),
        ("open_sessions", OpenSessions {}.into()),
        ("user_left", UserLeft { username: alice() }.into()),
        ("user_stats", GetUserStats { username: alice() }.into()),
        ("user_stats_unknown", GetUserStats { username: "nobody".into() }.into()),
        ("channel_stats", GetChannelStats {}.into()),
        ("user_count_history", UserCountHistory { hours: 8784 }.into()),
        ("seen", GetSeen { username: alice() }.into()),
        ("seen_unknown", GetSeen { username: "nobody".into() }.into()),
        ("leaderboard", GetLeaderboard { since: 1_700_000_000, limit: 10 }.into()),
        ("chat", search.into()),
        ("tell", tell(true).into()),
        ("tell_in_the_channel", tell(false).into()),
        ("tells", GetTells { sender: None, username: Some(alice()), limit: 50 }.into()),
        ("tells_of_a_sender", GetTells { sender: Some("bob".into()), username: None, limit: 1 }.into()),
        ("tell_undo", TellUndo { sender: "bob".into(), message_id: 4 }.into()),
        ("quote_add", quote.into()),
        ("quote", GetQuote { username: Some(alice()), place: 7, ..GetQuote::default() }.into()),
        ("quote_unknown", GetQuote { id: Some(99), ..GetQuote::default() }.into()),
        ("kv_set", kv_set("round", None).into()),
        ("kv_set_for_a_while", kv_set("rest", Some(60)).into()),
        ("kv_get", KvGet { plugin_name: "trivia".into(), key: "round".into() }.into()),
        ("kv_get_unknown", KvGet { plugin_name: "trivia".into(), key: "rest".into() }.into()),
        ("kv_list", KvList { plugin_name: "trivia".into(), prefix: "r".into(), limit: 1000 }.into()),
        ("forget", Forget { username: "nobody".into() }.into()),
        ("kv_delete", KvDelete { plugin_name: "trivia".into(), key: "round".into() }.into()),
        ("lead", lead.into()),
    ]
}

const AT: i64 = 1_700_000_000_123;

/// The same head in every run, one second after the other.
fn head(n: usize) -> Head {
    let trace = Trace::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some("rosey=1"));
    Head {
        id: OpId::parse(&format!("018bcfe5-687b-7000-8000-{n:012}")).unwrap(),
        occurred_at: AT + i64::try_from(n).unwrap() * 1000,
        trace: trace.map(Arc::new),
        deadline: None,
    }
}

#[tokio::test]
async fn what_is_sent_and_answered_on_each_subject_is_byte_by_byte_what_the_files_say() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = DbService::start(&server, &file).await;
    let peer = Peer::connect(&server).await;
    let mut nats = nats(&server).await;
    tokio::time::timeout(LIMIT, nats.recognised()).await.expect("recognised");
    let mut seen = std::collections::HashSet::new();
    for (n, (name, op)) in operations().into_iter().enumerate() {
        seen.insert(op.spec().name);
        let empty = op.spec().empty_answer;
        let mut head = head(n);
        let claims = op.spec().writes() && op.spec().answer_is_list();
        if claims {
            head.occurred_at = eitherway::clock::now(); // an old claim hands out nothing
        }
        let at = head.occurred_at.to_string();
        let request = Request::<Op>::with_head(head, op);
        let mut wire = peer.listen(request.op.spec().subject).await;
        let (reply, sent) = tokio::join!(nats.call(request), next(&mut wire));
        reply.unwrap();
        // The service has the id in its ledger: the same bytes again are answered the same.
        let headers = sent.headers.clone().unwrap();
        let answer = peer.request_with(&sent.subject, headers, sent.payload.clone()).await;
        let refusal = peer.request(&sent.subject, "nonsense").await;
        assert_eq!(refusal.body == "[]", empty == "[]");
        let text = transcript(&sent, &answer, &refusal, service.sqlx.database());
        let text = if name == "lead" { without_clocks(&text) } else { text };
        golden(&format!("wire/{name}.txt"), &if claims { text.replace(&at, "<now>") } else { text });
    }
    let all: std::collections::HashSet<_> = Op::NAMES.iter().copied().collect();
    assert_eq!(seen, all, "every operation has its file");
}

/// Without what depends on the clock of the database's host.
fn without_clocks(text: &str) -> String {
    let mut text = text.to_owned();
    for field in ["\"age\":", "\"skew\":"] {
        let begin = text.find(field).unwrap() + field.len();
        let end = begin + text[begin..].find([',', '}']).unwrap();
        text.replace_range(begin..end, "<clock>");
    }
    text
}

fn transcript(sent: &Message, answer: &Said, refusal: &Said, database: &str) -> String {
    let mut text = String::new();
    let payload = std::str::from_utf8(&sent.payload).unwrap();
    write!(text, "> {}\n{}> {payload}\n", sent.subject, lines('>', sent.headers.as_ref().unwrap())).unwrap();
    write!(text, "\n{}< {}\n", lines('<', &answer.headers), answer.body).unwrap();
    write!(text, "\n> nonsense\n{}< {}\n", lines('<', &refusal.headers), refusal.body).unwrap();
    text.replace(database, "<database>")
}

fn lines(mark: char, headers: &HeaderMap) -> String {
    let mut lines: Vec<_> = headers
        .iter()
        .flat_map(|(name, values)| {
            values.iter().map(move |value| format!("{mark} {name}: {}\n", value.as_str()))
        })
        .collect();
    lines.sort();
    lines.concat()
}

/// Requests as a plugin of the Python bot writes them, and its answers. What a refusal says beside its code is ours.
#[tokio::test]
async fn the_python_bots_plugins_are_answered_as_the_file_says() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let _service = DbService::start(&server, &file).await;
    let peer = Peer::connect(&server).await;
    let text = std::fs::read_to_string(folder().join("origin/kv.txt")).unwrap();
    let mut answers = 0;
    let mut said = None;
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(asked) = line.strip_prefix("> ") {
            let (subject, payload) = asked.split_once(' ').unwrap();
            let payload = payload.replace("<70000 letters>", &"x".repeat(70_000));
            said = Some(peer.request(subject, payload).await.body);
            continue;
        }
        let expected: serde_json::Value = serde_json::from_str(line.strip_prefix("< ").unwrap()).unwrap();
        let said = said.take().expect("a request before each answer");
        let mut found: serde_json::Value = serde_json::from_str(&said).unwrap();
        if let Some(error) = found.get_mut("error") {
            assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{said}");
            error.as_object_mut().unwrap().remove("message");
        }
        assert_eq!(found, expected, "{line}");
        answers += 1;
    }
    assert_eq!(answers, 28);
}

/// The one answer that depends on the time of asking.
#[tokio::test]
async fn the_history_of_counts_has_the_form_that_peers_read() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let _service = DbService::start(&server, &file).await;
    let peer = Peer::connect(&server).await;
    peer.request("rosey.db.stats.user_count", r#"{"chat_count":3,"connected_count":1}"#).await;
    let at = file.number("SELECT timestamp FROM user_count_history").await;
    let answer = peer.request("rosey.db.query.user_count_history", "").await.body;
    assert_eq!(answer, format!(r#"[{{"timestamp":{at},"chat_users":3,"connected_users":3}}]"#));
}

#[test]
fn what_is_taken_from_others_means_what_the_file_says() {
    let inputs = std::fs::read_to_string(folder().join("taken/inputs.txt")).unwrap();
    let mut text = String::new();
    for line in inputs.lines() {
        let Some((name, payload)) = line.split_once(' ').filter(|_| !line.starts_with('#')) else {
            writeln!(text, "{line}").unwrap();
            continue;
        };
        let index = Op::NAMES.iter().position(|known| *known == name).unwrap_or_else(|| panic!("{name}"));
        let meaning = match Op::decode(index, payload.trim().as_bytes()) {
            Ok(op) => {
                let json = op.encode().unwrap();
                let again = Op::decode(index, &json).unwrap();
                assert_eq!(again.encode().unwrap(), json, "read again it says the same");
                String::from_utf8(json).unwrap()
            }
            Err(refused) => format!("refused: {}", refused.0),
        };
        writeln!(text, "{line}\n    = {meaning}").unwrap();
    }
    golden("taken/meaning.txt", &text);
}

#[test]
fn the_contract_of_each_operation_is_what_the_file_says() {
    let mut text = String::new();
    for spec in Op::SPECS {
        let timed = if spec.stamped { "timed" } else { "untimed" };
        writeln!(text, "{:20} {:40} {:?} {timed} {}", spec.name, spec.subject, spec.kind, spec.empty_answer)
            .unwrap();
    }
    golden("contract.txt", &text);
    assert_eq!(UserJoined::SPEC.name, Op::NAMES[0]);
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Compares with the file, or writes it.
fn golden(file: &str, text: &str) {
    let path = folder().join(file);
    if std::env::var("GOLDEN").is_ok_and(|mode| mode == "write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(known == text, "{} says:\n{known}\nand it is:\n{text}", path.display());
}
