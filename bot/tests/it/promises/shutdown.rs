//! A service that is told to stop while its server is away finishes what it has taken, and says the truth about it.

use crate::support::*;

const TAKEN: u64 = 3_000;

/// A service that has taken events and cannot apply them, because another program keeps the lock of its file; then its
/// server dies, and it is told to stop.
struct Stopping {
    service: ServeProcess,
    held: FileLock,
}

impl Stopping {
    async fn of(server: &mut NatsServer, file: &DbFile, jetstream: &str) -> Self {
        let service = ServeProcess::start_with(server, file, &options(jetstream)).await;
        let held = file.hold().await;
        let peer = Peer::connect(server).await;
        for n in 0..TAKEN {
            peer.publish("rosey.db.user.joined", format!(r#"{{"username":"user{n}"}}"#)).await;
        }
        peer.flush().await;
        if jetstream == "on" {
            let stored = || async { stored(&peer).await == TAKEN };
            wait_until("all are stored", stored).await;
        }
        // It answers over the connection on which the events have come before.
        peer.request("rosey.db.ping", "").await;
        service.says("the database fails").await;
        server.kill();
        service.says("lost the connection to NATS").await;
        service.signal("-TERM");
        service.says("shutting down").await;
        Self { service, held }
    }

    /// Lets the file go; what the service says at its end.
    async fn ends(self) -> String {
        self.held.release().await;
        let mut service = self.service;
        let status = service.ended_by_itself().await;
        assert_eq!(status.code(), Some(0), "{}", service.log());
        service.log()
    }
}

/// What was given to a service that has ended is given to the next one soon.
fn options(jetstream: &str) -> [&str; 4] {
    ["--jetstream", jetstream, "--stream-ack-wait-ms", "2000"]
}

async fn stored(peer: &Peer) -> u64 {
    let info = peer.request("$JS.API.STREAM.INFO.ROSEY", "").await.json();
    info["state"]["messages"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn what_was_taken_without_a_stream_is_applied_though_the_server_is_gone_when_the_service_is_told_to_stop()
 {
    let (mut server, file) = (NatsServer::start().await, DbFile::new());
    let log = Stopping::of(&mut server, &file, "off").await.ends().await;
    let last = log.lines().find(|line| line.contains("stopped: ")).unwrap();
    assert!(last.contains(&format!("stopped: {TAKEN} requests served, 0 lost")), "{log}");
    assert_eq!(file.applied().await, TAKEN, "{log}");
    file.assert_clean().await;
}

#[tokio::test]
async fn what_a_stream_has_taken_is_applied_once_though_the_server_was_gone_when_the_service_was_told_to_stop()
 {
    let mut w = Durable::new().await;
    let log = Stopping::of(&mut w.server, &w.file, "on").await.ends().await;
    assert!(log.contains(" 0 lost"), "{log}");
    w.server.restart().await;
    let service = ServeProcess::start_with(&w.server, &w.file, &options("on")).await;
    w.emptied().await;
    assert_eq!(w.file.applied().await, TAKEN);
    assert_eq!(w.file.number("SELECT count(*) FROM presence").await, i64::try_from(TAKEN).unwrap());
    assert_eq!(service.terminate().await, Some(0));
    w.file.assert_clean().await;
}
