//! A flood of messages that cannot be read.

use super::*;

/// How often a second a peer sends what cannot be read.
const FLOOD: Duration = Duration::from_nanos(1_000_000_000 / 300);

/// Sends to one subject what cannot be read, at this rate, until it is told to end; returns how many there were.
struct Flood {
    end: std::sync::mpsc::Sender<()>,
    sending: std::thread::JoinHandle<usize>,
}

impl Flood {
    fn begin(server: &NatsServer, subject: &'static str) -> Self {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let mut peer = BytesPeer::connect(server);
        let sending = std::thread::spawn(move || {
            let (begun, mut sent) = (std::time::Instant::now(), 0);
            loop {
                let due = FLOOD * u32::try_from(sent).unwrap();
                match ended.recv_timeout(due.saturating_sub(begun.elapsed())) {
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                    _ => break,
                }
                peer.publish(subject, UNREADABLE[sent % UNREADABLE.len()], &joined("bad"));
                sent += 1;
            }
            peer.flush();
            sent
        });
        Self { end, sending }
    }

    fn end(self) -> usize {
        self.end.send(()).unwrap();
        self.sending.join().unwrap()
    }
}

#[tokio::test]
async fn a_flood_on_a_query_leaves_the_stream_at_its_rate_and_queries_are_back_when_it_ends() {
    let store = tempfile::tempdir().unwrap();
    let (server, file, service) = stream_of(&store).await;
    let begun = std::time::Instant::now();
    let flood = Flood::begin(&server, "rosey.db.query.user_stats");
    let mut peer = BytesPeer::connect(&server);
    for round in 0..20 {
        for place in 0..100 {
            peer.publish(SUBJECT, b"", &joined(&format!("good{round}-{place}")));
        }
        peer.flush();
        tokio::time::sleep(Duration::from_millis(250)).await; // the flood's course, 5 s of it
    }
    wait_until("all are applied while the flood goes on", || async { users(&file, "good").await == 2_000 })
        .await;
    let sent = flood.end();
    assert!(sent >= 1_000, "{sent}");
    let client = Peer::connect(&server).await;
    wait_until("queries are answered again", || async {
        let asked = client.client.request("rosey.db.query.user_stats", joined("good0-0").into());
        let answer = tokio::time::timeout(Duration::from_millis(500), asked).await;
        answer.is_ok_and(|answer| answer.is_ok())
    })
    .await;
    wait_until("ping and statistics name the cause", || async {
        let (ping, stats) = asked(&server).await;
        ping["notices"].to_string().contains("cannot be read")
            && stats["data"]["unreadable"]["connections_ended"].as_u64().unwrap() > 10
    })
    .await;
    let (log, seconds) = (service.log(), begun.elapsed().as_secs());
    let said = log.lines().filter(|line| line.contains("cannot be read")).count() as u64;
    assert!((1..=1 + seconds / 10).contains(&said), "{said} in {seconds} s: {log}");
    assert!(!log.contains("panicked") && !log.contains("lost the connection"), "{log}");
    few_lines(&log, 1, begun.elapsed());
    assert_eq!(service.terminate().await, Some(0));
}
