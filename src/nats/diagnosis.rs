//! Diagnoses why a connection fails. The client library says only that the network failed; an operator needs
//! to know whether a server is there, and what kind of server.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{ClientError, ConnectErrorKind, Event, ServerAddr};
use parking_lot::Mutex;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time;

use super::address::login;
use super::failure::{Failure, REFUSES, TLS};
use super::identity::Identity;
use super::untrusted;

/// How long a server may take to accept a connection, and how long to send its greeting.
const LIMIT: Duration = Duration::from_secs(1);
/// What is said where a server is there, and leaves.
const ENDED: &str = "it greets, and then the connection ends: os error";
/// The shortest interval between two diagnoses while connecting keeps failing.
const EVERY: Duration = Duration::from_secs(1);

/// Diagnoses a network failure and forwards the result.
#[derive(Debug)]
pub(super) struct Diagnosis {
    addresses: Vec<String>,
    /// The client's name.
    name: String,
    identity: Identity,
    last: Mutex<Option<Instant>>,
}

impl Diagnosis {
    pub(super) fn new(addresses: Vec<String>, name: &str, identity: &Identity) -> Arc<Self> {
        let (name, identity) = (name.to_owned(), identity.clone());
        Arc::new(Self { addresses, name, identity, last: Mutex::default() })
    }

    /// Forwards an event. An event that says only that the network failed is forwarded with the cause that
    /// was found.
    pub(super) fn pass(self: &Arc<Self>, event: Event, to: impl Fn(Event) + Send + 'static) {
        let bare = [ConnectErrorKind::Io, ConnectErrorKind::Tls].map(|kind| kind.to_string());
        match &event {
            Event::ClientError(ClientError::Other(text)) if bare.contains(text) => {}
            _ => return to(event),
        }
        let mut last = self.last.lock();
        if last.is_some_and(|last| last.elapsed() < EVERY) {
            return;
        }
        *last = Some(Instant::now());
        drop(last);
        let look = Arc::clone(self);
        tokio::spawn(async move {
            let found = look.found().await;
            to(found);
        });
    }

    /// What is wrong, as the event that tells it.
    async fn found(&self) -> Event {
        let why = self.reason().await;
        Event::ClientError(ClientError::Other(format!("{}: {why}", ConnectErrorKind::Io)))
    }

    /// The same as a sentence.
    pub(super) async fn sentence(&self) -> String {
        let found = self.found().await;
        Failure::of(&found).map_or_else(|| found.to_string(), |failure| failure.said)
    }

    /// Of several servers, one that responds but cannot be used is the reason; the others are merely absent.
    async fn reason(&self) -> String {
        let mut away = String::new();
        for address in &self.addresses {
            match look(address, &self.name, &self.identity).await {
                Ok(found) => return found,
                Err(why) => away = why,
            }
        }
        away
    }
}

/// What is wrong with the server at an address; `Err` if no server is there.
async fn look(address: &str, name: &str, identity: &Identity) -> Result<String, String> {
    let server: ServerAddr = address.parse().map_err(|e: io::Error| e.to_string())?;
    let connect = TcpStream::connect((server.host().to_owned(), server.port()));
    let mut stream = match time::timeout(LIMIT, connect).await {
        Ok(stream) => stream.map_err(|e| e.to_string())?,
        Err(_) => return Err("no connection in time: os error".to_owned()),
    };
    let mut text = String::new();
    match time::timeout(LIMIT, read(&mut stream, &mut text)).await {
        Ok(Ok(_)) => {}
        Ok(Err(e)) => return Err(e.to_string()),
        Err(_) => return Err("no greeting in time: os error".to_owned()),
    }
    if text.is_empty() {
        return Err("unexpected end of the connection".to_owned());
    }
    if !text.starts_with("INFO ") {
        let first: String = text.chars().take_while(|c| !c.is_control()).take(40).collect();
        return Ok(format!("it greets with {first:?}"));
    }
    let offers = |what: &str| text.contains(&format!("\"{what}\":true"));
    let hello = hello(address, name);
    if !(offers("tls_required") || server.tls_required() || identity.wants_tls()) {
        return match time::timeout(LIMIT, refusal(&mut stream, text, &hello)).await {
            Ok(Ok(Some(refusal))) => Ok(format!("{REFUSES}{refusal}")),
            _ => Err(ENDED.to_owned()),
        };
    }
    if !(offers("tls_required") || offers("tls_available")) {
        return Ok(format!("{TLS}the server offers none, and this client is told to want it"));
    }
    let mut stream = match untrusted::encrypted(stream, server.host(), identity).await {
        Ok(stream) => stream,
        Err(why) => return Ok(format!("{TLS}{why}")),
    };
    // That it misses a certificate, or does not accept it, a server says after the handshake.
    match time::timeout(LIMIT, refusal(&mut stream, text, &hello)).await {
        Ok(Ok(Some(refusal))) => Ok(format!("{REFUSES}{refusal}")),
        Ok(Err(error)) => match untrusted::why(&error, server.host(), identity) {
            Some(why) => Ok(format!("{TLS}{why}")),
            None => Err(ENDED.to_owned()),
        },
        _ => Err(ENDED.to_owned()),
    }
}

