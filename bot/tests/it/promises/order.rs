//! What a peer sends without id and time takes effect in the order in which it was sent.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::*;

const USERS: usize = 200;
const LINES: usize = 400;

/// Messages one behind the other, as a client flushes them.
#[derive(Default)]
struct Burst {
    bytes: String,
    count: u64,
}

impl Burst {
    fn add(&mut self, subject: &str, payload: &Value) {
        let payload = payload.to_string();
        write!(self.bytes, "PUB rosey.db.{subject} {}\r\n{payload}\r\n", payload.len()).unwrap();
        self.count += 1;
    }

    /// Over one connection; returns when the server has read it all.
    fn send(&self, server: &impl Url) {
        let url = server.url();
        let mut stream = TcpStream::connect(url.trim_start_matches("nats://")).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(b"CONNECT {\"verbose\":false}\r\n").unwrap();
        stream.write_all(self.bytes.as_bytes()).unwrap();
        stream.write_all(b"PING\r\n").unwrap();
        let mut seen = String::new();
        while !seen.contains("PONG") {
            let mut some = [0; 4096];
            let n = stream.read(&mut some).unwrap();
            assert!(n > 0, "the server closed: {seen}");
            seen.push_str(&String::from_utf8_lossy(&some[..n]));
        }
    }
}

/// Users who come back and users who go, lines, statuses and commands, all mixed; `second` is what the peer says of the time.
fn mixed(second: Option<i64>) -> Burst {
    let mut burst = Burst::default();
    let say = |mut payload: Value| {
        if let Some(second) = second {
            payload["timestamp"] = second.into();
        }
        payload
    };
    for n in 0..USERS {
        let (here, gone) = (json!({"username": format!("here{n}")}), json!({"username": format!("gone{n}")}));
        burst.add("user.left", &say(here.clone()));
        burst.add("user.left", &say(here.clone()));
        burst.add("user.joined", &say(here));
        burst.add("message.log", &say(json!({"username": "alice", "message": (2 * n).to_string()})));
        burst.add("status.update", &say(json!({"status": format!("s{n}"), "details": format!("d{n}")})));
        burst.add("action.pm_command", &say(json!({"username": "mod", "command": n.to_string()})));
        burst.add("user.joined", &say(gone.clone()));
        burst.add("message.log", &say(json!({"username": "alice", "message": (2 * n + 1).to_string()})));
        burst.add("user.left", &say(gone));
    }
    burst
}

async fn assert_in_order(file: &DbFile) {
    let open =
        file.texts("SELECT username FROM user_stats_now WHERE current_session_start IS NOT NULL").await;
    let gone = open.iter().filter(|name| name.starts_with("gone")).count();
    assert_eq!((open.len(), gone), (USERS, 0), "who came back is here, who went is not");
    assert_eq!(
        file.texts("SELECT status || ' ' || details FROM current_status").await,
        [format!("s{0} d{0}", USERS - 1)]
    );
    file.assert_clean().await;
}

const BY_COMMIT: &str = "SELECT details FROM user_actions ORDER BY id";
const BY_TIME: &str = "SELECT details FROM user_actions ORDER BY timestamp, op_id";

async fn assert_audited(file: &DbFile, commands: &'static str) {
    let all: Vec<String> = (0..USERS).map(|n| format!("cmd={n}, args: , result: ")).collect();
    assert_eq!(file.texts(commands).await, all, "{commands}");
}

/// The lines, as a peer asks for them.
async fn lines(peer: &Peer) -> Vec<usize> {
    let said = peer.request("rosey.db.stats.recent_chat.get", json!({ "limit": LINES }).to_string()).await;
    let lines = said.json();
    lines.as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap().parse().unwrap()).collect()
}

async fn kept_in_order(w: &Durable, mode: &str, second: Option<i64>) {
    let service = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", mode]).await;
    let burst = mixed(second);
    burst.send(&w.server);
    all_in_order(w, &burst).await;
    assert_audited(&w.file, BY_COMMIT).await;
    assert_audited(&w.file, BY_TIME).await;
    assert_eq!(service.terminate().await, Some(0));
}

/// Waits until all are applied, and finds them in order.
async fn all_in_order(w: &Durable, burst: &Burst) {
    wait_until("all are applied", || async { w.file.applied().await == burst.count }).await;
    assert_in_order(&w.file).await;
    assert_eq!(lines(&Peer::connect(&w.server).await).await, (0..LINES).collect::<Vec<_>>());
    assert_eq!(w.file.dead_letters().await, 0);
}

#[tokio::test]
async fn a_connection_is_kept_in_order_across_subjects_on_a_stream_and_without_one() {
    for mode in ["off", "on"] {
        kept_in_order(&Durable::new().await, mode, None).await;
    }
}

