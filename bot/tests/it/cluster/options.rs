//! Several servers in one address, and how many of them keep the stream.

use std::time::Duration;

use eitherway::nats::{NatsOptions, NatsService};
use rosey::op::Op;

use super::alone;
use super::world::STREAM;
use crate::support::*;

/// Longer than a client takes to move to another server.
const MOVED: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stream_is_kept_on_as_many_servers_as_are_asked_for_and_one_that_is_there_is_changed() {
    let _alone = alone().await;
    let (cluster, file) = (NatsCluster::start().await, DbFile::new());
    let serve = async |options: &[&str]| {
        let options = [&["--jetstream", "on"], options].concat();
        ServeProcess::start_with(&cluster, &file, &options).await.terminate_and_log().await
    };
    for (options, replicas) in [(&[][..], 1), (&["--stream-replicas", "3"], 3), (&[], 3)] {
        serve(options).await;
        assert_eq!(cluster.replicas(STREAM).await, Some(replicas), "{options:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_copies_on_one_server_are_refused_with_a_sentence_that_says_what_to_do() {
    let (store, file) = (tempfile::tempdir().unwrap(), DbFile::new());
    let server = NatsServer::with_jetstream(store.path()).await;
    let (url, database) = (server.url(), file.url());
    let serve =
        ["serve", "--nats-url", &url, "--database-url", &database, "--stream-replicas", "3", "--jetstream"];
    let on = run(&[&serve[..], &["on"]].concat()).await;
    assert_eq!(on.code, Some(5), "{}", on.all());
    assert!(on.err.contains("as a cluster") && on.err.contains("--stream-replicas 1"), "{}", on.err);
    let mut auto = ServeProcess::begin(&[&serve[..], &["auto"]].concat());
    auto.serves().await;
    noticed(&Peer::connect(&server).await, "--stream-replicas 1").await;
    drop(auto);
    // A stream that is there goes on as it is.
    let service = ServeProcess::start_with(&server, &file, &["--jetstream", "on"]).await;
    service.terminate_and_log().await;
    let mut service = ServeProcess::begin(&[&serve[..], &["on"]].concat());
    service.serves().await;
    noticed(&Peer::connect(&server).await, "--stream-replicas 1").await;
    service.terminate_and_log().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_addresses_one_that_answers_is_enough_and_the_others_of_its_cluster_are_found() {
    let _alone = alone().await;
    let (mut cluster, file) = (NatsCluster::start().await, DbFile::new());
    let service = ServeProcess::start_with(&cluster, &file, &["--jetstream", "off"]).await;
    let list = format!("{NOWHERE},{}", cluster.url_of(1));
    let line = r#"{"username":"alice","message":"hello"}"#;
    let sent = run(&["send", "message_log", line, "--nats-url", &list, "--json"]).await;
    assert!(sent.code == Some(0) && sent.out.contains("nats"), "{}", sent.all());
    let one = NatsOptions::new(cluster.url_of(0));
    let [free, bound] = [one.clone(), one.listed_only(true)];
    let (free, bound) =
        (NatsService::<Op>::connect(free).await.unwrap(), NatsService::<Op>::connect(bound).await.unwrap());
    for nats in [&free, &bound] {
        tokio::time::timeout(LIMIT, nats.recognised()).await.expect("the service is recognised");
    }
    cluster.server(0).kill();
    // The free one may be connected elsewhere before the test looks: that it is served tells.
    let client = eitherway::Db::new(free.clone());
    wait_until("it is served over another server", || async { client.user_count(3, 5).await.is_ok() }).await;
    wait_until("the loss is known", || async { !bound.status().borrow().connected }).await;
    assert!(!holds_within(MOVED, || async { bound.status().borrow().connected }).await);
    cluster.server(0).restart().await;
    tokio::time::timeout(LIMIT, bound.recognised()).await.expect("the service is recognised again");
    service.terminate_and_log().await;
}
