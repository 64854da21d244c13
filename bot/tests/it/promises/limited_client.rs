//! Clients with few rights, on slow networks, and before servers that are not what they should be.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{
    As, BOTH, DbFile, NatsServer, Peer, Port, Proxy, Ran, ServeProcess, Url, run, run_with, wait_until,
};

/// A server with JetStream, a user `service` who may do all, and a user `bot` with these permissions.
async fn server(permissions: &str, store: &Path) -> NatsServer {
    let store = store.display();
    NatsServer::with_config(&format!(
        r#"jetstream {{ store_dir: "{store}" }}
        authorization {{ users: [
            {{ user: service, password: x }}
            {{ user: bot, password: x, permissions: {{ {permissions} }} }}
        ] }}"#
    ))
    .await
}

struct World {
    server: NatsServer,
    file: DbFile,
    serving: ServeProcess,
    dir: tempfile::TempDir,
}

impl World {
    async fn new(permissions: &str, jetstream: &str) -> Self {
        let (file, dir) = (DbFile::new(), tempfile::tempdir().unwrap());
        let server = server(permissions, dir.path()).await;
        let options = ["--jetstream", jetstream];
        let serving = ServeProcess::start_with(&As("service", &server), &file, &options).await;
        Self { server, file, serving, dir }
    }

    /// Feeds a bot, and answers what was served by which path: `(operation, NATS, database, failed)`.
    async fn bot(&self, input: &str) -> (Ran, Vec<(String, u64, u64, u64)>) {
        let url = As("bot", &self.server).url();
        let report = self.dir.path().join("report.json");
        let report = report.to_str().unwrap();
        let arguments =
            ["bot", "--chat", "jsonl:-", "--outbox", "off", "--nats-url", &url, "--report", report];
        // No database lies beside it: it begins when NATS is found.
        let ran = run_with(&[&arguments[..], &["--log", "info"]].concat(), input).await;
        let read = std::fs::read_to_string(report).unwrap_or_else(|e| panic!("{e}: {ran:?}"));
        let read: serde_json::Value = serde_json::from_str(&read).unwrap();
        let row = |row: &serde_json::Value| {
            let count = |of: &str| row[of].as_u64().unwrap();
            (row["operation"].as_str().unwrap().to_owned(), count("nats"), count("db"), count("failed"))
        };
        (ran, read["operations"].as_array().unwrap().iter().map(row).collect())
    }

    async fn send(&self, operation: &str, payload: &str, more: &[&str]) -> Ran {
        let (url, file) = (As("bot", &self.server).url(), self.file.url());
        let fixed =
            ["send", "--nats-url", &url, "--database-url", &file, "--log", "info", operation, payload];
        run(&[&fixed[..], more].concat()).await
    }
}

const ALICE: &str = r#"{"username":"alice"}"#;
const LINE: &str = r#"{"username":"alice","message":"hi"}"#;

fn lines(n: usize) -> String {
    (0..n).map(|n| format!("{{\"event\":\"message\",\"user\":\"alice\",\"content\":\"{n}\"}}\n")).collect()
}

