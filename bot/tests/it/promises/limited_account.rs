//! An account with limits, or a user with fewer rights: the service adapts where nothing is lost by it, goes on without a stream where
//! it may, and says what would help.

use crate::support::program::{Running, rosey};
use crate::support::*;

/// A server whose account has such limits of JetStream, and the directory that it needs.
async fn limited(account: &str, server: &str) -> (NatsServer, tempfile::TempDir) {
    let store = tempfile::tempdir().unwrap();
    let config = format!(
        "jetstream {{ store_dir: {:?}, {server} }}
        accounts {{ A: {{ jetstream: {account}, users: [{{ user: a, password: a }}] }} }}
        no_auth_user: a",
        store.path().display()
    );
    (NatsServer::with_config(&config).await, store)
}

/// The server's address, for the user `service`.
/// Queries are answered, and an event takes effect.
async fn serves(peer: &Peer, file: &DbFile) {
    let chat = peer.request("rosey.db.stats.recent_chat.get", "{}").await;
    assert_eq!(chat.body, "[]");
    peer.publish("rosey.db.user.joined", r#"{"username":"alice"}"#).await;
    wait_until("the event is applied", || async { file.applied().await == 1 }).await;
}

/// What `rosey serve` says before it ends, and its exit code.
async fn refused(server: &NatsServer, file: &DbFile, jetstream: &str) -> (Option<i32>, String) {
    let (nats, database) = (server.url(), file.url());
    let arguments = ["serve", "--nats-url", &nats, "--database-url", &database, "--jetstream", jetstream];
    let (code, _, log) = Running::start(rosey(file.dir()).args(arguments)).ends().await;
    (code, log)
}

#[tokio::test]
async fn a_stream_that_the_account_forbids_is_done_without_and_what_would_help_is_said() {
    for (account, help) in [
        ("{ max_bytes_required: true, max_file: 1G, max_mem: 1M }", "--stream-max-bytes"),
        ("{ max_streams: 1, max_file: 1G, max_mem: 1M }", "max_streams"),
        ("{ max_file: 0, max_mem: 1M }", "max_file"),
    ] {
        let (server, _store) = limited(account, "").await;
        let peer = Peer::connect(&server).await;
        let js = async_nats::jetstream::new(peer.client.clone());
        if account.contains("max_streams") {
            let config = async_nats::jetstream::stream::Config {
                name: "OTHER".into(),
                subjects: vec!["other".into()],
                ..Default::default()
            };
            js.create_stream(config).await.unwrap();
        }
        let file = DbFile::new();
        let (code, said) = refused(&server, &file, "on").await;
        assert_eq!(code, Some(5), "{account}: {said}");
        assert!(said.contains("limit") && said.contains(help), "{account}: {said}");
        let service = ServeProcess::start(&server, &file).await;
        let word = ping(&peer).await;
        assert_eq!(word["mode"], "core", "{word}");
        let notices = word["notices"].to_string();
        assert!(notices.contains("without a stream") && notices.contains(help), "{account}: {notices}");
        assert!(service.log().contains(help), "{}", service.log());
        serves(&peer, &file).await;
        assert!(js.get_stream("ROSEY").await.is_err(), "nothing is left behind");
        assert_eq!(service.terminate().await, Some(0));
    }
}

#[tokio::test]
async fn queries_are_served_while_a_limit_keeps_the_stream_from_being_read() {
    let (server, _store) = limited("{ max_consumers: 1, max_file: 1G, max_mem: 1M }", "").await;
    let file = DbFile::new();
    assert_eq!(ServeProcess::start(&server, &file).await.terminate().await, Some(0));
    let peer = Peer::connect(&server).await;
    let js = async_nats::jetstream::new(peer.client.clone());
    let stream = js.get_stream("ROSEY").await.unwrap();
    stream.delete_consumer("writer").await.unwrap();
    let config = async_nats::jetstream::consumer::pull::Config {
        durable_name: Some("other".into()),
        filter_subject: "rosey.db.user.left".into(),
        ..Default::default()
    };
    stream.create_consumer(config).await.unwrap();
    let (code, said) = refused(&server, &file, "on").await;
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("max_consumers"), "{said}");
    let service = ServeProcess::start(&server, &file).await;
    wait_until("it is named", || async { notices(&peer).await.contains("max_consumers") }).await;
    assert_eq!(peer.request("rosey.db.stats.recent_chat.get", "{}").await.body, "[]");
    peer.publish("rosey.db.user.joined", r#"{"username":"alice"}"#).await;
    stream.delete_consumer("other").await.unwrap();
    wait_until("the event is applied", || async { file.applied().await == 1 }).await;
    wait_until("it is over", || async { notices(&peer).await == "[]" }).await;
    assert!(service.log().contains("max_consumers"), "{}", service.log());
}

#[tokio::test]
async fn an_account_that_wants_a_size_is_content_with_the_option_that_was_named() {
    let (server, _store) = limited("{ max_bytes_required: true, max_file: 1G, max_mem: 1M }", "").await;
    let file = DbFile::new();
    let options = ["--jetstream", "on", "--stream-max-bytes", "1000000"];
    let _service = ServeProcess::start_with(&server, &file, &options).await;
    serves(&Peer::connect(&server).await, &file).await;
}

#[tokio::test]
async fn smaller_limits_by_which_nothing_is_lost_are_met() {
    for (account, server) in [
        ("{ max_ack_pending: 100, max_file: 1G, max_mem: 1M }", ""),
        ("enabled", "limits: { max_ack_pending: 50, duplicate_window: 10s }"),
        ("enabled", "limits: { duplicate_window: 1m30s }"),
    ] {
        let (server, _store) = limited(account, server).await;
        let file = DbFile::new();
        let service = ServeProcess::start_with(&server, &file, &["--jetstream", "on"]).await;
        let peer = Peer::connect(&server).await;
        let word = ping(&peer).await;
        assert_eq!(
            (&word["mode"], &word["notices"]),
            (&"jetstream".into(), &serde_json::json!([])),
            "{word}"
        );
        serves(&peer, &file).await;
        assert!(service.log().contains("Nothing is lost by it"), "{}", service.log());
    }
}

#[tokio::test]
async fn a_fresh_file_beside_an_old_stream_is_told_what_helps() {
    let store = tempfile::tempdir().unwrap();
    let server = NatsServer::with_jetstream(store.path()).await;
    let old = DbFile::new();
    let service = ServeProcess::start(&server, &old).await;
    assert_eq!(service.terminate().await, Some(0));
    let fresh = DbFile::new();
    for jetstream in ["auto", "on", "off"] {
        let (code, said) = refused(&server, &fresh, jetstream).await;
        assert_eq!(code, Some(5), "{jetstream}: {said}");
        assert!(!said.contains("--jetstream off"), "it would be refused as well: {said}");
        assert!(said.contains("nats stream rm ROSEY") && said.contains("file"), "{said}");
    }
    // And the advice is right.
    let peer = Peer::connect(&server).await;
    async_nats::jetstream::new(peer.client.clone()).delete_stream("ROSEY").await.unwrap();
    let _service = ServeProcess::start(&server, &fresh).await;
    serves(&peer, &fresh).await;
}

#[tokio::test]
async fn a_subscription_that_the_server_denies_is_a_notice_with_what_is_not_served() {
    let config = r#"
        authorization { users: [
            { user: service, password: x, permissions: {
                publish: ">", subscribe: { deny: ["rosey.db.user.joined", "rosey.db.query.user_stats", "$SRV.>"] } } }
            { user: peer, password: x }
        ] }
        no_auth_user: peer"#;
    let (server, file) = (NatsServer::with_config(config).await, DbFile::new());
    let service = ServeProcess::start(&As("service", &server), &file).await;
    let peer = Peer::connect(&server).await;
    let notices = async || notices(&peer).await;
    wait_until("the denials are known", || async {
        let said = notices().await;
        ["rosey.db.user.joined", "rosey.db.query.user_stats", "$SRV.>"]
            .iter()
            .all(|subject| said.contains(subject))
    })
    .await;
    let said = notices().await;
    assert!(
        said.contains("user_joined is not served") && said.contains("user_stats is not served"),
        "{said}"
    );
    assert!(said.contains("permissions { subscribe: { allow:"), "{said}");
    let log = service.log();
    let (named, serving) = (log.find("user_joined is not served").unwrap(), log.find("serving").unwrap());
    assert!(named < serving, "{log}");
}

/// The same server, with these permissions of the service.
fn with_permissions(store: &tempfile::TempDir, subscribe: &str) -> String {
    format!(
        r#"jetstream {{ store_dir: {:?} }}
        authorization {{ users: [
            {{ user: service, password: x, permissions: {{ publish: ">", subscribe: {subscribe} }} }}
            {{ user: peer, password: x }}
        ] }}
        no_auth_user: peer"#,
        store.path().display()
    )
}

#[tokio::test]
async fn what_was_denied_is_served_as_soon_as_the_server_allows_it() {
    let each =
        r#"{ allow: ["rosey.db.ping", "rosey.db.who", "rosey.db.user.joined", "$SRV.>", "_INBOX.>"] }"#;
    for (jetstream, subscribe) in [
        ("off", r#"{ deny: ["rosey.db.user.joined", "rosey.db.query.user_stats", "$SRV.>"] }"#),
        ("off", each),
        ("on", r#"{ deny: ["rosey.db.query.user_stats", "rosey.db.applied", "$SRV.>"] }"#),
    ] {
        let store = tempfile::tempdir().unwrap();
        let server = NatsServer::with_config(&with_permissions(&store, subscribe)).await;
        let file = DbFile::new();
        let service =
            ServeProcess::start_with(&As("service", &server), &file, &["--jetstream", jetstream]).await;
        let peer = Peer::connect(&server).await;
        let joined = || peer.request("rosey.db.user.joined", r#"{"username":"alice"}"#);
        wait_until("what is denied is a notice", || async {
            notices(&peer).await.contains("user_stats is not served")
        })
        .await;
        server.reload(&with_permissions(&store, r#"">""#));
        wait_until("no notice is left", || async { notices(&peer).await == "[]" }).await;
        assert_eq!(joined().await.refusal(), None, "{jetstream}");
        wait_until("it is applied", || async { file.applied().await > 0 }).await;
        let stats = peer.request("rosey.db.query.user_stats", r#"{"username":"alice"}"#).await;
        assert_eq!((stats.refusal(), &stats.json()["found"]), (None, &true.into()), "{jetstream}: {stats:?}");
        assert_eq!(peer.request("$SRV.PING.rosey-db", "").await.json()["name"], "rosey-db");
        let log = service.log();
        let complaints = log.lines().filter(|line| line.contains("Permissions Violation")).count();
        assert!(complaints <= 2 && !log.contains("lost the connection"), "{log}");
        assert_eq!(service.terminate().await, Some(0));
    }
}

#[tokio::test]
async fn a_service_that_may_listen_to_nothing_says_so_once_and_not_that_it_serves() {
    let store = tempfile::tempdir().unwrap();
    let server = NatsServer::with_config(&with_permissions(&store, r#"{ deny: "rosey.db.>" }"#)).await;
    let file = DbFile::new();
    let (url, database) = (As("service", &server).url(), file.url());
    let arguments = ["serve", "--nats-url", &url, "--database-url", &database, "--jetstream", "off"];
    let service = ServeProcess::begin(&arguments);
    service.says("nothing is served").await;
    let denied = || server.log().matches("Subscription Violation").count();
    let before = denied();
    wait_until("the denied subjects are asked for again, and denied again", || async { denied() > before })
        .await;
    let log = service.log();
    assert_eq!(log.matches("ERROR").count(), 1, "{log}");
    assert!(!log.contains(" serving"), "{log}");
    server.reload(&with_permissions(&store, r#"">""#));
    service.says(" serving").await;
    serves(&Peer::connect(&server).await, &file).await;
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test]
async fn a_stream_is_drained_without_a_warning_about_its_own_change() {
    let (server, _store) = limited("{ max_file: 1G, max_mem: 1M }", "").await;
    let file = DbFile::new();
    let url = server.url();
    assert_eq!(ServeProcess::start(&server, &file).await.terminate().await, Some(0));
    let database = file.url();
    let arguments = ["serve", "--nats-url", &url, "--database-url", &database, "--jetstream", "off"];
    let service = ServeProcess::begin(&arguments);
    service.says("serving").await;
    let js = async_nats::jetstream::new(Peer::connect(&server).await.client.clone());
    wait_until("the stream is gone", || async { js.get_stream("ROSEY").await.is_err() }).await;
    let log = service.log();
    assert!(!log.contains("WARN") && !log.contains("configuration differed"), "{log}");
    assert_eq!(service.terminate().await, Some(0));
}

/// How often a service with a wrong password has come to the server within this time.
async fn attempts(server: &NatsServer, time: std::time::Duration) -> usize {
    let before = server.log().matches("authentication error").count();
    tokio::time::sleep(time).await;
    server.log().matches("authentication error").count() - before
}

#[tokio::test]
async fn a_wrong_password_is_tried_less_and_less_often_and_a_right_one_is_found() {
    let config = |password: &str| format!("authorization {{ user: service, password: {password} }}");
    let server = NatsServer::with_config(&config("another")).await;
    let file = DbFile::new();
    let (url, database) = (As("service", &server).url(), file.url());
    let service = ServeProcess::begin(&["serve", "--nats-url", &url, "--database-url", &database]);
    service.says("refuses our user, password or key").await;
    wait_until("it has tried often", || async { server.log().matches("authentication error").count() >= 8 })
        .await;
    let tries = attempts(&server, std::time::Duration::from_secs(6)).await;
    assert!(tries <= 5, "{tries} in 6 s: {}", server.log());
    server.reload(&config("x"));
    service.says("serving").await;
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test]
async fn a_service_whose_inbox_is_denied_serves_as_soon_as_the_server_allows_it() {
    let store = tempfile::tempdir().unwrap();
    let server = NatsServer::with_config(&with_permissions(&store, r#"{ deny: "_INBOX.>" }"#)).await;
    let file = DbFile::new();
    let (url, database) = (As("service", &server).url(), file.url());
    let arguments = ["serve", "--nats-url", &url, "--database-url", &database, "--jetstream", "on"];
    let service = ServeProcess::begin(&arguments);
    service.says("cannot serve yet").await;
    server.reload(&with_permissions(&store, r#"">""#));
    service.says("serving").await;
    serves(&Peer::connect(&server).await, &file).await;
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test]
async fn answers_fit_into_the_smallest_messages_and_the_service_names_how_small_they_are() {
    for jetstream in ["off", "on"] {
        let store = tempfile::tempdir().unwrap();
        let config = format!("max_payload: 1024\njetstream {{ store_dir: {:?} }}", store.path().display());
        let (server, file) = (NatsServer::with_config(&config).await, DbFile::new());
        let service = ServeProcess::start_with(&server, &file, &["--jetstream", jetstream]).await;
        let peer = Peer::connect(&server).await;
        for place in 0..30 {
            let line = format!(r#"{{"username":"alice","message":"line {place:02} of a long talk"}}"#);
            peer.request("rosey.db.message.log", line).await;
        }
        wait_until("all lines are applied", || async { file.applied().await == 30 }).await;
        wait_until("the limit is named", || async {
            let notices = notices(&peer).await;
            notices.contains("max_payload") && notices.contains("1024")
        })
        .await;
        let chat = peer.request("rosey.db.stats.recent_chat.get", r#"{"limit":30}"#).await;
        assert_eq!(chat.refusal(), None, "{chat:?}");
        let lines = chat.json();
        let (last, kept) = (lines.as_array().unwrap().last().unwrap(), lines.as_array().unwrap().len());
        assert_eq!(last["message"], "line 29 of a long talk");
        assert_eq!(chat.header("Eitherway-Truncated"), Some((30 - kept).to_string().as_str()), "{kept}");
        for verb in ["INFO", "STATS"] {
            let answer = peer.request(&format!("$SRV.{verb}.rosey-db"), "").await;
            let kept = answer.json()["endpoints"].as_array().unwrap().len();
            let cut: usize = answer.header("Eitherway-Truncated").unwrap().parse().unwrap();
            assert!(kept + cut >= 16, "{verb}: {kept}, {cut}");
        }
        let long = format!(r#"{{"username":"{}"}}"#, "x".repeat(900));
        let refused = peer.request("rosey.db.query.user_stats", long).await;
        assert!(refused.refusal().is_some(), "{refused:?}");
        assert_eq!(service.terminate().await, Some(0), "{jetstream}");
    }
}
