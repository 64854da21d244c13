//! The proxy does to a connection what it says: otherwise a test that uses it proves nothing.
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use eitherway::nats::{NatsOptions, NatsService};
use eitherway_testkit::{BOTH, Direction, End, LIMIT, NatsServer, NewConnections, Proxy, Url, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A time in which loopback would have brought it many times over.
const A_WHILE: Duration = Duration::from_millis(100);

/// Says everything back, and goodbye when it is told goodbye.
struct Echo(SocketAddr, JoinHandle<()>);

impl Echo {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        Self(address, task)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.1.abort();
    }
}

struct Line(TcpStream);

impl Line {
    async fn through(proxy: &Proxy) -> Self {
        let mut line = Self(TcpStream::connect(proxy.address()).await.unwrap());
        line.echoes("hello").await;
        line
    }

    async fn say(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn hears(&mut self, text: &str) {
        let mut heard = vec![0; text.len()];
        timeout(LIMIT, self.0.read_exact(&mut heard)).await.expect("it is said back").unwrap();
        assert_eq!(heard, text.as_bytes());
    }

    async fn echoes(&mut self, text: &str) {
        self.say(text).await;
        self.hears(text).await;
    }

    async fn hears_nothing(&mut self) {
        let heard = timeout(A_WHILE, self.0.read_u8()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    /// How many bytes come before the end, and how it ends.
    async fn ends(&mut self) -> (usize, Option<ErrorKind>) {
        let mut heard = Vec::new();
        let end = timeout(LIMIT, self.0.read_to_end(&mut heard)).await.expect("it ends");
        (heard.len(), end.err().map(|e| e.kind()))
    }
}

#[tokio::test]
async fn what_passes_is_unchanged_in_both_directions() {
    let echo = Echo::start().await;
    let proxy = Proxy::to(echo.0).await;
    let mut line = Line::through(&proxy).await;
    let text = "0123456789abcdef".repeat(4096);
    line.echoes(&text).await;
    assert_eq!(proxy.connections(), (1, 1));
}

#[tokio::test]
async fn a_cut_ends_connections_with_a_reset_or_a_goodbye_and_refuses_new_ones_until_healed() {
    let echo = Echo::start().await;
    let proxy = Proxy::to(echo.0).await;
    let mut line = Line::through(&proxy).await;
    proxy.cut(End::Reset, NewConnections::Refused).await;
    assert_eq!(line.ends().await, (0, Some(ErrorKind::ConnectionReset)));
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    proxy.heal().await;
    let mut line = Line::through(&proxy).await;
    proxy.cut(End::Finish, NewConnections::Taken).await;
    assert_eq!(line.ends().await, (0, None));
    Line::through(&proxy).await;
}

#[tokio::test]
async fn a_stall_holds_one_direction_or_both_and_loses_nothing() {
    let echo = Echo::start().await;
    let proxy = Proxy::to(echo.0).await;
    let mut line = Line::through(&proxy).await;
    for towards in [vec![Direction::Server], vec![Direction::Client], BOTH.to_vec()] {
        proxy.stall(towards);
        line.say("held").await;
        line.hears_nothing().await;
        proxy.heal().await;
        line.hears("held").await;
    }
    assert_eq!(proxy.connections(), (1, 1), "it stood all the time");
}

#[tokio::test]
async fn a_delay_makes_every_byte_late_and_keeps_the_order() {
    let echo = Echo::start().await;
    let proxy = Proxy::to(echo.0).await;
    let mut line = Line::through(&proxy).await;
    proxy.delay(BOTH, A_WHILE);
    let begun = Instant::now();
    for text in ["one", "two", "three"] {
        line.say(text).await;
    }
    line.hears("onetwothree").await;
    assert!(begun.elapsed() >= 2 * A_WHILE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_throttle_lets_so_many_bytes_a_second_pass() {
    let echo = Echo::start().await;
    let proxy = Proxy::to(echo.0).await;
    let mut line = Line::through(&proxy).await;
    proxy.throttle([Direction::Server], 10_000);
    let begun = Instant::now();
    line.echoes(&"x".repeat(3000)).await;
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_half_closed_connection_still_carries_the_other_direction() {
    let echo = Echo::start().await;
    let proxy = Proxy::to(echo.0).await;
    let mut line = Line::through(&proxy).await;
    proxy.half_close(Direction::Client);
    assert_eq!(line.ends().await, (0, None), "it is told that nothing more comes");
    // It may still be written to: what comes back gets lost.
    line.say("into the void").await;
    Line::through(&proxy).await;
}

#[tokio::test]
async fn where_nobody_listens_a_connection_is_reset() {
    let server = NatsServer::down();
    let proxy = Proxy::before(&server).await;
    match TcpStream::connect(proxy.address()).await {
        Ok(connected) => assert_eq!(Line(connected).ends().await, (0, Some(ErrorKind::ConnectionReset))),
        // So early that it shows in the attempt.
        Err(e) => assert_eq!(e.kind(), ErrorKind::ConnectionReset),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_nats_works_through_it_and_notices_a_cut() {
    let server = NatsServer::start().await;
    let proxy = Proxy::before(&server).await;
    let nats = NatsService::<super::world::Op>::connect(NatsOptions::new(proxy.url())).await.unwrap();
    wait_until("connected", || async { nats.status().borrow().connected }).await;
    proxy.cut(End::Reset, NewConnections::Refused).await;
    wait_until("disconnected", || async { !nats.status().borrow().connected }).await;
    proxy.heal().await;
    wait_until("connected again", || async { nats.status().borrow().connected }).await;
}
