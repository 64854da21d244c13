//! The cluster does what it is told, and recovers.

use async_nats::jetstream::{self, stream};
use eitherway_testkit::{NatsCluster, Peer, Split, Url, wait_until};

async fn with_stream() -> NatsCluster {
    let cluster = NatsCluster::start().await;
    let context = jetstream::new(Peer::connect(&cluster).await.client);
    let config = stream::Config {
        name: "S".to_owned(),
        subjects: vec!["s".to_owned()],
        num_replicas: 3,
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    cluster.whole("S").await;
    cluster
}

async fn led_by_another(cluster: &NatsCluster, than: usize) {
    wait_until("another server leads", || async {
        cluster.leader("S").await.is_some_and(|leader| leader != than)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_cut_off_is_replaced_and_comes_back() {
    let cluster = with_stream().await;
    assert_eq!(cluster.url().split(',').count(), cluster.len());
    for split in [Split::Cut, Split::Stalled] {
        let leader = cluster.led("S").await;
        cluster.isolate(leader, split).await;
        led_by_another(&cluster, leader).await;
        cluster.heal().await;
        cluster.whole("S").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_killed_stopped_or_told_to_is_replaced() {
    let mut cluster = with_stream().await;
    for how in 0..3 {
        let leader = cluster.led("S").await;
        match how {
            0 => cluster.server(leader).kill(),
            1 => cluster.server(leader).stop().await,
            _ => assert!(cluster.step_down("S").await),
        }
        led_by_another(&cluster, leader).await;
        if how < 2 {
            cluster.server(leader).restart().await;
        }
        cluster.whole("S").await;
    }
}
