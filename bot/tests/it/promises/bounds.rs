//! Memory and files have bounds in bytes, whatever comes.

use crate::support::*;

const SUBJECT: &str = "rosey.db.user.joined";
const MIB: usize = 1 << 20;
const LIMIT_RSS: u64 = 150 << 20;

fn garbage(bytes: usize) -> Vec<u8> {
    vec![b'x'; bytes]
}

async fn good(file: &DbFile) -> i64 {
    file.number("SELECT count(*) FROM user_stats_now WHERE username LIKE 'good%'").await
}

fn assert_bounded(service: &ServeProcess) {
    let peak = proc::rss_peak(service.id());
    assert!(peak < LIMIT_RSS, "{} MiB", peak >> 20);
}

#[tokio::test]
async fn a_thousand_mebibytes_of_garbage_without_a_stream_leave_memory_bounded_and_good_events_applied() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start(&server, &file).await;
    let (mut garbage_peer, peer) = (BytesPeer::connect(&server), Peer::connect(&server).await);
    for round in 0..20 {
        // As much as the server lets wait for one client, at once.
        for _ in 0..50 {
            garbage_peer.publish(SUBJECT, b"", &garbage(MIB));
        }
        garbage_peer.flush();
        let answer = peer.request(SUBJECT, format!(r#"{{"username":"good{round}"}}"#)).await;
        assert_eq!(answer.refusal(), None, "{answer:?}");
    }
    assert_eq!(good(&file).await, 20);
    wait_until("all the garbage is taken", || async { file.dead_letters().await == 1_000 }).await;
    assert_bounded(&service);
    let size = std::fs::metadata(file.path()).unwrap().len();
    assert!(size < 64 << 20, "{size} bytes of file");
}

#[tokio::test]
async fn a_thousand_mebibytes_of_garbage_in_an_older_stream_leave_memory_bounded_and_good_events_applied() {
    let store = tempfile::tempdir().unwrap();
    let (server, file) = (NatsServer::with_jetstream(store.path()).await, DbFile::new());
    let mut service = ServeProcess::start_with(&server, &file, &["--jetstream", "on"]).await;
    let client = Peer::connect(&server).await.client;
    let context = async_nats::jetstream::new(client);
    let config = || async { context.get_stream("ROSEY").await.unwrap().cached_info().config.clone() };
    assert_eq!(config().await.max_message_size, 512 << 10, "what is larger is refused by the stream");
    service.kill();
    // As an older version declared it.
    context
        .update_stream(async_nats::jetstream::stream::Config { max_message_size: -1, ..config().await })
        .await
        .unwrap();
    for place in 0..1_000 {
        // Waits for the acknowledgement: a server drops what comes too fast for its disk.
        context.publish(SUBJECT, garbage(MIB).into()).await.unwrap().await.unwrap();
        if place % 100 == 0 {
            let name = format!(r#"{{"username":"good{place}"}}"#);
            context.publish(SUBJECT, name.into()).await.unwrap().await.unwrap();
        }
    }
    service.restart().await;
    wait_until("the good ones are applied", || async { good(&file).await == 10 }).await;
    wait_until("all the garbage is taken", || async { file.dead_letters().await == 1_000 }).await;
    assert_bounded(&service);
    assert_eq!(config().await.max_message_size, 512 << 10, "and put right");
}

#[tokio::test]
async fn a_message_larger_than_what_is_asked_for_at_once_comes_all_the_same() {
    let store = tempfile::tempdir().unwrap();
    let config = format!("max_payload: 8MB\njetstream {{ store_dir: {:?} }}", store.path());
    let (server, file) = (NatsServer::with_config(&config).await, DbFile::new());
    let mut service = ServeProcess::start_with(&server, &file, &["--jetstream", "on"]).await;
    let context = async_nats::jetstream::new(Peer::connect(&server).await.client);
    service.kill();
    let config = context.get_stream("ROSEY").await.unwrap().cached_info().config.clone();
    context
        .update_stream(async_nats::jetstream::stream::Config { max_message_size: -1, ..config })
        .await
        .unwrap();
    let mut peer = BytesPeer::connect(&server);
    for place in 0..3 {
        peer.publish(SUBJECT, b"", &garbage(6 * MIB));
        peer.publish(SUBJECT, b"", format!(r#"{{"username":"good{place}"}}"#).as_bytes());
    }
    peer.flush();
    service.restart().await;
    wait_until("all are taken", || async { (good(&file).await, file.dead_letters().await) == (3, 3) }).await;
}

#[tokio::test]
async fn the_oldest_garbage_is_summed_up_and_what_could_be_applied_yet_is_kept() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let _service = ServeProcess::start(&server, &file).await;
    let mut peer = BytesPeer::connect(&server);
    let late = r#"{"username":"good-later","timestamp":32503680000}"#;
    peer.publish(SUBJECT, b"", late.as_bytes());
    peer.flush();
    wait_until("it is kept", || async { file.dead_letters().await == 1 }).await;
    let kept = file.texts("SELECT code FROM dead_letters").await;
    assert_eq!(kept, ["clock"]);
    // 100 MiB, each small enough to be kept whole.
    for place in 0..200 {
        peer.publish(SUBJECT, b"", &garbage(MIB / 2 - 1024));
        if place % 20 == 19 {
            let most = place + 1;
            wait_until("it is taken", || async { taken(&file).await >= most }).await;
        }
    }
    wait_until("all of it is counted", || async { taken(&file).await == 200 }).await;
    let bytes = file.number("SELECT sum(length(payload)) FROM dead_letters").await;
    assert!(bytes < 80 << 20, "{bytes}");
    assert_eq!(file.number("SELECT count(*) FROM dead_letters WHERE code = 'clock'").await, 1);
    let summary =
        file.texts("SELECT reason FROM dead_letters WHERE headers LIKE '%Eitherway-Dropped%'").await;
    assert!(summary.len() == 1 && summary[0].contains("letters like it were dropped"), "{summary:?}");
}

/// The garbage that was kept, or is counted.
async fn taken(file: &DbFile) -> i64 {
    file.number(
        "SELECT coalesce(sum(coalesce(CAST(headers ->> 'Eitherway-Dropped' AS INTEGER), 1)), 0)
         FROM dead_letters WHERE code = 'invalid'",
    )
    .await
}
