//! The permissions in deploy/nats, loaded into a real server: they are enough for all that is promised, each of them is needed,
//! and what they do not name cannot be had by a detour.

use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::consumer::{self, ReplayPolicy};
use async_nats::jetstream::{self, stream};
use eitherway::operation::{Kind, Operation};
use futures_util::StreamExt;
use rosey::op::Op;
use serde_json::Value;

use crate::support::program::write;
use crate::support::*;

/// How long a promise may take that is kept.
const PATIENCE: Duration = Duration::from_secs(20);
/// How many servers run at once.
const AT_ONCE: usize = 4;

pub(crate) fn deployed(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/nats").join(name);
    std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
}

/// Every permission that a file allows, in its quotes: one a line.
fn allowed(name: &str) -> Vec<String> {
    let text = deployed(name);
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with('"'));
    let all: Vec<_> = lines.map(str::to_owned).collect();
    assert!(all.iter().all(|line| text.matches(line.as_str()).count() == 1), "each is there once: {all:?}");
    all
}

/// The server of deploy/nats without a permission of one of its files, with this TLS, and with a user `admin` who may do all.
pub(crate) async fn server(store: &Path, without: Option<(&str, &str)>, tls: &str) -> NatsServer {
    for name in ["service.conf", "bot.conf", "reader.conf"] {
        let mut text = deployed(name);
        if let Some((_, line)) = without.filter(|(file, _)| *file == name) {
            // An empty list would allow everything.
            text = text.replacen(line, "\"nothing\"", 1);
        }
        write(&store.join(name), &text);
    }
    write(&store.join("tls.conf"), tls);
    let folder = store.file_name().unwrap().to_string_lossy();
    let config = deployed("server.conf")
        .replace("include \"", &format!("include \"../{folder}/"))
        .replace("/var/lib/nats", &store.join("js").display().to_string())
        .replace("$SERVICE_PASSWORD", "x")
        .replace("$BOT_PASSWORD", "x")
        .replace("$READER_PASSWORD", "x")
        .replacen("users: [", "users: [ { user: admin, password: x }", 1);
    NatsServer::with_config(&format!("no_auth_user: admin\n{config}")).await
}

/// What the server has complained of.
fn denied(server: &NatsServer) -> Vec<String> {
    server.log().lines().filter(|line| line.contains("Violation")).map(str::to_owned).collect()
}

