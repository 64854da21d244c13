//! Clients that share `_INBOX.>` see where the answers of the others go. None of them can make our service, or its stream,
//! answer there in place of what was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_nats::HeaderMap;
use eitherway::Ack;
use futures_util::StreamExt;
use rosey::op::MessageLog;
use tokio::task::JoinHandle;

use crate::support::*;

/// A server with the users `service` and `bot`, and with `mallory`, who may do no more than a bot must.
async fn server(store: &Path) -> NatsServer {
    let store = store.display();
    let bot = r#"publish: ["rosey.db.>", "$SRV.>"], subscribe: ["_INBOX.>"]"#;
    NatsServer::with_config(&format!(
        r#"jetstream {{ store_dir: "{store}" }}
        authorization {{ users: [
            {{ user: service, password: x }}
            {{ user: bot, password: x, permissions: {{ {bot} }} }}
            {{ user: mallory, password: x, permissions: {{ {bot} }} }}
        ] }}"#
    ))
    .await
}

/// A plain client of this user.
async fn peer(user: &str, server: &NatsServer) -> Peer {
    let options = async_nats::ConnectOptions::with_user_and_password(user.to_owned(), "x".to_owned());
    let client = options.request_timeout(Some(LIMIT)).connect(server.url()).await.unwrap();
    Peer { client }
}

/// Publishes with the reply subjects that others have used or may use next, as far as they can be told from what is seen.
struct Mallory {
    seen: Arc<Mutex<Seen>>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    /// The last answer to each inbox, and how many were seen.
    last: BTreeMap<String, String>,
    count: u64,
    guessed: BTreeSet<String>,
}

