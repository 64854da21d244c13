//! Whether a process is alive and ready, and if not, why and since when.

use std::io::Write;

use serde_json::json;

use super::{Endpoints, chat, serve};
use crate::support::*;
use eitherway::clock;
use eitherway_testkit::Peer;

#[tokio::test]
async fn a_service_is_ready_while_its_server_is_there_and_says_why_it_is_not_and_since_when() {
    let (mut server, file) = (NatsServer::start().await, DbFile::new());
    let (_process, endpoints) = serve(&server, &file, &[]).await;
    endpoints.are_ready().await;
    let before = clock::rfc3339(clock::now());
    server.kill();
    let check = endpoints.fails("nats").await;
    assert!(check["why"].as_str().unwrap().contains("no NATS server is connected"), "{check}");
    let since = check["since"].as_str().unwrap().to_owned();
    assert!(since >= before && since <= clock::rfc3339(clock::now()), "{since} is not after {before}");
    assert_eq!(endpoints.alive_and_ready().await, (true, false), "a restart would not help");
    assert_eq!(endpoints.fails("nats").await["since"], since.as_str(), "it is since then, and not since now");
    server.restart().await;
    endpoints.are_ready().await;
}

#[tokio::test]
async fn one_that_waits_for_its_server_answers_from_the_start() {
    let file = DbFile::new();
    let url = file.url();
    let arguments = ["serve", "--nats-url", NOWHERE, "--database-url", &url, "--listen", "127.0.0.1:0"];
    let process = Program::start(&arguments, &[]);
    let endpoints = Endpoints::of(&process).await;
    assert_eq!(endpoints.alive_and_ready().await, (true, false));
    endpoints.fails("nats").await;
    let check = endpoints.fails("database").await;
    assert!(check["why"].as_str().unwrap().contains("not open yet"), "{check}");
}

#[tokio::test]
async fn a_database_that_is_locked_or_replaced_is_a_reason_for_as_long_as_it_is() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (_process, endpoints) = serve(&server, &file, &[]).await;
    endpoints.are_ready().await;
    let lock = file.hold().await;
    let peer = Peer::connect(&server).await;
    peer.publish("rosey.db.user.joined", r#"{"username":"alice"}"#).await;
    endpoints.fails("database").await;
    assert!(endpoints.scrape().await.sum("rosey_ready", &[]) == Some(0.0));
    lock.release().await;
    endpoints.are_ready().await;
    file.move_away();
    let check = endpoints.fails("database").await;
    assert!(check["why"].as_str().unwrap().len() > 20, "{check}");
    file.move_back();
    endpoints.are_ready().await;
}

#[tokio::test]
async fn one_that_ends_is_not_ready_while_it_finishes_what_it_took() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (mut process, endpoints) = serve(&server, &file, &["--jetstream", "off"]).await;
    endpoints.are_ready().await;
    let lock = file.hold().await;
    let peer = Peer::connect(&server).await;
    peer.publish("rosey.db.user.joined", r#"{"username":"alice"}"#).await;
    wait_until("it is taken and not applied", || async {
        endpoints.status().await["service"]["operations"][0]["taken"] == 1
    })
    .await;
    process.signal("-TERM");
    let check = endpoints.fails("running").await;
    assert!(check["why"].as_str().unwrap().contains("ending"), "{check}");
    assert_eq!(endpoints.alive_and_ready().await, (true, false));
    lock.release().await;
    assert_eq!(process.ended_by_itself().await.code(), Some(0));
    assert_eq!(file.number("SELECT count(*) FROM user_stats").await, 1, "it was finished");
}

#[tokio::test]
async fn a_bot_is_ready_while_every_kind_of_operation_has_a_path() {
    let (mut server, file) = (NatsServer::start().await, DbFile::new());
    let service = DbService::start(&server, &file).await;
    let dir = tempfile::tempdir().unwrap();
    let (_bot, endpoints) = chat("bot", dir.path(), &["--nats-url", &server.url()]).await;
    endpoints.are_ready().await;
    service.stop().await;
    server.kill();
    // It has no database of its own, and the outbox takes events alone.
    let check = endpoints.fails("queries").await;
    assert!(check["why"].as_str().unwrap().contains("nats:"), "{check}");
    assert_eq!(endpoints.check("events").await.unwrap()["ok"], true, "the outbox takes them");
    assert_eq!(endpoints.alive_and_ready().await, (true, false));
    server.restart().await;
    let _service = DbService::start(&server, &file).await;
    endpoints.are_ready().await;
}

