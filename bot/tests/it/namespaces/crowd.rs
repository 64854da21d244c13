//! Many namespaces in one process: what they share, and how many may be open.

use std::time::Duration;

use eitherway::Via;
use eitherway::nats::{NatsOptions, NatsService};
use futures_util::FutureExt;
use futures_util::StreamExt;
use rosey::op::{Op, UserJoined};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::task::JoinSet;

use super::folder::{CLOSED, Folder};
use super::{client, namespace};
use crate::support::program::write;
use crate::support::*;

/// A client for which what is late on a busy machine is no failure; what is lost is one.
pub(crate) async fn patient_client(server: &NatsServer, name: &str) -> NatsService<Op> {
    let options = NatsOptions::new(server.url()).namespace(namespace(name));
    NatsService::connect(options.recognition(LIMIT).ping_timeout(LIMIT)).await.unwrap()
}

/// Each of these namespaces serves this many events over NATS.
pub(crate) async fn all_served<'a>(
    each: usize,
    clients: impl Iterator<Item = (&'a str, &'a NatsService<Op>)>,
) {
    let mut working = JoinSet::new();
    for (name, nats) in clients {
        let (name, db) = (name.to_owned(), nats_within(nats, LIMIT));
        working.spawn(async move {
            // A pace that two busy cores can follow.
            let mut pace = tokio::time::interval(Duration::from_millis(200));
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            for n in 0..each {
                pace.tick().await;
                let reply = db.call(UserJoined { username: format!("{name}-{n}") }).await;
                assert_eq!(reply.unwrap_or_else(|e| panic!("{name}: {e}")).via, Via::NATS);
            }
        });
    }
    while let Some(done) = working.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_namespaces_share_a_process_and_do_not_notice_the_broken_one() {
    const EACH: usize = 20;
    let server = NatsServer::start().await;
    let names: Vec<_> = (0..100).map(|n| format!("room{n}")).collect();
    let all: Vec<_> = names.iter().map(String::as_str).collect();
    let (broken, good) = all.split_last().unwrap();
    let folder = Folder::serve(&server, good, &["--namespaces-idle-ms", "2000"]).await;
    let id = folder.process.id();
    let (threads, descriptors) = (proc::threads(id), proc::file_descriptors(id));
    // Another process is about to open it, and hangs.
    let lock = std::fs::File::create(folder.dir.path().join(format!("{broken}.db.lock"))).unwrap();
    lock.lock().unwrap();
    write(&folder.path(broken), "");
    let mut asked = Peer::connect(&server).await.listen("$SRV.INFO").await;
    let mut clients = Vec::new();
    for name in &all {
        clients.push(patient_client(&server, name).await);
    }
    let good_ones = || good.iter().zip(&clients);
    for (name, nats) in good_ones() {
        tokio::time::timeout(LIMIT, nats.recognised()).await.expect(name);
    }
    all_served(EACH, good_ones().map(|(name, nats)| (*name, nats))).await;
    // All are open, and the broken one was tried more than once.
    wait_until("it is tried again", || async { folder.said(broken, "not served, retrying in") > 1 }).await;
    let peer = Peer::connect(&server).await;
    let said = peer.request(&format!("{broken}.rosey.db.stats.recent_chat.get"), "{}").await;
    assert_eq!(said.refusal(), Some(521));
    assert!(said.header("Nats-Service-Error").unwrap().contains("has held the lock"), "{said:?}");
    let stats = peer.request("$SRV.STATS.rosey-db-namespaces", "").await.json();
    assert_eq!((&stats["data"]["namespaces"], &stats["data"]["open"]), (&100.into(), &99.into()));
    assert!(stats["data"]["failing"][broken].as_str().unwrap().contains("held the lock"), "{stats}");
    let open = (proc::threads(id), proc::file_descriptors(id), proc::rss(id));
    assert!(open.0 < threads + 6 * 100 && open.1 < descriptors + 16 * 100, "{open:?}");
    assert!(open.2 < 600 << 20, "{open:?}");
    // One question for all of them, every two seconds.
    let mut questions = 0;
    while let Some(Some(_)) = asked.next().now_or_never() {
        questions += 1;
    }
    assert!((1..50).contains(&questions), "{questions}");
    for name in good {
        assert_eq!(folder.applied(name).await, EACH as i64, "{name}");
        assert_eq!(folder.number(name, "SELECT count(*) FROM presence").await, EACH as i64, "{name}");
    }
    // No client needs them any more: all of it is given back, but what has the name of each file and of its two companions.
    drop((clients, lock));
    wait_until("they are closed", || async { proc::file_descriptors(id) < descriptors + 3 * 100 + 16 }).await;
    assert!(proc::threads(id) < threads + 10, "{} after {threads}", proc::threads(id));
    assert!(folder.is_free(good[0]).await);
    folder.process.terminate_and_log().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_is_flooded_and_locked_leaves_the_others_their_places() {
    let server = NatsServer::start().await;
    // Half of them is common; of the other half each has as many.
    let options = ["--namespaces-open", "2", "--namespaces-in-flight", "64"];
    let (own, common, sent) = (16, 32, 300);
    let folder = Folder::serve(&server, &["lounge", "den"], &options).await;
    let (lounge, den) = (client(&server, "lounge").await, client(&server, "den").await);
    for nats in [&lounge, &den] {
        tokio::time::timeout(LIMIT, nats.recognised()).await.unwrap();
    }
    let file = SqliteConnectOptions::new().filename(folder.path("lounge"));
    let mut lock = file.busy_timeout(LIMIT).connect().await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
    let peer = Peer::connect(&server).await;
    for n in 0..sent {
        // No caller waits for them: they are tried for as long as it takes.
        peer.publish("lounge.rosey.db.user.joined", format!(r#"{{"username":"user{n}"}}"#)).await;
    }
    let begun = || async {
        let stats = peer.request("$SRV.STATS.lounge-rosey-db", "").await.json();
        let all = stats["endpoints"].as_array().unwrap().iter();
        all.map(|endpoint| endpoint["num_requests"].as_u64().unwrap()).sum::<u64>()
    };
    wait_until("it works on what it may", || async { begun().await >= own + common }).await;
    let db = nats_within(&den, LIMIT);
    for n in 0..100 {
        let reply = db.call(UserJoined { username: format!("user{n}") }).await.unwrap();
        assert_eq!(reply.via, Via::NATS);
    }
    assert_eq!(begun().await, own + common);
    lock.close().await.unwrap();
    wait_until("all is applied", || async { folder.applied("lounge").await == sent }).await;
    assert_eq!(folder.applied("den").await, 100);
    folder.process.terminate_and_log().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_are_open_as_may_be_and_those_that_nobody_needs_make_room() {
    let server = NatsServer::start().await;
    let folder = Folder::serve(&server, &["a", "b", "c"], &["--namespaces-open", "2"]).await;
    let [a, b, c] = ["a", "b", "c"].map(|name| client(&server, name));
    let (a, b) = (a.await, b.await);
    for nats in [&a, &b] {
        tokio::time::timeout(LIMIT, nats.recognised()).await.unwrap();
    }
    let c = c.await;
    wait_until("it is refused", || async { folder.said("c", "2 namespaces are open") > 0 }).await;
    let reply = nats_only(&a).call(UserJoined { username: "ann".into() }).await.unwrap();
    assert_eq!(reply.via, Via::NATS);
    drop(b);
    tokio::time::timeout(LIMIT, c.recognised()).await.expect("long before ten minutes are over");
    assert_eq!(folder.said("b", CLOSED), 1);
    folder.process.terminate_and_log().await;
}
