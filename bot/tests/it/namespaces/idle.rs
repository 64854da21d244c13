//! Namespaces that close when they are idle, and open again.

use std::time::Duration;

use async_nats::HeaderMap;

use super::client;
use super::folder::{CLOSED, Folder};
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_waits_for_is_applied_once_in_every_moment_of_opening_and_closing() {
    let server = NatsServer::start().await;
    let options = ["--namespaces-idle-ms", "100", "--jetstream", "off"];
    let folder = Folder::serve(&server, &["lounge"], &options).await;
    let peer = Peer::connect(&server).await;
    let mut sent = 0;
    for round in 1..=3 {
        while folder.said("lounge", "serving url") < round {
            for _ in 0..20 {
                sent += 1;
                let payload = format!(r#"{{"username":"user{sent}"}}"#);
                peer.publish("lounge.rosey.db.user.joined", payload).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        wait_until("it is closed", || async { folder.said("lounge", CLOSED) == round }).await;
    }
    assert_eq!(folder.applied("lounge").await, sent);
    assert_eq!(folder.number("lounge", "SELECT count(*) FROM presence").await, sent);
    folder.process.terminate_and_log().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_nobody_needs_is_closed_and_whatever_comes_opens_it_again() {
    for jetstream in ["off", "on"] {
        let w = Durable::new().await;
        let options = ["--namespaces-idle-ms", "600", "--jetstream", jetstream];
        let folder = Folder::serve(&w.server, &["lounge", "den"], &options).await;
        let peer = Peer::connect(&w.server).await;
        let joined = |n: u32| format!(r#"{{"username":"user{n}"}}"#);
        assert!(folder.path("lounge").metadata().unwrap().len() == 0, "not opened before it is asked for");
        for round in 1..=4_u32 {
            // A plain event of a peer that gives no id: done once, and not again when it was held.
            peer.publish("lounge.rosey.db.user.joined", joined(round)).await;
            wait_until("it is applied", || async {
                folder.path("lounge").metadata().unwrap().len() > 0
                    && folder.applied("lounge").await == i64::from(round)
            })
            .await;
            // A query opens it as well, and is answered.
            let said = peer.request("den.rosey.db.query.channel_stats", "{}").await.json();
            assert_eq!(said["success"], true, "{said}");
            wait_until("both are closed", || async {
                ["lounge", "den"].iter().all(|name| folder.said(name, CLOSED) == round as usize)
            })
            .await;
            assert!(folder.is_free("lounge").await);
        }
        assert_eq!(folder.applied("lounge").await, 4);
        // A client that is connected needs it, whatever it sends. Three times the idle time is long enough.
        let nats = client(&w.server, "lounge").await;
        tokio::time::timeout(LIMIT, nats.recognised()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(folder.said("lounge", CLOSED), 4);
        folder.process.terminate_and_log().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_a_namespace_closes_and_opens_all_the_time() {
    for jetstream in ["off", "on"] {
        let w = Durable::new().await;
        let options = ["--namespaces-idle-ms", "100", "--jetstream", jetstream];
        let folder = Folder::serve(&w.server, &["lounge"], &options).await;
        let peer = Peer::connect(&w.server).await;
        let mut sent = 0;
        let begun = std::time::Instant::now();
        while folder.said("lounge", CLOSED) < 8 && begun.elapsed() < Duration::from_secs(25) {
            // At every moment of its closing and opening. What is refused is sent again, as every client of ours does.
            sent += 1;
            let mut headers = HeaderMap::new();
            headers.insert("Rosey-Operation-Id", format!("op{sent}"));
            let payload = format!(r#"{{"username":"user{sent}"}}"#);
            loop {
                let subject = "lounge.rosey.db.user.joined";
                let asked =
                    peer.client.request_with_headers(subject, headers.clone(), payload.clone().into());
                let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(2), asked).await else {
                    continue;
                };
                let refused = |headers: HeaderMap| headers.get("Nats-Service-Error").is_some();
                if !answer.headers.is_some_and(refused) {
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(90 + 7 * (sent % 30))).await;
        }
        assert!(folder.said("lounge", CLOSED) >= 3, "it closed: {}", folder.process.log());
        wait_until("all is applied", || async { folder.applied("lounge").await >= sent as i64 }).await;
        assert_eq!(folder.applied("lounge").await, sent as i64);
        assert_eq!(folder.number("lounge", "SELECT count(*) FROM presence").await, sent as i64);
        folder.process.terminate_and_log().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_a_stream_opens_its_namespace() {
    let w = Durable::new().await;
    let options = ["--namespaces-idle-ms", "300", "--jetstream", "on"];
    let mut folder = Folder::serve(&w.server, &["lounge"], &options).await;
    let peer = Peer::connect(&w.server).await;
    peer.publish("lounge.rosey.db.user.joined", r#"{"username":"ann"}"#).await;
    wait_until("it is closed", || async { folder.said("lounge", CLOSED) == 1 }).await;
    folder.process.kill();
    // Acknowledged by the stream, while no service runs.
    for n in 0..10 {
        let payload = format!(r#"{{"username":"user{n}"}}"#);
        let stored = peer.request("lounge.rosey.db.user.joined", payload).await.json();
        assert_eq!(stored["stream"], "LOUNGE_ROSEY", "{stored}");
    }
    folder.process.restart().await;
    wait_until("all is applied", || async { folder.applied("lounge").await == 11 }).await;
    wait_until("it is closed", || async { folder.said("lounge", CLOSED) == 1 }).await;
    folder.process.terminate_and_log().await;
}
