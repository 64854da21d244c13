//! Whether a NATS server is there at all, before it is asked for something.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time;

use super::addresses;

/// How long a server may take to accept a connection, to be asked at all.
const LISTENS: Duration = Duration::from_millis(500);

/// Whether a server listens at one of these addresses: a bot that starts without NATS must not wait for one.
pub(super) async fn is_there(addresses: &str) -> bool {
    for address in addresses.split(',') {
        let Some((host, port)) = addresses::host_and_port(address.trim()) else { continue };
        let connected = time::timeout(LISTENS, TcpStream::connect((host, port))).await;
        if matches!(connected, Ok(Ok(_))) {
            return true;
        }
    }
    false
}
