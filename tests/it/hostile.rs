//! Garbage on every subject, and peers that know nothing of us: refused with a reason or stored as it is, and the next
//! message is served.

mod peers;

use std::io::{Read, Write};

use crate::support::*;
use async_nats::HeaderMap;
use eitherway::Operation;
use eitherway::operation::{Kind, Spec};
use rosey::op::Op;
use serde_json::json;

struct World {
    server: NatsServer,
    file: DbFile,
    service: DbService,
    peer: Peer,
}

impl World {
    async fn new() -> Self {
        let (server, file) = (NatsServer::start().await, DbFile::new());
        let service = DbService::start(&server, &file).await;
        let peer = Peer::connect(&server).await;
        Self { server, file, service, peer }
    }
}

/// A message that every service must serve, for each operation.
fn good(spec: &Spec) -> &'static str {
    match spec.name {
        "user_joined" | "user_left" | "forget" | "user_stats" | "seen" | "tells" | "quote" => {
            r#"{"username":"good"}"#
        }
        "message_log" => r#"{"username":"good","message":"hi"}"#,
        "user_count" | "high_water" => r#"{"chat_count":1,"connected_count":2}"#,
        "status_update" => r#"{"status":"online"}"#,
        "pm_command" => r#"{"username":"good","command":"stats"}"#,
        "outbound_enqueue" => r#"{"content":"hi"}"#,
        "outbound_mark_sent" => r#"{"message_id":1}"#,
        "outbound_mark_failed" => r#"{"message_id":1,"error":"gone","permanent":false}"#,
        "outbound_get" | "recent_chat" | "channel_stats" | "user_count_history" | "open_sessions" => "{}",
        "tell" => r#"{"sender":"good","username":"better","content":"hi"}"#,
        "tell_undo" => r#"{"sender":"good","message_id":1}"#,
        "quote_add" => r#"{"username":"good","message":"hi"}"#,
        "kv_set" => r#"{"plugin_name":"good","key":"a","value":1}"#,
        "leaderboard" | "chat" => "{}",
        "kv_get" | "kv_delete" | "kv_list" => r#"{"plugin_name":"good","key":"a"}"#,
        "lead" => r#"{"room":"good","bot":"a","name":"b","seconds":6}"#,
        other => panic!("give {other} a good message here"),
    }
}

