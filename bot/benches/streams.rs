//! What streams with three copies cost the three servers of a cluster, one stream and one consumer for each of many channels: processor
//! time and memory while nothing is published, and how many events a second they acknowledge.
//!
//! `cargo xtask bench streams`; `ROSEY_STREAMS` is how many at the end (500). The servers share the machine's cores.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "../../benches/support/record.rs"]
mod record;

use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use async_nats::jetstream::{self, Context};
use eitherway_testkit::{NatsCluster, Url, knob, proc};
use record::Row;

/// For how long the servers are watched while nothing happens, after time to settle.
const WATCHED: Duration = Duration::from_secs(10);
/// How many events are published, and how many at the same time.
const EVENTS: usize = 2000;
const AT_ONCE: usize = 50;
/// As large as a line of chat with its headers.
const EVENT: [u8; 300] = [b'x'; 300];

async fn create(streams: &Context, n: usize) {
    let config = Config {
        name: format!("ROOM{n}"),
        subjects: vec![format!("room{n}.>")],
        retention: RetentionPolicy::WorkQueue,
        num_replicas: 3,
        ..Config::default()
    };
    let consumer = pull::Config {
        durable_name: Some("service".to_owned()),
        ack_policy: AckPolicy::Explicit,
        ..pull::Config::default()
    };
    let stream = streams.create_stream(config).await.unwrap();
    stream.create_consumer(consumer).await.unwrap();
}

async fn publish(streams: &Context, count: usize) -> f64 {
    let begun = Instant::now();
    let publishers: Vec<_> = (0..AT_ONCE)
        .map(|first| {
            let streams = streams.clone();
            tokio::spawn(async move {
                for event in (first..EVENTS).step_by(AT_ONCE) {
                    let stored =
                        streams.publish(format!("room{}.line", event % count), EVENT[..].into()).await;
                    stored.unwrap().await.unwrap();
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    EVENTS as f64 / begun.elapsed().as_secs_f64()
}

#[tokio::main]
async fn main() {
    let most: usize = knob("ROSEY_STREAMS", 500);
    let mut cluster = NatsCluster::start().await;
    let servers: Vec<async_nats::ServerAddr> =
        cluster.url().split(',').map(|url| url.parse().unwrap()).collect();
    let client = async_nats::connect(servers).await.unwrap();
    let mut streams = jetstream::new(client);
    streams.set_timeout(Duration::from_secs(30));
    println!(
        "{:>8}{:>24}{:>16}{:>26}",
        "streams", "% of a core, a server", "MiB, a server", "acknowledged a second"
    );
    let mut made = 0;
    for count in [1, most / 5, most] {
        for n in made..count {
            create(&streams, n).await;
        }
        made = count;
        tokio::time::sleep(WATCHED / 2).await;
        let servers: Vec<u32> = (0..cluster.len()).map(|n| cluster.server(n).id()).collect();
        let spent = || servers.iter().map(|id| proc::cpu_time(*id)).sum::<Duration>();
        let before = spent();
        tokio::time::sleep(WATCHED).await;
        let share = (spent() - before).as_secs_f64() / WATCHED.as_secs_f64() / servers.len() as f64 * 100.0;
        let memory = servers.iter().map(|id| proc::rss(*id) >> 20).sum::<u64>() / servers.len() as u64;
        let rate = publish(&streams, count).await;
        println!("{count:>8}{share:>24.1}{memory:>16}{rate:>26.0}");
        let group = format!("{count} streams");
        Row::new(&group, "of a core, a server", "%", share).keep();
        Row::new(&group, "memory of a server", "MiB", memory as f64).keep();
        Row::new(&group, "acknowledged", "per s", rate).keep();
    }
}