/// Reads what comes next, at most 4 KiB; how much it is.
async fn read(stream: &mut (impl AsyncRead + Unpin), text: &mut String) -> io::Result<usize> {
    let mut bytes = [0; 4096];
    let read = stream.read(&mut bytes).await?;
    text.push_str(&String::from_utf8_lossy(&bytes[..read]));
    Ok(read)
}

/// What the client library says first: a server judges a client by it.
fn hello(address: &str, name: &str) -> String {
    let (user, pass, token) = match login(address) {
        Some((user, Some(password))) => (Some(user), Some(password), None),
        Some((token, None)) => (None, None, Some(token)),
        None => (None, None, None),
    };
    let connect = json!({
        "verbose": false, "pedantic": false, "user_jwt": null, "nkey": null, "sig": null, "name": name, "echo": true,
        "lang": "rust", "version": "0.0.0", "protocol": 1, "tls_required": false, "user": user, "pass": pass,
        "auth_token": token, "headers": true, "no_responders": true,
    });
    format!("CONNECT {connect}\r\nPING\r\n")
}

/// Sends the greeting and waits for the server's refusal; `None` if it lets the client in, or ends the connection.
async fn refusal(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    mut text: String,
    hello: &str,
) -> io::Result<Option<String>> {
    // A server that has refused already may have closed the connection.
    let _ = stream.write_all(hello.as_bytes()).await;
    loop {
        let said = text.lines().find_map(|line| line.strip_prefix("-ERR "));
        if let Some(said) = said.filter(|_| text.ends_with('\n')) {
            let said: String = said.trim().trim_matches('\'').chars().filter(|c| !c.is_control()).collect();
            // What the client proves with its credentials is not proven here: that it is not let in means nothing.
            let unproven = said.to_lowercase().contains("authorization violation");
            return Ok((!unproven).then(|| said.chars().take(200).collect()));
        }
        let let_in = text.lines().any(|line| line == "PONG");
        if let_in || text.len() > 1 << 20 || read(stream, &mut text).await? == 0 {
            return Ok(None);
        }
    }
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
        let found = look(&address, "shop", &Identity::default()).await;
        server.await.expect("greeted");
        found
    }

    #[tokio::test]
    async fn a_server_is_known_by_its_greeting() {
        let tls = greets_with("INFO {\"tls_required\":true}\r\n").await.expect("a server");
        assert!(tls.starts_with(&format!("{TLS}the handshake for TLS fails")), "{tls}");
        assert_eq!(
            greets_with("HTTP/1.1 400 Bad Request\r\n\r\n").await,
            Ok("it greets with \"HTTP/1.1 400 Bad Request\"".to_owned())
        );
        assert_eq!(
            greets_with("INFO {}\r\n-ERR 'maximum connections exceeded'\r\n").await,
            Ok("it says: maximum connections exceeded".to_owned())
        );
        for absent in
            ["", "INFO {}\r\n", "INFO {}\r\n-ERR 'Authorization Violation'\r\n", "INFO {}\r\nPONG\r\n"]
        {
            assert!(greets_with(absent).await.is_err(), "{absent:?}");
        }
    }
}