#[tokio::test]
async fn publishing_to_the_service_and_hearing_replies_is_all_that_a_client_needs() {
    for jetstream in ["on", "off"] {
        let w = World::new(r#"publish: "rosey.db.>", subscribe: "_INBOX.>""#, jetstream).await;
        let (ran, served) = w.bot(&lines(1000)).await;
        let logged = served.iter().find(|row| row.0 == "message_log").unwrap();
        assert_eq!((logged.1, logged.2, logged.3), (1000, 0, 0), "{jetstream}: {ran:?}");
        for (operation, _, db, failed) in served {
            assert_eq!((db, failed), (0, 0), "{jetstream}, {operation}: {ran:?}");
        }
        assert_eq!(ran.code, Some(0), "{ran:?}");
        for said in ["denies", "is gone", "any more", "ERROR"] {
            assert!(!ran.err.contains(said), "{jetstream}: {ran:?}");
        }
    }
}

#[tokio::test]
async fn a_service_that_does_not_move_is_not_taken_for_a_server_that_does_not() {
    // The echo to itself is denied; that answers it.
    let w = World::new(r#"publish: "rosey.db.>", subscribe: "_INBOX.>""#, "on").await;
    w.serving.freeze();
    let sent = w.send("message_log", LINE, &["--recognition-timeout-ms", "4000"]).await;
    w.serving.thaw();
    assert_eq!(sent.code, Some(0), "{sent:?}");
    assert!(!sent.err.contains("ERROR"), "{sent:?}");
}

#[tokio::test]
async fn clients_are_kept_apart_by_the_prefixes_of_their_inboxes() {
    let w = World::new(r#"publish: "rosey.db.>", subscribe: "_INBOX.bot.>""#, "on").await;
    let own = w.send("user_joined", ALICE, &["--nats-inbox-prefix", "_INBOX.bot"]).await;
    assert!(own.out.contains("via=nats ack=stored"), "{own:?}");
    // Without it nothing comes back: the other path serves, and the log says what is missing.
    let none = w.send("user_joined", ALICE, &[]).await;
    assert!(none.out.contains("via=db") && none.err.contains("permission to subscribe"), "{none:?}");
    for wrong in ["", "a.*", "a b", ".", "a."] {
        let refused = w.send("user_joined", ALICE, &["--nats-inbox-prefix", wrong]).await;
        assert_ne!(refused.code, Some(0), "{wrong:?}: {refused:?}");
        assert!(refused.err.contains("inbox-prefix"), "{refused:?}");
    }
}

#[tokio::test]
async fn a_denied_subject_keeps_one_operation_from_nats_and_no_other() {
    for jetstream in ["on", "off"] {
        let publish = r#"publish: { allow: ["rosey.db.>", "$JS.API.>"], deny: "rosey.db.message.log" }"#;
        let w = World::new(&format!(r#"{publish}, subscribe: "_INBOX.>""#), jetstream).await;
        let denied = w.send("message_log", LINE, &[]).await;
        assert!(denied.out.contains("via=db ack=committed"), "{jetstream}: {denied:?}");
        assert!(denied.err.contains("rosey.db.message.log"), "{jetstream}: {denied:?}");
        let joins: String = (0..200)
            .map(|n| format!("{{\"event\":\"user_join\",\"user\":\"u{n}\"}}\n") + &lines(1))
            .collect();
        let (ran, served) = w.bot(&joins).await;
        for (operation, nats, db, failed) in served {
            // There is no database beside this bot.
            let expected = if operation == "message_log" { (0, 200) } else { (nats, 0) };
            assert_eq!((nats, failed), expected, "{jetstream}, {operation}, {db}: {ran:?}");
        }
        assert!(ran.err.contains("rosey.db.message.log"), "{ran:?}");
    }
}

#[tokio::test]
async fn a_slow_network_is_no_reason_to_leave_it() {
    let w = World::new(r#"publish: ">", subscribe: ">""#, "on").await;
    let proxy = Proxy::before(&w.server).await;
    let url = proxy.url().replace("//", "//bot:x@");
    for (delay, more) in
        [(150, &[][..]), (400, &["--recognition-timeout-ms", "8000", "--nats-timeout-ms", "6000"][..])]
    {
        proxy.delay(BOTH, Duration::from_millis(delay));
        for (operation, payload) in [("message_log", LINE), ("user_stats", ALICE)] {
            let fixed = ["send", "--nats-url", &url, operation, payload];
            let sent = run(&[&fixed[..], more].concat()).await;
            assert!(sent.code == Some(0) && sent.out.contains("via=nats"), "{delay} ms: {sent:?}");
        }
    }
}

/// What a client, and what a service says of a server at this address.
async fn said(url: &str) -> Vec<String> {
    let file = DbFile::new();
    let sent = run(&["send", "--nats-url", url, "--log", "info", "user_joined", ALICE]).await;
    assert_eq!(sent.code, Some(4), "{sent:?}");
    let mut serving = ServeProcess::begin(&["serve", "--nats-url", url, "--database-url", &file.url()]);
    serving.says("retrying indefinitely").await;
    let log = serving.log();
    serving.kill();
    // The log names it, and so does the error of the operation.
    let error = sent.err.lines().last().unwrap_or_default().to_owned();
    vec![sent.err, error, log]
}

#[tokio::test]
async fn why_there_is_no_connection_is_said_by_client_and_service() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let web = format!("nats://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let quiet = format!("nats://{}", mute.local_addr().unwrap());
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/promises/tls");
    let (cert, key) = (tls.join("untrusted.pem"), tls.join("untrusted.key.pem"));
    let config = format!("tls {{ cert_file: {:?}, key_file: {:?} }}", cert, key);
    let untrusted = NatsServer::with_config(&config).await;
    let closed = Port::reserve();
    let full = NatsServer::with_config("max_connections: 1").await;
    let _only = Peer::connect(&full).await;
    let old = NatsServer::with_config("no_header_support: true").await;
    let narrow = NatsServer::with_config("max_control_line: 60").await;
    for (url, expected) in [
        (format!("nats://127.0.0.1:{}", closed.number), "no NATS server answers"),
        // A label that is too long is found nowhere, without a question to a name server, which may be slow.
        (format!("nats://{}.invalid:4222", "x".repeat(64)), "host name of the NATS server is not found"),
        (web, "is no NATS server"),
        (quiet, "no greeting of a NATS server comes"),
        (full.url(), "refuses this client (it says: maximum connections exceeded)"),
        (old.url(), "refuses this client (it says: no responders requires headers support)"),
        (narrow.url(), "refuses this client (it says: maximum control line exceeded)"),
        (untrusted.url(), "no encrypted connection to the NATS server (TLS: the server's certificate"),
    ] {
        for said in said(&url).await {
            assert!(said.contains(expected), "{url}: {said}");
            assert!(
                expected.contains("answers") || !said.contains("no NATS server answers"),
                "{url}: {said}"
            );
        }
    }
    drop(mute);
}

/// What a server says first; it closes the connection as soon as the client is in.
const GREETING: &str = r#"INFO {"server_id":"x","server_name":"x","version":"2.10.0","go":"","host":"h","port":1,"headers":true,"max_payload":1048576,"proto":1}"#;

#[tokio::test]
async fn a_server_that_ends_each_connection_as_it_comes_up_is_not_asked_hundreds_of_times_a_second() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let count = Arc::new(AtomicU64::new(0));
    let connections = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let _ = stream.write_all(format!("{GREETING}\r\n").as_bytes()).await;
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(b"PONG\r\n").await;
            });
        }
    });
    let file = DbFile::new();
    let mut serving = ServeProcess::begin(&["serve", "--nats-url", &url, "--database-url", &file.url()]);
    wait_until("it has met the server", || async { count.load(Ordering::Relaxed) > 60 }).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = count.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let asked = count.load(Ordering::Relaxed) - before;
    // Two connections, each five times a second.
    assert!((6..=60).contains(&asked), "{asked} times in three seconds:\n{}", serving.log());
    serving.kill();
}
