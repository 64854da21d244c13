//! A connection to a host, and secrets from files.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::tls;

/// How long a server may take to accept a connection, and then to encrypt it.
const CONNECTS: Duration = Duration::from_secs(15);
/// How many addresses of a host are tried.
const MOST_ADDRESSES: usize = 8;

/// A connection to a server.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, encrypted if there is a connector.
pub(crate) async fn connect(
    host: &str,
    port: u16,
    connector: Option<&TlsConnector>,
) -> io::Result<Box<dyn Stream>> {
    let stream = connected(host, port).await?;
    stream.set_nodelay(true)?;
    let Some(connector) = connector else { return Ok(Box::new(stream)) };
    let stream = timeout(CONNECTS, tls::greet(connector, host, stream)).await.map_err(late)??;
    Ok(Box::new(stream))
}

/// A connection to the first address of the host that accepts one. Each has a limit of its own: one that is silent does not
/// hide the next.
async fn connected(host: &str, port: u16) -> io::Result<TcpStream> {
    let found = timeout(CONNECTS, tokio::net::lookup_host((host, port))).await.map_err(late)??;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in found.take(MOST_ADDRESSES) {
        match timeout(CONNECTS, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(elapsed) => last = late(elapsed),
        }
    }
    Err(last)
}

fn late(_: tokio::time::error::Elapsed) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no connection within {CONNECTS:?}"))
}

/// Whether nobody between us and this host can listen.
pub(in crate::bot::chat) fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The first line of a file.
pub(in crate::bot::chat) fn secret(path: &Path) -> io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    let line = text.lines().next().unwrap_or_default().to_owned();
    if line.is_empty() || line.contains('\0') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its first line is no password"));
    }
    Ok(line)
}
