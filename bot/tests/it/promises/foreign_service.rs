//! Two services that must not both serve are noticed within seconds, whichever came last: one of another kind, and one on a
//! copy of the file.

use std::time::Duration;

use async_nats::HeaderMap;
use eitherway::Via;
use futures_util::StreamExt;
use rosey::op::UserJoined;
use tokio::task::JoinHandle;

use crate::support::program::rosey;
use crate::support::*;

const QUERY: &str = "rosey.db.stats.recent_chat.get";
const MODES: [&str; 2] = ["off", "on"];

/// Sends an operation as an operator would; which path has served it.
fn path_of_a_line(server: &NatsServer, file: &DbFile, id: &str) -> String {
    let (nats, database) = (server.url(), file.url());
    let line = r#"{"username":"ann","message":"hi"}"#;
    let sent = Ran::of(rosey(file.dir()).args(["send", "message_log", line, "--id", id]).args([
        "--nats-url",
        &nats,
        "--database-url",
        &database,
    ]));
    sent.out.split_whitespace().find_map(|word| word.strip_prefix("via=")).unwrap_or(&sent.out).to_owned()
}

/// Answers in a queue group, or after a while.
async fn answers(peer: &Peer, group: Option<&str>, delay: Duration, headers: HeaderMap) -> JoinHandle<()> {
    let client = peer.client.clone();
    let mut requests = match group {
        Some(group) => client.queue_subscribe(QUERY, group.to_owned()).await.unwrap(),
        None => client.subscribe(QUERY).await.unwrap(),
    };
    peer.flush().await;
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            tokio::time::sleep(delay).await;
            if let Some(reply) = request.reply {
                client.publish_with_headers(reply, headers.clone(), "[]".into()).await.unwrap();
            }
        }
    })
}

#[tokio::test]
async fn a_foreign_service_that_comes_later_is_named_and_clients_leave_nats_until_it_is_gone() {
    for mode in MODES {
        let w = Durable::new().await;
        let service = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", mode]).await;
        let peer = Peer::connect(&w.server).await;
        assert_eq!(path_of_a_line(&w.server, &w.file, "before"), "nats");
        let foreign = answers(&peer, None, Duration::ZERO, HeaderMap::new()).await;
        noticed(&peer, "another kind of service answers on").await;
        let srv = peer.request("$SRV.PING.rosey-db", "").await.json();
        assert!(srv["metadata"]["notices"].as_str().unwrap().contains(QUERY), "{srv}");
        assert_eq!(path_of_a_line(&w.server, &w.file, "beside"), "db", "{mode}");
        foreign.abort();
        all_clear(&peer).await;
        assert_eq!(path_of_a_line(&w.server, &w.file, "after"), "nats", "all returns by itself");
        let log = service.log();
        let named = log.matches("another kind of service answers on").count();
        assert_eq!(named, 2, "once when it came, once when it went:\n{log}");
        w.file.assert_clean().await;
    }
}

#[tokio::test]
async fn a_foreign_service_is_noticed_however_it_answers() {
    let mut ours_without_database = HeaderMap::new();
    ours_without_database.insert("Eitherway-Reply", "1");
    let mut another_database = ours_without_database.clone();
    another_database.insert("Eitherway-Database", "0123");
    let slow = Duration::from_millis(400);
    for (group, delay, headers, words) in [
        (None, slow, HeaderMap::new(), "another kind"),
        (Some("python"), Duration::ZERO, HeaderMap::new(), "another kind"),
        (Some("rosey.db"), Duration::ZERO, HeaderMap::new(), "another kind"),
        (None, Duration::ZERO, ours_without_database, "another kind"),
        (None, Duration::ZERO, another_database, "another database (0123)"),
    ] {
        let (server, file) = (NatsServer::start().await, DbFile::new());
        let _service = ServeProcess::start(&server, &file).await;
        let peer = Peer::connect(&server).await;
        let _foreign = answers(&peer, group, delay, headers).await;
        noticed(&peer, words).await;
    }
}

#[tokio::test]
async fn a_foreign_service_that_answers_nothing_is_noticed_by_its_introduction() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let _service = ServeProcess::start(&server, &file).await;
    let peer = Peer::connect(&server).await;
    let info = r#"{"type":"io.nats.micro.v1.info_response","name":"pybot","id":"1","version":"1.0.0",
        "endpoints":[{"name":"joined","subject":"rosey.db.user.joined"}]}"#;
    let foreign = peer.answer("$SRV.INFO", HeaderMap::new(), info).await;
    noticed(&peer, "pybot").await;
    foreign.abort();
    all_clear(&peer).await;
}

#[tokio::test]
async fn a_client_leaves_nats_where_another_program_answers_its_events() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let _service = ServeProcess::start(&server, &file).await;
    let (nats, peer) = (nats(&server).await, Peer::connect(&server).await);
    nats.recognised().await;
    let db = stack(&nats, &file).await;
    let _foreign = peer.answer("rosey.db.user.joined", HeaderMap::new(), r#"{"success":true}"#).await;
    let left = holds_within(SOON, || async {
        let reply = db.call(UserJoined { username: "ann".into() }).await.unwrap();
        reply.via == Via::DB
    });
    assert!(left.await, "the client still sends where another service answers");
}

