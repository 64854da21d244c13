//! One connection through the proxy.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::time;

use super::pump::{Pump, waste};
use super::{Direction, Wanted};

/// How long a program that was told of the end may take to end, too.
const GOODBYE: Duration = Duration::from_secs(1);

pub(super) struct Link {
    client: TcpStream,
    wanted: watch::Receiver<Wanted>,
    /// How often connections had been cut when this one came.
    cuts: u64,
}

impl Link {
    pub(super) fn new(client: TcpStream, wanted: watch::Receiver<Wanted>) -> Self {
        let cuts = wanted.borrow().cuts;
        Self { client, wanted, cuts }
    }

    /// Runs until both directions have ended, one of them has failed, or the connection is cut.
    pub(super) async fn run(mut self, server: SocketAddr) {
        let Ok(upstream) = TcpStream::connect(server).await else {
            // No server: as a balancer does that finds none.
            reset(&self.client);
            return;
        };
        for stream in [&self.client, &upstream] {
            let _ = stream.set_nodelay(true);
        }
        let (mut from_client, mut to_client) = self.client.into_split();
        let (mut from_server, mut to_server) = upstream.into_split();
        let watching = self.wanted.clone();
        let pump = |towards: Direction| Pump::new(towards, watching.clone());
        let both = async {
            tokio::try_join!(
                pump(Direction::Server).run(&mut from_client, &mut to_server),
                pump(Direction::Client).run(&mut from_server, &mut to_client),
            )
        };
        let (cuts, wanted) = (self.cuts, &mut self.wanted);
        let cut = wanted.wait_for(|wanted| wanted.over || wanted.cuts > cuts);
        let ended = tokio::select! {
            biased;
            cut = cut => Err(cut.is_ok_and(|wanted| !wanted.over && !wanted.reset)),
            both = both => both.map(drop).map_err(|_| false),
        };
        match ended {
            Ok(()) => {}
            Err(true) => finish([(from_client, to_client), (from_server, to_server)]).await,
            // One side broke it: the other one hears of it in the same way.
            Err(false) => {
                reset(from_client.as_ref());
                reset(from_server.as_ref());
                // Dropped, they would say goodbye first.
                to_client.forget();
                to_server.forget();
            }
        }
    }
}

/// The next close is a RST.
fn reset(stream: &TcpStream) {
    // One that is gone already needs none.
    let _ = stream.set_zero_linger();
}

/// Says goodbye on both sides, and listens until they have, too: closing what has not been read would be a RST.
async fn finish(sides: [(OwnedReadHalf, OwnedWriteHalf); 2]) {
    let goodbyes = sides.map(|(mut read, mut write)| async move {
        let _ = write.shutdown().await;
        let _ = time::timeout(GOODBYE, waste(&mut read)).await;
    });
    futures_util::future::join_all(goodbyes).await;
}
