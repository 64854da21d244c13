//! A connection to NATS that has ended permanently is replaced, and the service serves again, whatever has become of the
//! server's state in between.

use std::time::Duration;

use crate::support::*;

const SUBJECT: &str = "rosey.db.user.joined";
const QUERY: &str = "rosey.db.query.user_stats";

/// A header that a server passes on, and at which the client library's own task ends: it never connects again.
const UNREADABLE: &[u8] = b"NATS/1.0\r\nA: b\rc\r\n\r\n";

/// What became of the stream while the service ran.
#[derive(Clone, Copy, Debug)]
enum Stream {
    AsItWas,
    /// The server was started again with an empty store.
    Gone,
    /// The server was started again without JetStream.
    NotOffered,
}

async fn change(w: &mut Durable, stream: Stream) {
    match stream {
        Stream::AsItWas => {}
        Stream::Gone => {
            w.server.kill();
            std::fs::remove_dir_all(w.store.path().join("jetstream")).unwrap();
            w.server.restart().await;
        }
        Stream::NotOffered => w.server.restart_with("").await,
    }
}

/// An event is taken, and a query answered.
async fn serves(w: &Durable, service: &ServeProcess, name: &str) {
    answers(w, service, SUBJECT, name).await;
    answers(w, service, QUERY, name).await;
}

/// Asks until an answer comes: what was on its way when the connection ended is lost with it, as core NATS has it.
async fn answers(w: &Durable, service: &ServeProcess, subject: &'static str, name: &str) {
    let client = Peer::connect(&w.server).await.client;
    let served = holds_within(LIMIT, || async {
        let asked = client.request(subject, format!(r#"{{"username":"{name}"}}"#).into());
        tokio::time::timeout(Duration::from_millis(500), asked).await.is_ok_and(|answer| answer.is_ok())
    });
    assert!(served.await, "{subject} is not served to {name}:\n{}", service.log());
}

/// How many connections of the service have ended at a message.
async fn ended(peer: &Peer) -> u64 {
    let stats = peer.request("$SRV.STATS.rosey-db", "").await.json();
    stats["data"]["unreadable"]["connections_ended"].as_u64().unwrap_or_else(|| panic!("{stats}"))
}

#[tokio::test]
async fn a_service_that_has_emptied_its_stream_serves_again_when_its_connection_has_ended_permanently() {
    for stream in [Stream::AsItWas, Stream::Gone, Stream::NotOffered] {
        let mut w = Durable::new().await;
        let mut before = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", "on"]).await;
        before.kill();
        let context = w.context().await;
        for n in 0..10 {
            let joined = format!(r#"{{"username":"stored{n}"}}"#);
            context.publish(SUBJECT, joined.into()).await.unwrap().await.unwrap();
        }
        let service = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", "off"]).await;
        wait_until("the stream is emptied and deleted", || async { w.stored().await.is_none() }).await;
        change(&mut w, stream).await;
        serves(&w, &service, "before").await;
        for round in 1..=3 {
            let mut stranger = BytesPeer::connect(&w.server);
            stranger.publish(SUBJECT, UNREADABLE, b"{}");
            stranger.flush();
            serves(&w, &service, &format!("after{round}")).await;
        }
        let peer = Peer::connect(&w.server).await;
        wait_until("the ends are counted", || async { ended(&peer).await == 3 }).await;
        let stored = w.file.number("SELECT count(*) FROM user_stats_now WHERE username LIKE 'stored%'").await;
        assert_eq!(stored, 10, "{stream:?}");
        let log = service.terminate_and_log().await;
        assert!(log.contains(" 0 lost") && !log.contains("cannot serve"), "{stream:?}: {log}");
        w.file.assert_clean().await;
    }
}

#[tokio::test]
async fn a_service_on_a_stream_declares_it_again_when_it_is_gone_and_its_connection_has_ended_permanently() {
    // What is on its way when the connection ends is not waited for long.
    let options = ["--jetstream", "on", "--stream-ack-wait-ms", "2000"];
    for stream in [Stream::AsItWas, Stream::Gone] {
        let mut w = Durable::new().await;
        let service = ServeProcess::start_with(&w.server, &w.file, &options).await;
        serves(&w, &service, "first").await;
        wait_until("it is applied", || async { w.file.applied().await == 1 }).await;
        change(&mut w, stream).await;
        // A query is no event: nothing of it is stored.
        let mut stranger = BytesPeer::connect(&w.server);
        stranger.publish("rosey.db.query.channel_stats", UNREADABLE, b"{}");
        stranger.flush();
        wait_until("the stream is there", || async { w.stored().await.is_some() }).await;
        serves(&w, &service, "second").await;
        let joined = "SELECT count(*) FROM user_stats_now WHERE username IN ('first', 'second')";
        let both = holds_within(LIMIT, || async { w.file.number(joined).await == 2 });
        assert!(both.await, "{stream:?}:\n{}", service.log());
        let log = service.terminate_and_log().await;
        assert!(log.contains(" 0 lost"), "{stream:?}: {log}");
    }
}
