//! A TCP proxy in front of a server, on a port of its own, that does to connections what networks do: it cuts, stalls,
//! delays, throttles and half-closes them. It runs on a thread of its own, so that a test that blocks does not slow it
//! down.

mod link;
mod pump;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::{Port, Url, wait_until};
use link::Link;

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From a client to the server.
    Server,
    /// From the server to a client.
    Client,
}

/// Both directions.
pub const BOTH: [Direction; 2] = [Direction::Server, Direction::Client];

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At once, with RST: what was on its way is gone.
    Reset,
    /// With FIN, as by a program that closes it.
    Finish,
}

/// What becomes of connections that come after a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewConnections {
    /// Refused, as where no server listens.
    Refused,
    /// Taken as usual.
    Taken,
}

/// What happens to the bytes of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LinkState {
    stalled: bool,
    delay: Duration,
    bytes_per_second: Option<u64>,
    /// Turns with every half-close: connections of an earlier turn have ended in this direction.
    ended: u64,
}

/// What the test wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wanted {
    deaf: bool,
    /// Turns with every cut, and how the connections of earlier turns end.
    cuts: u64,
    reset: bool,
    links: [LinkState; 2],
    over: bool,
}

/// What is so.
#[derive(Clone, Debug, Default)]
struct Seen {
    listening: bool,
    /// The connections that are open, by number.
    open: BTreeSet<u64>,
    taken: u64,
}

/// A proxy that listens until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    port: Port,
    wanted: watch::Sender<Wanted>,
    seen: watch::Receiver<Seen>,
    thread: Option<JoinHandle<()>>,
}

impl Url for Proxy {
    fn url(&self) -> String {
        format!("nats://{}", self.address())
    }
}

impl Proxy {
    /// In front of a server, which may be down.
    pub async fn before(server: &impl Url) -> Self {
        let url = server.url();
        Self::to(url.trim_start_matches("nats://").parse().unwrap()).await
    }

    /// In front of whatever listens at this address, or will.
    pub async fn to(server: SocketAddr) -> Self {
        let port = Port::reserve();
        let (wanted, asked) = watch::channel(Wanted::default());
        let (says, seen) = watch::channel(Seen::default());
        let own = SocketAddr::from(([127, 0, 0, 1], port.number));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(listen(own, server, asked, says));
        });
        let proxy = Self { port, wanted, seen, thread: Some(thread) };
        proxy.is("the proxy listens", |seen| seen.listening).await;
        proxy
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port.number))
    }

    /// How many connections stand, and how many there have been.
    pub fn connections(&self) -> (usize, u64) {
        let seen = self.seen.borrow();
        (seen.open.len(), seen.taken)
    }

    /// Ends all connections that stand, on both sides. New ones are refused, if they are, until [`heal`](Self::heal).
    pub async fn cut(&self, end: End, new_ones: NewConnections) {
        let before = self.seen.borrow().open.clone();
        self.wanted.send_modify(|wanted| {
            wanted.cuts += 1;
            wanted.reset = end == End::Reset;
            wanted.deaf = new_ones == NewConnections::Refused;
        });
        self.is("the connections are cut", |seen| {
            seen.open.is_disjoint(&before) && seen.listening == (new_ones == NewConnections::Taken)
        })
        .await;
    }

    /// Holds the bytes of a direction, or of both, from now on. Connections stand, and new ones are taken.
    pub fn stall(&self, towards: impl IntoIterator<Item = Direction>) {
        self.change(towards, |link| link.stalled = true);
    }

    /// Every byte arrives so much later, in order, however many are on their way.
    pub fn delay(&self, towards: impl IntoIterator<Item = Direction>, delay: Duration) {
        self.change(towards, |link| link.delay = delay);
    }

    /// No more than this many bytes a second, by each connection and direction.
    pub fn throttle(&self, towards: impl IntoIterator<Item = Direction>, bytes_per_second: u64) {
        assert!(bytes_per_second > 0, "that is `stall`");
        self.change(towards, |link| link.bytes_per_second = Some(bytes_per_second));
    }

    /// Ends a direction of the connections that stand: who reads there is told that nothing more comes, and what is still
    /// sent there gets lost. The other direction goes on. New connections are whole.
    pub fn half_close(&self, towards: Direction) {
        self.change([towards], |link| link.ended += 1);
    }

    /// Lets everything pass again, what was held first. A connection that has ended does not come back.
    pub async fn heal(&self) {
        self.wanted.send_modify(|wanted| {
            wanted.deaf = false;
            for link in &mut wanted.links {
                *link = LinkState { ended: link.ended, ..LinkState::default() };
            }
        });
        self.is("the proxy listens again", |seen| seen.listening).await;
    }

    fn change(&self, towards: impl IntoIterator<Item = Direction>, change: impl Fn(&mut LinkState)) {
        self.wanted.send_modify(|wanted| {
            towards.into_iter().for_each(|towards| change(&mut wanted.links[towards as usize]));
        });
    }

    async fn is(&self, what: &str, condition: impl Fn(&Seen) -> bool) {
        wait_until(what, || async { condition(&self.seen.borrow()) }).await;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.wanted.send_modify(|wanted| wanted.over = true);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the proxy has failed");
        }
    }
}

/// Takes connections for as long as it is wanted.
async fn listen(
    own: SocketAddr,
    server: SocketAddr,
    mut wanted: watch::Receiver<Wanted>,
    seen: watch::Sender<Seen>,
) {
    let mut listener = None;
    loop {
        let now = *wanted.borrow_and_update();
        if now.over {
            return;
        }
        listener = match listener {
            _ if now.deaf => None,
            None => Some(TcpListener::bind(own).await.unwrap()),
            listener => listener,
        };
        seen.send_modify(|seen| seen.listening = listener.is_some());
        let taken = async {
            match &listener {
                Some(listener) => listener.accept().await.unwrap().0,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // What has come before a change was there before it.
            biased;
            client = taken => take(client, server, &wanted, &seen),
            _ = wanted.changed() => {}
        }
    }
}

/// Passes on between a client and the server until one of them, or the test, ends it.
fn take(client: TcpStream, server: SocketAddr, wanted: &watch::Receiver<Wanted>, seen: &watch::Sender<Seen>) {
    let mut number = 0;
    seen.send_modify(|seen| {
        seen.taken += 1;
        number = seen.taken;
        seen.open.insert(number);
    });
    let link = Link::new(client, wanted.clone());
    let seen = seen.clone();
    tokio::spawn(async move {
        link.run(server).await;
        seen.send_modify(|seen| {
            seen.open.remove(&number);
        });
    });
}