#[tokio::test]
async fn a_foreign_service_that_answers_events_alone_is_named_when_a_client_meets_it() {
    for mode in MODES {
        let w = Durable::new().await;
        let _service = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", mode]).await;
        let (nats, peer) = (nats(&w.server).await, Peer::connect(&w.server).await);
        nats.recognised().await;
        let db = stack(&nats, &w.file).await;
        let foreign = peer.answer("rosey.db.user.joined", HeaderMap::new(), r#"{"success":true}"#).await;
        let words = "clients are answered by another kind of service on";
        let mut sent = 0;
        let named = holds_within(LIMIT, || {
            sent += 1;
            let (db, peer) = (&db, &peer);
            async move {
                db.call(UserJoined { username: format!("ann{sent}") }).await.unwrap();
                notices(peer).await.contains(words)
            }
        });
        assert!(named.await, "{mode}: {}", notices(&peer).await);
        foreign.abort();
        // One client is no reason for all others to leave.
        assert_eq!(peer.request("rosey.db.ping", "").await.json()["foreign"], false);
        assert_eq!(path_of_a_line(&w.server, &w.file, "another"), "nats");
    }
}

#[tokio::test]
async fn a_foreign_service_that_the_operator_has_accepted_changes_nothing() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start_with(&server, &file, &["--takeover"]).await;
    let peer = Peer::connect(&server).await;
    let _foreign = answers(&peer, None, Duration::ZERO, HeaderMap::new()).await;
    wait_until("it is said", || async { service.log().contains("taking over, as --takeover says") }).await;
    assert_eq!(notices(&peer).await, "[]");
    assert_eq!(path_of_a_line(&server, &file, "beside"), "nats");
}

/// A file, and a copy of it.
fn copied() -> (DbFile, DbFile) {
    let (file, copy) = (DbFile::new(), DbFile::new());
    let joined = ["send", "user_joined", r#"{"username":"ann"}"#, "--no-nats", "--database-url", &file.url()];
    assert_eq!(Ran::of(rosey(file.dir()).args(joined)).code, Some(0));
    std::fs::copy(file.path(), copy.path()).unwrap();
    (file, copy)
}

fn serve(server: &NatsServer, file: &DbFile, mode: &str) -> Program {
    let (nats, database) = (server.url(), file.url());
    Program::start(&["serve", "--nats-url", &nats, "--database-url", &database, "--jetstream", mode], &[])
}

fn assert_names_both(log: &str, file: &DbFile, copy: &DbFile) {
    let both = [file, copy].iter().all(|file| log.contains(&file.path().display().to_string()));
    assert!(both && log.contains("is a copy"), "{log}");
}

#[tokio::test]
async fn a_service_on_a_copy_does_not_start_beside_the_one_that_runs() {
    for mode in MODES {
        let w = Durable::new().await;
        let (file, copy) = copied();
        let mut first = serve(&w.server, &file, mode);
        first.says("serving").await;
        let mut second = serve(&w.server, &copy, mode);
        assert_eq!(second.ended_by_itself().await.code(), Some(5), "{}", second.log());
        assert_names_both(&second.log(), &file, &copy);
        assert!(first.ended().is_none(), "{}", first.log());
        // A copy that was made while the other one had it open, log and all.
        std::fs::copy(file.path(), copy.path()).unwrap();
        let _ =
            std::fs::copy(format!("{}-wal", file.path().display()), format!("{}-wal", copy.path().display()));
        let mut third = serve(&w.server, &copy, mode);
        assert_eq!(third.ended_by_itself().await.code(), Some(5), "{}", third.log());
        assert_eq!(copy.number("SELECT count(*) FROM ledger").await, 1, "the copy took nothing");
    }
}

#[tokio::test]
async fn of_two_services_on_copies_that_meet_exactly_one_stops() {
    for mode in MODES {
        let mut w = Durable::new().await;
        let (file, copy) = copied();
        w.server.kill();
        let mut first = serve(&w.server, &file, mode);
        first.says("no NATS server answers").await;
        let mut second = serve(&w.server, &copy, mode);
        second.says("no NATS server answers").await;
        w.server.restart().await;
        wait_until("one of them has ended", || {
            let ended = first.ended().is_some() || second.ended().is_some();
            async move { ended }
        })
        .await;
        let (stopped, serves) =
            if first.ended().is_some() { (&mut first, &mut second) } else { (&mut second, &mut first) };
        assert_eq!(stopped.ended_by_itself().await.code(), Some(5), "{}", stopped.log());
        assert_names_both(&stopped.log(), &file, &copy);
        serves.says("serving").await;
        all_clear(&Peer::connect(&w.server).await).await;
        assert!(serves.ended().is_none(), "{}", serves.log());
    }
}

#[tokio::test]
async fn several_services_on_one_file_are_no_copies() {
    let w = Durable::new().await;
    let first = ServeProcess::start(&w.server, &w.file).await;
    let second = ServeProcess::start(&w.server, &w.file).await;
    let peer = Peer::connect(&w.server).await;
    // Both have looked at each other several times.
    assert!(!holds_within(Duration::from_secs(4), || async { notices(&peer).await != "[]" }).await);
    for service in [first, second] {
        assert_eq!(service.terminate().await, Some(0));
    }
}

#[tokio::test]
async fn the_word_of_a_stranger_about_a_copy_ends_no_service() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start_with(&server, &file, &["--jetstream", "off"]).await;
    let peer = Peer::connect(&server).await;
    let database = peer.request("rosey.db.ping", "").await.json()["database_id"].as_str().unwrap().to_owned();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Eitherway-Reply", "1");
    headers.insert("Eitherway-Database", database.as_str());
    let forged =
        r#"{"mode":"core","instance":"evil","started":1,"seen":1,"file":"/x","host":"y","knows":false}"#;
    let mut asked = peer.listen("rosey.db.who").await;
    // A copy that proves itself ends the later one after two answers in a row.
    for _ in 0..5 {
        let reply = next(&mut asked).await.reply.unwrap();
        peer.client.publish_with_headers(reply, headers.clone(), forged.into()).await.unwrap();
    }
    assert_eq!(peer.request("rosey.db.ping", "").await.refusal(), None, "{}", service.log());
    assert_eq!(service.terminate().await, Some(0));
}