/// Payloads that no operation takes.
fn garbage() -> Vec<(&'static str, Vec<u8>)> {
    let deep =
        |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000)).into_bytes();
    vec![
        ("broken JSON", br#"{"username":"al"#.to_vec()),
        ("two values", br#"{"username":"alice"}{"username":"bob"}"#.to_vec()),
        ("an array", br#"["alice","hi"]"#.to_vec()),
        ("an array of the operation", br#"[{"username":"alice"}]"#.to_vec()),
        ("a string", br#""alice""#.to_vec()),
        ("a number", b"42".to_vec()),
        ("null", b"null".to_vec()),
        ("NUL", vec![0]),
        ("NUL inside", b"{\"username\":\"a\0b\",\"limit\":1,\"content\":\"c\"}".to_vec()),
        ("not UTF-8", b"{\"username\":\"\xff\xfe\",\"content\":\"\xff\",\"status\":\"\xc3(\"}\xff".to_vec()),
        ("deep arrays", deep("[", "]")),
        ("deep objects without an end", r#"{"a":"#.repeat(20_000).into_bytes()),
        ("1 MiB of x", vec![b'x'; 1 << 20]),
        ("1 MiB of JSON", format!(r#"{{"username":"{}"}}"#, "x".repeat((1 << 20) - 20)).into_bytes()),
        ("Python's repr", b"{'username': 'alice', 'limit': 5}".to_vec()),
        ("SQL", b"'); DROP TABLE user_stats; --".to_vec()),
    ]
}

#[tokio::test]
async fn garbage_on_every_subject_is_refused_with_a_reason_and_the_next_message_is_served() {
    let w = World::new().await;
    for spec in Op::SPECS {
        for (what, payload) in garbage() {
            let at = format!("{what} on {}", spec.subject);
            let buried = w.file.dead_letters().await;
            let applied = w.file.applied().await;
            let said = w.peer.request(spec.subject, payload.clone()).await;
            assert_refused(&said, spec, 400, &at);
            assert_eq!(w.file.applied().await, applied, "{at}: no effect");
            let kept = if spec.kind == Kind::Query { buried } else { buried + 1 };
            assert_eq!(w.file.dead_letters().await, kept, "{at}: kept before it is told");
            if spec.kind != Kind::Query {
                assert_letter(&w.file, spec.subject, &payload, &at).await;
            }
        }
        let next = w.peer.request(spec.subject, good(spec)).await;
        assert_eq!(next.refusal(), None, "{}: {}", spec.subject, next.body);
    }
    let served = w.service.stop().await;
    assert_eq!((served.lost, served.failed), (0, 0), "{served:?}");
}

/// A refusal looks like one to clients that read headers, and keeps the form of an answer for those that do not.
fn assert_refused(said: &Said, spec: &Spec, status: u16, at: &str) {
    assert_eq!(said.header("Eitherway-Reply"), Some("1"), "{at}");
    assert!(said.header("Eitherway-Database").is_some_and(|id| id.len() == 32), "{at}");
    assert_eq!(said.refusal(), Some(status), "{at}: {}", said.body);
    let reason = said.header("Nats-Service-Error").unwrap();
    assert!((5..=500).contains(&reason.chars().count()), "{at}: {reason}");
    assert!(!reason.contains(char::is_control), "{at}: {reason}");
    if spec.empty_answer == "[]" {
        assert_eq!(said.body, "[]", "{at}");
    } else {
        let body = said.json();
        // That of plugins stands one level deeper.
        let (code, error) = match body["error"].as_object() {
            Some(error) => (&error["code"], &error["message"]),
            None => (&body["code"], &body["error"]),
        };
        assert_eq!((&body["success"], code.is_string()), (&json!(false), true), "{at}: {body}");
        assert_eq!(error, reason, "{at}");
    }
}

async fn assert_letter(file: &DbFile, subject: &str, payload: &[u8], at: &str) {
    let mut connection = file.connect().await;
    let (code, reason, kept_subject, kept): (String, String, String, Vec<u8>) =
        sqlx::query_as("SELECT code, reason, subject, payload FROM dead_letters ORDER BY id DESC LIMIT 1")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!((code.as_str(), kept_subject.as_str()), ("invalid", subject), "{at}");
    assert!(!reason.is_empty(), "{at}");
    if payload.len() > 512 << 10 {
        // Larger than any message that could be one: its beginning tells what it was.
        assert!(kept == payload[..4096] && reason.contains("bytes"), "{at}: {reason}");
    } else {
        assert!(kept == payload, "{at}: kept byte by byte");
    }
}

#[tokio::test]
async fn wrong_values_are_refused_field_by_field() {
    let w = World::new().await;
    let long = "x".repeat(300);
    let refused = [
        ("user_joined", json!({})),
        ("user_joined", json!({"username": null})),
        ("user_joined", json!({"username": ""})),
        ("user_joined", json!({"username": 7})),
        ("user_joined", json!({"username": ["alice"]})),
        ("user_joined", json!({"username": {"$ne": ""}})),
        ("user_joined", json!({"username": "a\0b"})),
        ("user_left", json!({"username": long})),
        ("message_log", json!({"username": "alice"})),
        ("message_log", json!({"username": "alice", "message": ""})),
        ("message_log", json!({"username": "alice", "message": "x".repeat(300_000)})),
        ("user_count", json!({"chat_count": -1, "connected_count": 5})),
        ("user_count", json!({"chat_count": "7"})),
        ("user_count", json!({"chat_count": 1.5})),
        ("user_count", json!({"chat_count": 1e30})),
        ("user_count", json!({"chat_count": u64::MAX})),
        ("high_water", json!({"chat_count": -1})),
        ("high_water", json!({"chat_count": [1]})),
        ("status_update", json!({"status_data": []})),
        ("status_update", json!({"status_data": ["Rosey", 3]})),
        ("status_update", json!({"status_data": "online"})),
        ("status_update", json!({"status_data": {"bot_afk": 7}})),
        ("status_update", json!({"status_data": {"current_chat_users": -4}})),
        ("status_update", json!({"status": {"a": 1}})),
        ("pm_command", json!({"username": "alice"})),
        ("outbound_enqueue", json!({"username": "", "content": "hi"})),
        ("outbound_enqueue", json!({"username": "alice"})),
        ("outbound_get", json!({"limit": -1})),
        ("outbound_get", json!({"limit": "abc"})),
        ("outbound_get", json!({"limit": 4_000_000})),
        ("outbound_get", json!({"max_retries": 64})),
        ("outbound_mark_sent", json!({})),
        ("outbound_mark_sent", json!({"message_id": null})),
        ("outbound_mark_sent", json!({"message_id": "two"})),
        ("outbound_mark_sent", json!({"message_id": 1e300})),
        ("outbound_mark_failed", json!({"message_id": 1, "permanent": "yes"})),
        ("recent_chat", json!({"limit": -1})),
        ("recent_chat", json!({"limit": 1_000_000_000_000_i64})),
        ("user_stats", json!({})),
        ("user_stats", json!({"username": "a\0b"})),
        ("user_count_history", json!({"hours": -24})),
        ("user_count_history", json!({"hours": 1_000_000})),
        ("seen", json!({})),
        ("leaderboard", json!({"limit": 101})),
        ("chat", json!({"since": -1})),
        ("chat", json!({"containing": ""})),
        ("tell", json!({"username": "alice", "content": "hi"})),
        ("tell", json!({"sender": "bob", "username": "alice", "content": "x".repeat(5000)})),
        ("tell_undo", json!({"sender": "bob"})),
        ("tells", json!({})),
        ("tells", json!({"sender": "bob", "limit": 101})),
        ("quote_add", json!({"username": "alice", "message": ""})),
        ("quote", json!({"place": -1})),
        ("kv_set", json!({"plugin_name": "p", "key": "k"})),
        ("kv_set", json!({"plugin_name": "p", "key": "k", "value": {"a": ["\u{0}"]}})),
        ("kv_set", json!({"plugin_name": "p", "key": "k", "value": "x".repeat(70_000)})),
        ("kv_set", json!({"plugin_name": "p", "key": "k", "value": 1, "ttl_seconds": -1})),
        ("kv_get", json!({"plugin_name": "", "key": "k"})),
        ("kv_list", json!({"plugin_name": "p", "limit": 1001})),
        ("kv_delete", json!({"plugin_name": "p", "key": "x".repeat(129)})),
    ];
    for (name, payload) in refused {
        let spec = Op::SPECS.iter().find(|spec| spec.name == name).unwrap();
        let at = format!("{name} {}", payload.to_string().chars().take(80).collect::<String>());
        assert_refused(&w.peer.request(spec.subject, payload.to_string()).await, spec, 400, &at);
    }
    for lone in [r#"{"username":"\ud800"}"#, r#"{"username":"\udc00\ud800"}"#, r#"{"username":"\u0000"}"#] {
        let spec = &Op::SPECS[0];
        assert_refused(&w.peer.request(spec.subject, lone).await, spec, 400, lone);
    }
    assert_eq!(w.file.applied().await, 0);
}

#[tokio::test]
async fn hostile_text_is_stored_as_it_is() {
    let w = World::new().await;
    let texts = [
        "Robert'); DROP TABLE user_stats;--",
        "' OR '1'='1",
        "\"; DELETE FROM ledger; --",
        "$[2].username",
        "?1",
        "%s%n%x",
        "{\"username\":\"nested\"}",
        "\u{202e}evil\u{202c}",
        "e\u{301}\u{1f469}\u{200d}\u{1f680}",
        "tab\tnewline\nreturn\r",
        "\\u0000 is not NUL",
        "rosey.db.>",
    ];
    for text in texts {
        let line = json!({"username": text, "message": text}).to_string();
        assert_eq!(w.peer.request("rosey.db.message.log", line).await.body, "{}", "{text:?}");
        let joined = json!({"username": text}).to_string();
        assert_eq!(w.peer.request("rosey.db.user.joined", joined.clone()).await.body, "{}", "{text:?}");
        let stats = w.peer.request("rosey.db.query.user_stats", joined).await.json();
        assert_eq!((&stats["username"], &stats["found"]), (&json!(text), &json!(true)));
        let enqueue = json!({"username": text, "content": text}).to_string();
        assert!(w.peer.request("rosey.db.messages.outbound.enqueue", enqueue).await.json()["id"].is_i64());
        let get = json!({"username": text}).to_string();
        let waiting = w.peer.request("rosey.db.messages.outbound.get", get).await.json();
        assert_eq!(waiting[0]["content"], json!(text));
        let status = json!({"status": text, "details": text}).to_string();
        assert_eq!(w.peer.request("rosey.db.status.update", status).await.body, "{}");
        let command = json!({"username": text, "command": text, "args": text, "result": text}).to_string();
        assert_eq!(w.peer.request("rosey.db.action.pm_command", command).await.body, "{}");
    }
    let recent = w.peer.request("rosey.db.stats.recent_chat.get", "{}").await.json();
    let lines: Vec<_> =
        recent.as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(lines.len(), texts.len());
    assert!(texts.iter().all(|text| lines.contains(text)));
    assert_eq!(
        w.file.number("SELECT count(*) FROM user_stats_now").await,
        i64::try_from(texts.len()).unwrap()
    );
    assert_eq!(w.file.dead_letters().await, 0);
}

#[tokio::test]
async fn odd_headers_are_refused_or_mean_nothing_and_never_hurt() {
    let w = World::new().await;
    let spec = &Op::SPECS[0];
    let send = async |name: &str, value: &str, user: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, value);
        w.peer.request_with(spec.subject, headers, json!({"username": user}).to_string()).await
    };
    for (name, value, status) in [
        ("Nats-Msg-Id", "x".repeat(129).as_str(), 400),
        ("Nats-Msg-Id", "na\u{ef}ve", 400),
        ("Nats-Msg-Id", "tab\there", 400),
        ("Eitherway-Occurred-At", "9999999999999", 422),
        ("Eitherway-Occurred-At", "9223372036854775807", 422),
    ] {
        assert_refused(&send(name, value, "never").await, spec, status, &format!("{name}: {value}"));
    }
    assert_eq!(w.file.applied().await, 0);
    let from = eitherway::clock::now();
    for (n, (name, value)) in [
        ("Eitherway-Occurred-At", "yesterday"),
        ("Eitherway-Occurred-At", "-5"),
        ("Eitherway-Occurred-At", "99999999999999999999999"),
        ("Eitherway-Occurred-At", ""),
        ("traceparent", "00-not-a-trace"),
        ("tracestate", "x"),
        ("Content-Type", "application/octet-stream"),
    ]
    .into_iter()
    .enumerate()
    {
        let said = send(name, value, &format!("user{n}")).await;
        assert_eq!((said.refusal(), said.body.as_str()), (None, "{}"), "{name}: {value}");
    }
    assert_eq!(w.file.applied().await, 7);
    assert!(w.file.number("SELECT min(at) FROM presence").await >= from, "what is no time means the arrival");
}

#[tokio::test]
async fn the_same_id_with_something_else_is_refused_and_kept() {
    let w = World::new().await;
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", "order 17");
    let send = async |spec: &Spec, body: &str| {
        w.peer.request_with(spec.subject, headers.clone(), body.to_owned()).await
    };
    let (joined, left) = (&Op::SPECS[0], &Op::SPECS[1]);
    assert_eq!(send(joined, r#"{"username":"alice"}"#).await.body, "{}");
    let earlier = eitherway::clock::now() / 1000 - 86_400;
    let same = format!(r#"{{"username":"alice","timestamp":{earlier}}}"#);
    assert_eq!(send(joined, &same).await.body, "{}", "the same, of another time");
    assert_refused(&send(joined, r#"{"username":"bob"}"#).await, joined, 409, "another payload");
    assert_refused(&send(left, r#"{"username":"alice"}"#).await, left, 409, "another operation");
    assert_eq!((w.file.applied().await, w.file.dead_letters().await), (1, 2));
    assert_eq!(w.file.texts("SELECT DISTINCT code FROM dead_letters").await, ["id_reused"]);
    assert_eq!(
        w.file.texts("SELECT headers ->> 'Nats-Msg-Id' FROM dead_letters LIMIT 1").await,
        ["order 17"]
    );
}

#[tokio::test]
async fn a_clock_that_is_years_ahead_or_was_never_set_is_refused_and_one_that_is_behind_is_believed() {
    let w = World::new().await;
    let spec = &Op::SPECS[0];
    let at = async |timestamp: &str| {
        w.peer
            .request(spec.subject, format!(r#"{{"username":"u{timestamp}","timestamp":{timestamp}}}"#))
            .await
    };
    for ahead in ["4102444800", "4102444800000", "1e300", "9223372036854775807"] {
        assert_refused(&at(ahead).await, spec, 422, ahead);
    }
    assert_eq!(w.file.texts("SELECT DISTINCT code FROM dead_letters").await, ["clock"]);
    let behind = eitherway::clock::now() / 1000 - 9 * 365 * 86_400;
    for believed in [format!("{behind}"), format!("{behind}.5"), format!("{behind}123")] {
        assert_eq!(at(&believed).await.body, "{}", "{believed}");
    }
    for unset in ["1", "315532800", "946684800", "315532800000", "100000000000"] {
        assert_refused(&at(unset).await, spec, 422, unset);
    }
    assert_eq!(w.file.number("SELECT min(at) / 1000 FROM presence").await, behind);
    assert_eq!(
        w.file.number("SELECT count(*) FROM presence WHERE at < unixepoch() * 1000 - 86400000").await,
        3
    );
    for none in ["0", "-1", "null", "\"x\"", "[]", "true"] {
        assert_eq!(
            w.peer.request(spec.subject, format!(r#"{{"username":"now","timestamp":{none}}}"#)).await.body,
            "{}"
        );
    }
    assert_eq!(w.file.number("SELECT count(*) FROM presence WHERE username = 'now' AND at > 1e12").await, 6);
}

#[tokio::test]
async fn a_query_that_fails_says_so_and_is_never_an_empty_answer() {
    let w = World::new().await;
    sqlx::query("DROP TABLE recent_chat").execute(&mut w.file.connect().await).await.unwrap();
    let said = w.peer.request("rosey.db.stats.recent_chat.get", "{}").await;
    assert!(said.refusal().is_some(), "failed, and not `no data`: {said:?}");
    assert_eq!(said.body, "[]", "the form that Python peers read");
    let other = w.peer.request("rosey.db.query.open_sessions", "{}").await;
    assert_eq!((other.refusal(), other.body.as_str()), (None, "[]"));
}