/// A second of its own time, as the Python bot says it.
const SECOND: i64 = 1_700_000_000;

#[tokio::test]
async fn events_of_one_second_are_in_the_order_in_which_they_were_sent() {
    for mode in ["off", "on"] {
        let w = Durable::new().await;
        kept_in_order(&w, mode, Some(SECOND)).await;
        let times = "SELECT min(at) || ' ' || max(at) FROM (SELECT at FROM presence UNION SELECT at FROM recent_chat)";
        assert_eq!(w.file.texts(times).await, [format!("{SECOND}000 {SECOND}000")], "nothing of the arrival");
    }
}

/// What a client has kept while it was not connected comes at once when it is; and the service may be slow to take it.
#[tokio::test]
async fn a_backlog_keeps_its_order_while_the_database_is_locked() {
    for mode in ["off", "on"] {
        let w = Durable::new().await;
        let service = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", mode]).await;
        let held = w.file.hold().await;
        let burst = mixed(None);
        burst.send(&w.server);
        wait_until("the lock has been met", || async { service.log().contains("the database fails") }).await;
        held.release().await;
        all_in_order(&w, &burst).await;
        assert_eq!(service.terminate().await, Some(0));
    }
}

/// Messages are handed out as they were enqueued, also by a peer that waits for no answer.
#[tokio::test]
async fn messages_are_handed_out_in_the_order_in_which_they_were_enqueued() {
    for mode in ["off", "on"] {
        let w = Durable::new().await;
        let service = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", mode]).await;
        let peer = Peer::connect(&w.server).await;
        let mut burst = Burst::default();
        for n in 0..100 {
            burst.add("messages.outbound.enqueue", &json!({"content": n.to_string()}));
        }
        burst.send(&w.server);
        wait_until("all are enqueued", || async { w.file.applied().await == 100 }).await;
        let said = peer.request("rosey.db.messages.outbound.get", r#"{"limit":100}"#).await.json();
        let contents: Vec<_> =
            said.as_array().unwrap().iter().map(|m| m["content"].as_str().unwrap().to_owned()).collect();
        assert_eq!(contents, (0..100).map(|n| n.to_string()).collect::<Vec<_>>(), "{mode}");
        assert_eq!(service.terminate().await, Some(0));
    }
}

/// Whichever of them takes which message: the stream has the order.
#[tokio::test]
async fn two_services_on_one_stream_keep_its_order() {
    let w = Durable::new().await;
    let first = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", "on"]).await;
    let second = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", "on"]).await;
    let burst = mixed(None);
    burst.send(&w.server);
    all_in_order(&w, &burst).await;
    assert_audited(&w.file, BY_TIME).await;
    for service in [first, second] {
        assert_eq!(service.terminate().await, Some(0));
    }
}

/// An operator who has listed each subject by itself finds the service at work, and reads what to change.
#[tokio::test]
async fn a_service_that_may_not_listen_to_everything_serves_and_says_what_that_costs() {
    let subjects =
        "rosey.db.ping, rosey.db.who, rosey.db.applied, rosey.db.user.joined, rosey.db.query.channel_stats";
    let config = format!(
        "authorization {{ users: [
            {{ user: service, password: x, permissions: {{ publish: \">\", subscribe: [{subjects}, \"_INBOX.>\", \"$SRV.>\"] }} }}
            {{ user: peer, password: x }} ] }}"
    );
    let server = NatsServer::with_config(&config).await;
    let file = DbFile::new();
    let service = ServeProcess::start_with(&As("service", &server), &file, &["--jetstream", "off"]).await;
    let options = async_nats::ConnectOptions::with_user_and_password("peer".into(), "x".into());
    let peer = Peer { client: options.connect(server.url()).await.unwrap() };
    wait_until("it listens to each subject", || async {
        let asked = peer.client.request("rosey.db.query.channel_stats", "".into()).await;
        asked.is_ok_and(|answer| answer.headers.is_some_and(|h| h.get("Eitherway-Reply").is_some()))
    })
    .await;
    let said = peer.request("rosey.db.user.joined", r#"{"username":"alice"}"#).await;
    assert_eq!((said.refusal(), said.body.as_str()), (None, "{}"));
    let ping = peer.request("rosey.db.ping", "").await.json();
    let notices = ping["notices"].as_array().unwrap();
    let says = |words: &str| notices.iter().any(|notice| notice.as_str().unwrap().contains(words));
    assert!(says("subscribe to rosey.db.>: each subject is listened to by itself"), "{ping}");
    assert!(says("message_log is not served") && !says("user_joined is not served"), "{ping}");
    assert_eq!(service.terminate().await, Some(0));
}
