//! Connecting, for ever and without blocking; telling our service from others.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ClientError, ConnectErrorKind, ConnectOptions, Event, ServerError};
use futures_util::future;
use tokio::sync::{mpsc, watch};

use super::connection::listen;
use super::inbox::Inbox;
use super::probe::Probe;
use super::reconnect;
use super::status::Health;
use crate::request::Head;

/// How to connect to NATS.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// Address of the server, or several separated by commas. May hold user and password.
    pub url: String,
    /// The name under which the server lists this client.
    pub name: String,
    /// A credentials file, if the server wants one.
    pub credentials: Option<PathBuf>,
    /// How many messages may wait for the connection to take them. More are refused.
    pub queue: usize,
    /// How far in the future something may claim to have happened; what claims more is refused, and not sent. The same as
    /// the service's, so that it takes what is sent.
    pub future_tolerance: Duration,
}

impl NatsOptions {
    /// The usual options for this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            name: "rosey".to_owned(),
            credentials: None,
            queue: 8192,
            future_tolerance: Head::AHEAD,
        }
    }

    /// The same under another client name.
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Connects with these options; reports what happens to `event`. Returns at once, connected or not.
    pub(crate) async fn connect(
        self,
        event: impl Fn(Event) + Clone + Send + Sync + 'static,
    ) -> Result<Client, ConnectError> {
        let mut options = ConnectOptions::new();
        if let Some(file) = &self.credentials {
            options = options
                .credentials_file(file)
                .await
                .map_err(|e| ConnectError(format!("credentials {}: {e}", file.display())))?;
        }
        let addresses: Vec<&str> = self.url.split(',').map(str::trim).collect();
        // The client reads user and password of an address, and never sends them.
        options = match addresses.iter().find_map(|address| login(address)) {
            Some((user, Some(password))) => options.user_and_password(user, password),
            Some((token, None)) => options.token(token),
            None => options,
        };
        options
            .name(self.name)
            .retry_on_initial_connect()
            .connection_timeout(Duration::from_secs(1))
            .ping_interval(Duration::from_secs(1))
            .request_timeout(None)
            .client_capacity(self.queue)
            .subscription_capacity(1 << 16)
            .reconnect_delay_callback(reconnect::delay)
            .event_callback(move |e| {
                event(e);
                future::ready(())
            })
            .connect(addresses.as_slice())
            .await
            .map_err(|e| ConnectError(format!("NATS address {:?}: {e}", redact(&self.url))))
    }
}

/// Why connecting could not even begin: an address or a credentials file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(String);

/// An address without the user and password in it, fit for a log.
#[must_use]
pub fn redact(url: &str) -> String {
    let hide = |address: &str| match (address.find("://"), address.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}***{}", &address[..scheme + 3], &address[at..]),
        (None, Some(at)) => format!("***{}", &address[at..]),
        _ => address.to_owned(),
    };
    url.split(',').map(|address| hide(address.trim())).collect::<Vec<_>>().join(",")
}

/// User and password in an address, or a token alone.
fn login(address: &str) -> Option<(String, Option<String>)> {
    let (_, rest) = address.split_once("://").unwrap_or(("", address));
    let (login, _) = rest.rsplit_once('@')?;
    let (user, password) = login.split_once(':').map_or((login, None), |(u, p)| (u, Some(p)));
    Some((percent_decoded(user), password.map(percent_decoded)))
}

/// `%40` is how an address says `@`.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| byte == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether this is the server's word that it does not let us in. While connecting, the client tells it as a text.
pub(crate) fn refuses_us(event: &Event) -> bool {
    match event {
        Event::ServerError(ServerError::AuthorizationViolation) => true,
        Event::ClientError(ClientError::Other(text)) => {
            *text == ConnectErrorKind::AuthorizationViolation.to_string()
        }
        _ => false,
    }
}

/// Connects and starts the two tasks behind a [`NatsService`](super::NatsService): one takes replies and the
/// connection's events, one pings the service. Both end when `ended` does.
pub(super) async fn start(
    options: NatsOptions,
    service: &'static str,
    stream: String,
    ended: watch::Receiver<()>,
) -> Result<(Client, Arc<Inbox>, Arc<Health>), ConnectError> {
    let (tx, events) = mpsc::unbounded_channel();
    let shown = redact(&options.url);
    let client = options
        .connect(move |event| {
            // The receiver ends with the service: nobody is left to tell.
            let _ = tx.send(event);
        })
        .await?;
    let inbox = Arc::new(Inbox::new(&client.new_inbox(), stream.clone()));
    let health = Arc::new(Health::new());
    let replies =
        client.subscribe(inbox.subject()).await.map_err(|e| ConnectError(format!("the reply inbox: {e}")))?;
    tokio::spawn(listen(
        replies,
        events,
        shown,
        Arc::clone(&inbox),
        Arc::clone(&health),
        service,
        ended.clone(),
    ));
    let probe = Probe::new(client.clone(), service, &stream, Arc::clone(&inbox), Arc::clone(&health));
    tokio::spawn(probe.run(ended));
    Ok((client, inbox, health))
}

#[cfg(test)]
mod tests {
    use super::{login, redact};

    #[test]
    fn an_address_may_hold_user_and_password_or_a_token() {
        let user = |user: &str, password: &str| Some((user.to_owned(), Some(password.to_owned())));
        assert_eq!(login("nats://me:secret@host:4222"), user("me", "secret"));
        assert_eq!(login("me:a:b%40c@host"), user("me", "a:b@c"));
        assert_eq!(login("tls://me:100%@host"), user("me", "100%"));
        assert_eq!(login("nats://t0ken@host:4222"), Some(("t0ken".to_owned(), None)));
        assert_eq!(login("nats://host:4222"), None);
    }

    #[test]
    fn a_password_never_reaches_a_log() {
        assert_eq!(redact("nats://me:secret@host:4222"), "nats://***@host:4222");
        assert_eq!(redact("me:se@cret@host, nats://other:4222"), "***@host,nats://other:4222");
        assert_eq!(redact("nats://127.0.0.1:4222"), "nats://127.0.0.1:4222");
    }
}