impl Mallory {
    async fn start(server: &NatsServer, asks: &[(&'static str, &'static str)]) -> Self {
        let peer = peer("mallory", server).await;
        let mut answers = peer.client.subscribe("_INBOX.>").await.unwrap();
        peer.client.flush().await.unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (all, asks) = (Arc::clone(&seen), asks.to_vec());
        let sees = tokio::spawn(async move {
            while let Some(answer) = answers.next().await {
                let mut seen = all.lock().unwrap();
                let (inbox, _) = answer.subject.rsplit_once('.').unwrap();
                if !seen.guessed.contains(answer.subject.as_str()) {
                    seen.last.insert(inbox.to_owned(), answer.subject.to_string());
                    seen.count += 1;
                }
            }
        });
        let known = Arc::clone(&seen);
        let forges = tokio::spawn(async move {
            loop {
                let replies: Vec<String> = {
                    let mut seen = known.lock().unwrap();
                    let last: Vec<String> = seen.last.values().cloned().collect();
                    let guesses: Vec<_> = last.iter().flat_map(|subject| guesses(subject)).collect();
                    seen.guessed.extend(guesses.iter().cloned());
                    last.into_iter().chain(guesses).collect()
                };
                for reply in replies {
                    for (subject, payload) in &asks {
                        let sent = peer.client.publish_with_reply(*subject, reply.clone(), (*payload).into());
                        sent.await.unwrap();
                    }
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { seen, tasks: vec![sees, forges] }
    }

    fn seen(&self) -> u64 {
        self.seen.lock().unwrap().count
    }
}

impl Drop for Mallory {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What a counter or a list of names would give next to a subject.
fn guesses(subject: &str) -> Vec<String> {
    let (inbox, last) = subject.rsplit_once('.').unwrap();
    let mut all = Vec::new();
    if let Some((_, turn)) = last.split_once('-') {
        let mut next = |key: u64, turn: String| all.push(format!("{inbox}.{key}-{turn}"));
        for more in 1..=3 {
            for key in 0..=1 {
                if let Ok(turn) = turn.parse::<u64>() {
                    next(key, turn.wrapping_add(more).to_string());
                }
                if let Ok(turn) = u64::from_str_radix(turn, 16) {
                    next(key, format!("{:x}", turn.wrapping_add(more)));
                }
            }
        }
    } else {
        let names = ["who", "info", "time", "0", "1", "2", "3", "4"];
        all.extend(names.iter().map(|name| format!("{inbox}.{name}")));
    }
    all
}

#[tokio::test]
async fn a_peer_that_sees_where_answers_go_settles_no_request_of_another_client() {
    let (file, dir) = (DbFile::new(), tempfile::tempdir().unwrap());
    let server = server(dir.path()).await;
    let _service = ServeProcess::start_with(&As("service", &server), &file, &["--jetstream", "off"]).await;
    let mallory = Mallory::start(&server, &[("rosey.db.query.open_sessions", "{}")]).await;
    let nats = recognised(&As("bot", &server)).await;
    let bot = nats_only(&nats);
    wait_until("answers to the bot are seen", || async { mallory.seen() > 3 }).await;
    // Nothing can be committed.
    let held = file.hold().await;
    for n in 0..5 {
        let line = MessageLog { username: "victim".into(), message: format!("line {n}") };
        let sent = tokio::time::timeout(Duration::from_secs(2), bot.call(line)).await;
        assert!(!matches!(sent, Ok(Ok(_))), "{n}: {sent:?}");
    }
    held.release().await;
    drop(mallory);
    let served = holds_within(LIMIT, || async {
        let line = MessageLog { username: "victim".into(), message: "at last".into() };
        bot.call(line).await.is_ok_and(|reply| reply.ack == Ack::Committed)
    });
    assert!(served.await, "the bot is served as before");
}

#[tokio::test]
async fn an_answer_names_the_operation_that_was_asked_by_our_own_header_and_no_other() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let _service = ServeProcess::start_with(&server, &file, &["--jetstream", "off"]).await;
    let peer = Peer::connect(&server).await;
    for (subject, payload) in [
        ("rosey.db.user.joined", r#"{"username":"ann"}"#),
        ("rosey.db.user.joined", r#"{"username":""}"#),
        ("rosey.db.query.open_sessions", "{}"),
        ("rosey.db.messages.outbound.get", "{}"),
        ("rosey.db.no.such.thing", "{}"),
    ] {
        for (header, named) in [
            ("Eitherway-Operation-Id", Some("one")),
            ("eitherway-operation-id", Some("one")),
            ("Nats-Msg-Id", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header, "one");
            let said = peer.request_with(subject, headers, payload).await;
            assert_eq!(said.header("Eitherway-Operation-Id"), named, "{subject} {payload} {header}");
        }
        let said = peer.request(subject, payload).await;
        assert_eq!(said.header("Eitherway-Operation-Id"), None, "{subject} {payload}");
    }
}

#[tokio::test]
async fn a_peer_that_sees_where_answers_go_makes_no_foreign_service_out_of_ours_and_hides_none() {
    let (file, dir) = (DbFile::new(), tempfile::tempdir().unwrap());
    let server = server(dir.path()).await;
    let service = ServeProcess::start_with(&As("service", &server), &file, &["--jetstream", "on"]).await;
    let left = ("rosey.db.user.left", r#"{"username":"mallory"}"#);
    let mallory = Mallory::start(&server, &[left, ("$SRV.PING", ""), ("rosey.db.ping", "")]).await;
    let peer = peer("service", &server).await;
    let until = tokio::time::Instant::now() + Duration::from_secs(8);
    while tokio::time::Instant::now() < until {
        let ping = peer.request("rosey.db.ping", "").await.json();
        assert!(ping["foreign"] == false, "{}\n{}", ping["notices"], service.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(mallory.seen() > 10);
    // Mallory goes on.
    let queries = ["stats.recent_chat.get", "query.user_stats", "query.channel_stats", "query.open_sessions"];
    for query in queries {
        let _foreign = peer.answer(&format!("rosey.db.{query}"), HeaderMap::new(), "[]").await;
    }
    let noticed =
        holds_within(SOON, || async { peer.request("rosey.db.ping", "").await.json()["foreign"] == true });
    assert!(noticed.await, "a foreign service is hidden:\n{}", service.log());
}
