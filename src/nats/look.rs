//! Diagnoses why a connection fails. The client library says only that the network failed; an operator needs
//! to know whether a server is there, and what kind of server.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::{ClientError, ConnectErrorKind, Event, ServerAddr};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time;

/// How long a server may take to accept a connection, and how long to send its greeting.
const LIMIT: Duration = Duration::from_secs(1);
/// The shortest interval between two diagnoses while connecting keeps failing.
const EVERY: Duration = Duration::from_secs(1);

/// Diagnoses a network failure and forwards the result.
#[derive(Debug)]
pub(super) struct Look {
    addresses: Vec<String>,
    last: Mutex<Option<Instant>>,
}

impl Look {
    pub(super) fn new(addresses: &[&str]) -> Arc<Self> {
        let addresses = addresses.iter().map(ToString::to_string).collect();
        Arc::new(Self { addresses, last: Mutex::default() })
    }

    /// Forwards an event. An event that says only that the network failed is forwarded with the cause that
    /// was found.
    pub(super) fn pass(self: &Arc<Self>, event: Event, to: impl Fn(Event) + Send + 'static) {
        let bare = ConnectErrorKind::Io.to_string();
        match &event {
            Event::ClientError(ClientError::Other(text)) if *text == bare => {}
            _ => return to(event),
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        *last = Some(Instant::now());
        drop(last);
        let look = Arc::clone(self);
        tokio::spawn(async move {
            let why = look.reason().await;
            to(Event::ClientError(ClientError::Other(format!("{bare}: {why}"))));
        });
    }

    /// Of several servers, one that responds but cannot be used is the reason; the others are merely absent.
    async fn reason(&self) -> String {
        let mut away = String::new();
        for address in &self.addresses {
            match look(address).await {
                Ok(found) => return found,
                Err(why) => away = why,
            }
        }
        away
    }
}

/// What is wrong with the server at an address; `Err` if no server is there.
async fn look(address: &str) -> Result<String, String> {
    let server: ServerAddr = address.parse().map_err(|e: std::io::Error| e.to_string())?;
    let connect = TcpStream::connect((server.host().to_owned(), server.port()));
    let mut stream = match time::timeout(LIMIT, connect).await {
        Ok(stream) => stream.map_err(|e| e.to_string())?,
        Err(_) => return Err("no connection in time: os error".to_owned()),
    };
    let mut greeting = [0; 4096];
    let read = match time::timeout(LIMIT, stream.read(&mut greeting)).await {
        Ok(Ok(read)) => read,
        Ok(Err(e)) => return Err(e.to_string()),
        Err(_) => return Err("no greeting in time: os error".to_owned()),
    };
    let text = String::from_utf8_lossy(&greeting[..read]);
    if text.is_empty() {
        return Err("unexpected end of the connection".to_owned());
    }
    if !text.starts_with("INFO ") {
        let first: String = text.chars().take_while(|c| !c.is_control()).take(40).collect();
        return Ok(format!("it greets with {first:?}"));
    }
    if server.tls_required() || text.contains("\"tls_required\":true") {
        return Ok("the handshake for TLS fails".to_owned());
    }
    Err("it greets, and then the connection ends: os error".to_owned())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    async fn greets_with(greeting: &'static str) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("nats://{}", listener.local_addr().expect("bound"));
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.write_all(greeting.as_bytes()).await.expect("sent");
        });
        let found = look(&address).await;
        server.await.expect("greeted");
        found
    }

    #[tokio::test]
    async fn a_server_is_known_by_its_greeting() {
        assert_eq!(
            greets_with("INFO {\"tls_required\":true}\r\n").await,
            Ok("the handshake for TLS fails".to_owned())
        );
        assert_eq!(
            greets_with("HTTP/1.1 400 Bad Request\r\n\r\n").await,
            Ok("it greets with \"HTTP/1.1 400 Bad Request\"".to_owned())
        );
        for absent in ["", "INFO {}\r\n"] {
            assert!(greets_with(absent).await.is_err(), "{absent:?}");
        }
    }
}
