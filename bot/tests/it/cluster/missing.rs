//! A server of the cluster that stays away: the services go on to watch who takes events from their consumer.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::AckKind;

use super::alone;
use super::world::STREAM;
use crate::promises::other_programs::{NAMED, QUIET, takes_one_by, takes_until_named_by};
use crate::promises::world::{JOINED, now};
use crate::support::*;

/// That nothing is compared, and that it is again.
const UNKNOWN: &str = "whether another program takes events";
const KNOWN: &str = "resolved: whether another program takes events";
/// A missing server counts for half a minute at least, and some time for a machine with much to do.
const COUNTS: Duration = Duration::from_secs(60);

/// A service on the stream, connected to one server.
async fn serve(cluster: &NatsCluster, server: usize, file: &DbFile) -> ServeProcess {
    let (url, database) = (cluster.url_of(server), file.url());
    let mut service = ServeProcess::begin(&[
        "serve",
        "--nats-url",
        &url,
        "--database-url",
        &database,
        "--jetstream",
        "on",
        "--stream-replicas",
        "3",
        "--stream-ack-wait-ms",
        "2000",
    ]);
    service.serves().await;
    service
}

/// A stream that changes its leader refuses for a moment.
async fn joined(peer: &Peer, name: &str, count: u32) {
    for n in 0..count {
        wait_until("the stream keeps it", || async {
            let body = format!(r#"{{"username":"{name}-{n}"}}"#);
            let stored = peer.try_request_with(JOINED, HeaderMap::new(), body).await;
            stored.is_ok_and(|stored| stored.json()["stream"] == STREAM)
        })
        .await;
    }
}

async fn emptied(cluster: &NatsCluster) {
    wait_until("all of them are applied", || async { cluster.stored(STREAM).await == Some(0) }).await;
}

fn logs(services: &[&ServeProcess]) -> String {
    services.iter().map(|service| service.log()).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the machine for itself: `cargo xtask test --only cluster`"]
async fn while_a_server_stays_away_another_program_is_named_and_what_it_holds_is_taken_back() {
    let _alone = alone().await;
    let (mut cluster, file) = (NatsCluster::start().await, DbFile::new());
    let one = serve(&cluster, 0, &file).await;
    cluster.whole(STREAM).await;
    let leader = cluster.led(STREAM).await;
    let [away, here] = [1, 2].map(|next| (leader + next) % cluster.len());
    let two = serve(&cluster, here, &file).await;
    let peer = Peer::connect(&cluster).await;
    let services = [&one, &two];
    let name = cluster.server(away).name().to_owned();
    cluster.server(away).kill();
    // Either of the two answers.
    wait_until("what is not known is said, with the server's name", || async {
        let said = |notices: &str| [UNKNOWN, &name, "peer-remove"].iter().all(|word| notices.contains(word));
        let stats = peer.request("$SRV.STATS", "").await.json()["data"]["notices"].to_string();
        said(&stats) && said(&now(&peer).await.join("\n"))
    })
    .await;
    let known = || async { services.iter().all(|service| service.log().contains(KNOWN)) };
    assert!(holds_within(COUNTS, known).await, "{}", logs(&services));
    joined(&peer, "nobody else", 50).await;
    emptied(&cluster).await;
    assert!(!holds_within(QUIET, || async { logs(&services).contains(NAMED) }).await, "{}", logs(&services));

    takes_until_named_by(&peer, || logs(&services)).await;
    assert!(!logs(&services).contains("is replaced, and"), "{}", logs(&services));
    takes_one_by(&peer, "held", AckKind::Nak(Some(Duration::from_secs(3600)))).await;
    wait_until("it is taken back", || async { logs(&services).contains("is replaced, and") }).await;
    emptied(&cluster).await;

    // A notice is in the log a second time when it is over.
    let times = || logs(&services).matches(&format!("ERROR {NAMED}")).count();
    let said = times();
    cluster.server(away).restart().await;
    cluster.whole(STREAM).await;
    joined(&peer, "again", 50).await;
    let more = || async { times() > said };
    assert!(!holds_within(QUIET, more).await, "{}", logs(&services));
    emptied(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the machine for itself: `cargo xtask test --only cluster`"]
async fn what_a_service_takes_at_a_server_that_only_the_leader_hears_again_did_not_go_elsewhere() {
    let _alone = alone().await;
    let (mut cluster, file) = (NatsCluster::start().await, DbFile::new());
    let first = serve(&cluster, 0, &file).await;
    cluster.whole(STREAM).await;
    drop(first);
    let leader = cluster.led(STREAM).await;
    wait_until("it leads the consumer, too", || async {
        let leads = cluster.leader_of_consumer(STREAM, "writer").await == Some(leader);
        if !leads {
            cluster.step_down_consumer(STREAM, "writer").await;
        }
        leads
    })
    .await;
    let [away, here] = [1, 2].map(|next| (leader + next) % cluster.len());
    let (apart, watches) = (serve(&cluster, away, &file).await, serve(&cluster, here, &file).await);
    let services = [&apart, &watches];
    // At a server that is not cut off.
    let peer = Peer::connect(cluster.server(here)).await;
    cluster.isolate(away, Split::Cut).await;
    let known = || async { watches.log().contains(KNOWN) };
    assert!(holds_within(COUNTS, known).await, "{}", logs(&services));
    cluster.heal_between(away, leader).await;
    let coming = async {
        for round in 0.. {
            joined(&peer, &format!("round{round}"), 10).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let unheard = wait_until("what the other one took is not called another program's", || async {
        watches.log().contains("is not heard over NATS")
    });
    tokio::select! {
        () = coming => unreachable!("events keep coming"),
        () = unheard => {}
    }
    cluster.heal().await;
    cluster.whole(STREAM).await;
    joined(&peer, "whole", 20).await;
    emptied(&cluster).await;
    let named = || async { logs(&services).contains(NAMED) };
    assert!(!holds_within(QUIET, named).await, "{}", logs(&services));
}
