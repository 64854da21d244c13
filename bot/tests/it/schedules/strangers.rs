//! Peers that do harm: bytes that no client library reads, and a service of another make on our subjects.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::HeaderMap;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::*;

/// What a poisonous message says, so that its dead letter is known for one.
pub(crate) const POISON: &str = "poison";

/// Headers that a server passes on and that the client library refuses with the whole connection.
const HEADERS: [&[u8]; 4] = [
    b"NATS/1.0\r\nX-Name: caf\xe9\r\n\r\n",
    b"NATS/1.0\r\nTrace Id: 17\r\n\r\n",
    b"NATS/1.0\r\nno colon\r\n\r\n",
    b"NATS/9.9\r\nA: b\r\n\r\n",
];

const SUBJECTS: [&str; 3] = ["rosey.db.user.joined", "rosey.db.message.log", "rosey.db.query.channel_stats"];

/// A peer that goes on sending such messages until it is told to stop.
pub(crate) struct Poisoner {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Poisoner {
    pub(crate) fn start(server: &impl Url, every: Duration) -> Self {
        let address = server.url().trim_start_matches("nats://").to_owned();
        let stop = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(poison(address, every, Arc::clone(&stop)));
        Self { stop, task }
    }

    /// Returns how many messages a server has taken.
    pub(crate) async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        self.task.await.unwrap()
    }
}

async fn poison(address: String, every: Duration, stop: Arc<AtomicBool>) -> u64 {
    let mut connection = None;
    let (mut sent, mut taken) = (0, 0);
    let mut ticks = tokio::time::interval(every);
    while !stop.load(Ordering::Acquire) {
        ticks.tick().await;
        if connection.is_none() {
            connection = connect(&address).await.ok();
        }
        // The server may be dead or frozen: that is another fault's business.
        if let Some(open) = &mut connection {
            let published = tokio::time::timeout(Duration::from_millis(200), publish(open, sent)).await;
            match published {
                Ok(Ok(())) => taken += 1,
                _ => connection = None,
            }
        }
        sent += 1;
    }
    taken
}

async fn connect(address: &str) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"CONNECT {\"verbose\":false,\"headers\":true}\r\n").await?;
    Ok(stream)
}

async fn publish(stream: &mut TcpStream, n: usize) -> std::io::Result<()> {
    let (subject, headers) = (SUBJECTS[n % SUBJECTS.len()], HEADERS[n % HEADERS.len()]);
    let payload = format!("{{\"username\":\"{POISON} {n}\",\"message\":\"{POISON}\"}}");
    let mut message =
        format!("HPUB {subject} {} {}\r\n", headers.len(), headers.len() + payload.len()).into_bytes();
    message.extend_from_slice(headers);
    message.extend_from_slice(payload.as_bytes());
    message.extend_from_slice(b"\r\nPONG\r\n");
    stream.write_all(&message).await
}

/// A service of another make: answers everything at once, keeps nothing.
pub(crate) struct Foreign(JoinHandle<()>);

impl Foreign {
    /// None, if the server takes no connection now.
    pub(crate) async fn start(server: &impl Url) -> Option<Self> {
        let url = server.url();
        let started = async move {
            let options = async_nats::ConnectOptions::new().connection_timeout(Duration::from_millis(300));
            let client = options.connect(url).await.ok()?;
            let peer = Peer { client };
            Some(peer.answer("rosey.db.>", HeaderMap::new(), "{}").await)
        };
        tokio::time::timeout(Duration::from_secs(1), started).await.ok().flatten().map(Self)
    }

    pub(crate) async fn stop(self) {
        self.0.abort();
        let _ = self.0.await;
    }
}
