//! A server that is killed, frozen, thawed and restarted is what it is said to be.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

use eitherway_testkit::{NatsServer, Peer, Port, Url, silent, wait_until};

/// A time in which loopback would have brought it many times over.
const A_WHILE: Duration = Duration::from_millis(200);

fn address(server: &NatsServer) -> String {
    server.url().trim_start_matches("nats://").to_owned()
}

#[tokio::test]
async fn a_killed_server_refuses_connections_until_it_is_restarted_on_the_same_port() {
    let mut server = NatsServer::start().await;
    let (before, mut standing) = (server.url(), TcpStream::connect(address(&server)).unwrap());
    server.kill();
    assert_eq!(TcpStream::connect(address(&server)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    // What stood is at its end: the server is gone, and not only deaf.
    standing.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let ended = standing.read_to_end(&mut Vec::new());
    assert!(!ended.is_err_and(|e| matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)));
    server.restart().await;
    assert_eq!(server.url(), before);
    Peer::connect(&server).await.flush().await;
}

#[tokio::test]
async fn a_server_that_is_down_holds_its_port_and_nobody_answers() {
    let server = NatsServer::down();
    assert_eq!(TcpStream::connect(address(&server)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let others: Vec<_> = (0..20).map(|_| Port::reserve()).collect();
    assert!(others.iter().all(|port| !server.url().ends_with(&port.number.to_string())));
}

#[tokio::test]
async fn a_frozen_server_answers_nobody_until_it_is_thawed_and_then_everything() {
    let server = NatsServer::start().await;
    let (peer, other) = (Peer::connect(&server).await, Peer::connect(&server).await);
    let mut heard = other.listen("word").await;
    server.freeze();
    peer.publish("word", "held back").await;
    peer.client.flush().await.ok();
    assert!(silent(&mut heard, A_WHILE).await, "nothing moves");
    // The system takes the connection; the server does not greet.
    let mut stream = TcpStream::connect(address(&server)).unwrap();
    stream.set_read_timeout(Some(A_WHILE)).unwrap();
    let greeted = stream.read(&mut [0; 1]).map_err(|e| e.kind());
    assert!(matches!(greeted, Err(ErrorKind::WouldBlock | ErrorKind::TimedOut)), "{greeted:?}");
    server.thaw();
    assert_eq!(eitherway_testkit::next(&mut heard).await.payload, "held back");
}

#[tokio::test]
async fn with_a_data_directory_a_stream_survives_a_kill_and_without_jetstream_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = NatsServer::with_jetstream(dir.path()).await;
    let context = async_nats::jetstream::new(Peer::connect(&server).await.client);
    let config = async_nats::jetstream::stream::Config {
        name: "KEPT".into(),
        subjects: vec!["kept".into()],
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    context.publish("kept", "".into()).await.unwrap().await.unwrap();
    server.kill();
    server.restart().await;
    wait_until("the stream has its message", || async {
        let context = async_nats::jetstream::new(Peer::connect(&server).await.client);
        context.get_stream("KEPT").await.is_ok_and(|stream| stream.cached_info().state.messages == 1)
    })
    .await;
    let plain = NatsServer::start().await;
    let context = async_nats::jetstream::new(Peer::connect(&plain).await.client);
    assert!(context.query_account().await.is_err());
}