#[tokio::test]
async fn events_in_the_outbox_are_told_with_the_time_of_the_oldest_and_keep_nobody_from_being_ready() {
    let (dir, server) = (tempfile::tempdir().unwrap(), NatsServer::down());
    let (mut bot, endpoints) = chat("bot", dir.path(), &["--nats-url", &server.url()]).await;
    let mut input = bot.input();
    wait_until("it reads", || async { bot.log().contains("no path yet") }).await;
    writeln!(input, "{}", json!({"event": "user_join", "user": "alice"})).unwrap();
    let check = endpoints.fails("outbox").await;
    assert!(check["why"].as_str().unwrap().contains("1 event waits"), "{check}");
    assert_eq!(check["required"], false);
    let oldest =
        || async { endpoints.scrape().await.sum("rosey_outbox_oldest_age_seconds", &[]) > Some(0.0) };
    wait_until("the oldest is looked at", oldest).await;
    assert_eq!(endpoints.scrape().await.sum("rosey_outbox_events", &[("state", "waiting")]), Some(1.0));
}

#[tokio::test]
async fn bot_and_service_in_one_process_are_ready_without_a_server_and_say_so() {
    let (file, dir) = (DbFile::new(), tempfile::tempdir().unwrap());
    let url = file.url();
    let (_up, endpoints) = chat("up", dir.path(), &["--nats-url", NOWHERE, "--database-url", &url]).await;
    endpoints.are_ready().await;
    let check = endpoints.fails("nats").await;
    assert_eq!(check["required"], false, "the database serves");
    assert_eq!(endpoints.scrape().await.sum("rosey_serving", &[("kind", "call"), ("path", "db")]), Some(1.0));
}

#[tokio::test]
async fn what_an_operator_has_to_know_stands_there_with_its_time() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (_process, endpoints) = serve(&server, &file, &["--jetstream", "off"]).await;
    let foreign = Peer::connect(&server).await;
    let _answers = foreign.answer("rosey.db.query.channel_stats", Default::default(), "{}").await;
    wait_until("it is noticed", || async {
        endpoints.json("/readyz").await.1["notices"].as_array().is_some_and(|notices| !notices.is_empty())
    })
    .await;
    let (_, ready) = endpoints.json("/readyz").await;
    let notice = &ready["notices"][0];
    assert!(notice["why"].as_str().unwrap().contains("rosey.db.query.channel_stats"), "{ready:#}");
    assert!(notice["since"].as_str().unwrap().ends_with('Z'), "{ready:#}");
    let scrape = endpoints.scrape().await;
    assert!(scrape.sum("rosey_service_notices", &[]) >= Some(1.0));
}

#[tokio::test]
async fn a_service_of_namespaces_is_ready_before_one_is_asked_for_and_tells_of_those_that_are_open() {
    let (server, dir) = (NatsServer::start().await, tempfile::tempdir().unwrap());
    let databases = dir.path().to_str().unwrap();
    let options =
        ["serve", "--nats-url", &server.url(), "--namespaces-dir", databases, "--namespaces-create"];
    let process = Program::start(&[&options[..], &["--listen", "127.0.0.1:0"]].concat(), &[]);
    let endpoints = Endpoints::of(&process).await;
    endpoints.are_ready().await;
    let named = eitherway::nats::NatsOptions::new(server.url()).namespace("lounge".parse().unwrap());
    let nats = eitherway::nats::NatsService::<rosey::op::Op>::connect(named).await.unwrap();
    nats.recognised().await;
    nats_only(&nats).user_joined("alice".to_owned()).await.unwrap();
    wait_until("it is told of", || async {
        let status = endpoints.status().await;
        status["service"]["services"][0]["namespace"] == "lounge"
    })
    .await;
    let joined = [("operation", "user_joined"), ("outcome", "done")];
    wait_until("and counted", || async {
        endpoints.scrape().await.sum("rosey_service_operations_total", &joined) == Some(1.0)
    })
    .await;
}