/// Waits until a promise is kept.
///
/// # Errors
/// It is not, or something is denied meanwhile.
async fn keeps(server: &NatsServer, promise: &str, kept: impl AsyncFn() -> bool) -> Result<(), String> {
    let until = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < until {
        if let Some(line) = denied(server).first() {
            return Err(format!("{promise}: {line}"));
        }
        if kept().await {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Err(format!("{promise}: not within {PATIENCE:?}"))
}

async fn asked(peer: &Peer, subject: &str, payload: &str) -> Value {
    let answer = peer.client.request(subject.to_owned(), payload.to_owned().into());
    let answer = tokio::time::timeout(Duration::from_secs(1), answer).await;
    let read = answer.ok().and_then(Result::ok).map(|answer| serde_json::from_slice(&answer.payload));
    read.and_then(Result::ok).unwrap_or_default()
}

fn begin(server: &NatsServer, file: &DbFile, options: &[&str]) -> ServeProcess {
    let (url, database) = (As("service", server).url(), file.url());
    let paths = ["serve", "--nats-url", &url, "--database-url", &database];
    ServeProcess::begin(&[&paths[..], &["--nats-inbox-prefix", "_INBOX.service"], options].concat())
}

async fn ends(service: ServeProcess) -> Result<(), String> {
    match service.terminate().await {
        Some(0) => Ok(()),
        code => Err(format!("it drains: it ended with {code:?}")),
    }
}

const ALICE: &str = r#"{"username":"alice"}"#;

/// A service through all that it promises.
///
/// # Errors
/// The first promise that is not kept.
async fn service(without: Option<(&str, &str)>) -> Result<(), String> {
    let (store, file) = (tempfile::tempdir().unwrap(), DbFile::new());
    let server = server(store.path(), without, "").await;
    let (server, peer) = (&server, Peer::connect(&server).await);
    let admin = jetstream::new(peer.client.clone());
    let joined = async || peer.publish("rosey.db.user.joined", ALICE).await;
    let serves = async |service: &ServeProcess, applied| {
        keeps(server, "it serves", async || service.log().contains(" serving")).await?;
        joined().await;
        keeps(server, "events are applied", async || file.applied().await == applied).await
    };

    let first = begin(server, &file, &["--jetstream", "on"]);
    serves(&first, 1).await?;
    let stats = async || asked(&peer, "rosey.db.query.user_stats", ALICE).await["found"] == true;
    keeps(server, "queries are answered", stats).await?;
    let applied = async || asked(&peer, "rosey.db.applied", "{}").await["applied"] == true;
    keeps(server, "what is applied is told", applied).await?;
    let micro = async || asked(&peer, "$SRV.PING.rosey-db", "").await["name"] == "rosey-db";
    keeps(server, "others find it", micro).await?;
    let mut letters = peer.listen("rosey.dlq.>").await;
    let mut bytes = BytesPeer::connect(server);
    bytes.publish("rosey.db.user.joined", b"NATS/1.0\r\nno colon\r\n\r\n", ALICE.as_bytes());
    keeps(server, "what cannot be read is set aside", async || file.dead_letters().await == 1).await?;
    let letter = tokio::time::timeout(PATIENCE, letters.next()).await;
    letter.map_err(|_| "a dead letter is announced".to_owned())?;
    let empty = async || {
        let stream = admin.get_stream("ROSEY").await;
        stream.is_ok_and(|stream| stream.cached_info().state.messages == 0)
    };
    keeps(server, "and taken out of the stream", empty).await?;
    let content = async || {
        let notices = asked(&peer, "rosey.db.ping", "").await["notices"].to_string();
        notices != "null" && !notices.contains("does not let")
    };
    keeps(server, "it misses nothing", content).await?;
    ends(first).await?;

    // An operator has changed what cannot be changed back.
    let stream = admin.get_stream("ROSEY").await.unwrap();
    stream.delete_consumer("writer").await.unwrap();
    let config = consumer::pull::Config {
        durable_name: Some("writer".to_owned()),
        replay_policy: ReplayPolicy::Original,
        ..Default::default()
    };
    stream.create_consumer(config).await.unwrap();
    let second = begin(server, &file, &["--jetstream", "on", "--stream-max-bytes", "1000000"]);
    serves(&second, 2).await?;
    let replaced = async || {
        let found: Result<consumer::PullConsumer, _> =
            admin.get_consumer_from_stream("writer", "ROSEY").await;
        found.is_ok_and(|found| found.cached_info().config.replay_policy == ReplayPolicy::Instant)
    };
    keeps(server, "a consumer of other settings is replaced", replaced).await?;
    let limited = async || {
        let stream = admin.get_stream("ROSEY").await;
        stream.is_ok_and(|stream: stream::Stream| stream.cached_info().config.max_bytes == 1_000_000)
    };
    keeps(server, "the stream gets its size", limited).await?;
    ends(second).await?;

    let third = begin(server, &file, &["--jetstream", "off"]);
    serves(&third, 3).await?;
    let gone = async || admin.get_stream("ROSEY").await.is_err();
    keeps(server, "the stream that is not wanted is deleted", gone).await?;
    ends(third).await?;
    denied(server).first().map_or(Ok(()), |line| Err(line.clone()))
}

/// One operation over NATS as this user, with the prefix of his inboxes; nothing else serves it.
async fn sent(server: &NatsServer, user: &str, operation: &str, payload: &str) -> Result<(), String> {
    let (url, prefix) = (As(user, server).url(), format!("_INBOX.{user}"));
    let fixed = ["send", "--nats-url", &url, "--nats-inbox-prefix", &prefix];
    let sent = run(&[&fixed[..], &["--hedge-after", "off", operation, payload]].concat()).await;
    match sent.out.contains("via=nats") {
        true => Ok(()),
        false => Err(format!("{operation} goes over NATS: {} {:?}", sent.all(), denied(server))),
    }
}

/// A bot through all that it promises, with a service and without one.
async fn bot(without: Option<(&str, &str)>) -> Result<(), String> {
    let (store, file) = (tempfile::tempdir().unwrap(), DbFile::new());
    let server = server(store.path(), without, "").await;
    let service = begin(&server, &file, &["--jetstream", "on"]);
    service.says(" serving").await;
    for (operation, payload) in
        [("user_joined", ALICE), ("outbound_enqueue", r#"{"content":"hi"}"#), ("user_stats", ALICE)]
    {
        sent(&server, "bot", operation, payload).await?;
    }
    ends(service).await?;
    sent(&server, "bot", "user_left", ALICE).await?;
    denied(&server).first().map_or(Ok(()), |line| Err(line.clone()))
}

/// Who only asks, through every question that a command has.
async fn reader(without: Option<(&str, &str)>) -> Result<(), String> {
    let (store, file) = (tempfile::tempdir().unwrap(), DbFile::new());
    let server = server(store.path(), without, "").await;
    let service = begin(&server, &file, &["--jetstream", "on"]);
    service.says(" serving").await;
    let is_asked = |subject: &str| !subject.starts_with("rosey.db.kv.");
    for spec in Op::SPECS.iter().filter(|spec| spec.kind == Kind::Query && is_asked(spec.subject)) {
        sent(&server, "reader", spec.name, spec.example).await?;
    }
    ends(service).await
}

/// Tries a role with all permissions of its file, and without each.
async fn tried(file: &str, role: impl AsyncFn(Option<(&str, &str)>) -> Result<(), String>) {
    assert_eq!(role(None).await, Ok(()), "{file} is enough");
    let role = &role;
    let cases = allowed(file).into_iter().map(|line| async move { (role(Some((file, &line))).await, line) });
    let ended: Vec<_> = futures_util::stream::iter(cases).buffer_unordered(AT_ONCE).collect().await;
    for (result, line) in &ended {
        eprintln!("without {line}: {result:?}");
    }
    let unneeded: Vec<_> = ended.iter().filter(|(result, _)| result.is_ok()).map(|(_, line)| line).collect();
    assert!(unneeded.is_empty(), "{file} has permissions that nothing needs: {unneeded:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_needs_each_of_its_permissions_and_no_other() {
    tried("service.conf", service).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_needs_each_of_its_permissions_and_no_other() {
    tried("bot.conf", bot).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_asks_needs_each_of_his_permissions_and_no_other() {
    tried("reader.conf", reader).await;
}

/// A client of its own make that is this user: the library reads user and password of an address, and sends neither.
async fn user(name: &str, server: &NatsServer) -> Peer {
    let options = async_nats::ConnectOptions::with_user_and_password(name.to_owned(), "x".to_owned());
    Peer { client: options.connect(server.url()).await.unwrap() }
}

/// What nobody may do with the permissions of a user: publish there.
const FORBIDDEN: [(&str, &str); 14] = [
    ("bot", "$JS.API.STREAM.PURGE.ROSEY"),
    ("bot", "$JS.API.STREAM.DELETE.ROSEY"),
    ("bot", "$JS.API.CONSUMER.DELETE.ROSEY.writer"),
    ("bot", "$JS.ACK.ROSEY.writer.1.1.1.1.0"),
    ("bot", "_INBOX.reader.forged"),
    ("bot", "rosey.dlq.user_joined"),
    ("reader", "rosey.db.user.joined"),
    ("reader", "rosey.db.messages.outbound.get"),
    ("reader", "rosey.db.batch"),
    ("reader", "rosey.db.kv.set"),
    ("reader", "$JS.API.STREAM.INFO.ROSEY"),
    ("service", "$JS.API.STREAM.PURGE.ROSEY"),
    ("service", "$JS.API.STREAM.DELETE.OTHER"),
    ("service", "rosey.db.user.joined"),
];

/// Nor listen there: to other people's answers, or to what is for the service.
const UNHEARD: [(&str, &str); 7] = [
    ("bot", "rosey.db.>"),
    ("bot", "_INBOX.>"),
    ("bot", "_INBOX.reader.>"),
    ("bot", "$JS.ACK.>"),
    ("reader", "_INBOX.bot.>"),
    ("reader", ">"),
    ("service", "_INBOX.bot.>"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_user_may_not_do_he_gets_neither_directly_nor_through_the_service() {
    let (store, file) = (tempfile::tempdir().unwrap(), DbFile::new());
    let server = server(store.path(), None, "").await;
    let service = begin(&server, &file, &["--jetstream", "on"]);
    service.says(" serving").await;
    let admin = Peer::connect(&server).await;
    let mut api = admin.listen("$JS.API.>").await;
    for (name, subject) in FORBIDDEN {
        let peer = user(name, &server).await;
        peer.publish(subject, ALICE).await;
        peer.client.flush().await.unwrap();
        let named = || async {
            denied(&server).iter().any(|line| {
                line.contains("Publish Violation")
                    && line.contains(&format!("user:{name}\""))
                    && line.contains(&format!("\"{subject}\""))
            })
        };
        wait_until(&format!("{name} may not publish to {subject}"), named).await;
    }
    for (name, subject) in UNHEARD {
        let peer = user(name, &server).await;
        let _heard = peer.client.subscribe(subject).await.unwrap();
        let named = || async {
            denied(&server).iter().any(|line| {
                line.contains("Subscription Violation")
                    && line.contains(&format!("user:{name}\""))
                    && line.contains(&format!("\"{subject}\""))
            })
        };
        wait_until(&format!("{name} may not listen to {subject}"), named).await;
    }
    // What he may ask for, to be answered where he may not publish.
    let before = denied(&server).len();
    let bot = user("bot", &server).await;
    let detours =
        ["$JS.API.STREAM.PURGE.ROSEY", "$JS.API.STREAM.DELETE.ROSEY", "$JS.API.CONSUMER.DELETE.ROSEY.writer"];
    for reply in detours {
        for (subject, payload) in [
            ("rosey.db.messages.outbound.mark_sent", r#"{"message_id":1}"#),
            ("rosey.db.query.user_stats", ALICE),
            ("rosey.db.ping", ""),
        ] {
            bot.client.publish_with_reply(subject, reply, payload.into()).await.unwrap();
        }
    }
    bot.client.flush().await.unwrap();
    let refused = || async { asked(&admin, "rosey.db.ping", "").await["not_inboxes"].as_u64() >= Some(9) };
    wait_until("the service has refused them all", refused).await;
    assert_eq!(denied(&server).len(), before, "the service has not even tried");
    while let Ok(Some(asked)) = tokio::time::timeout(Duration::from_millis(50), api.next()).await {
        assert!(!detours.contains(&asked.subject.as_str()), "{}", asked.subject);
    }
    sent(&server, "bot", "user_joined", ALICE).await.unwrap();
    wait_until("the stream still serves", || async { file.applied().await == 1 }).await;
    assert_eq!(service.terminate().await, Some(0));
}
