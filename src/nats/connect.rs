//! Connecting, indefinitely and without blocking; telling our service from others.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event};
use futures_util::future;
use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::address::{bare, login, redact};
use super::bundle::Outgoing;
use super::connection::listen;
use super::diagnosis::Diagnosis;
use super::failure::{Failure, refuses_us};
use super::health::Health;
use super::identity::Identity;
use super::inbox::Inbox;
use super::names::Names;
use super::ping_timeout::PingTimeout;
use super::probe::Probe;
use super::reconnect::{Refusals, ShortConnections};
use crate::namespace::{Namespace, NamespaceError};
use crate::request::Head;
use crate::setters::setters;

/// How to connect to NATS: a builder.
///
/// ```
/// use eitherway::nats::NatsOptions;
///
/// let options = NatsOptions::new("nats://127.0.0.1:4222").name("shop").inbox_prefix(Some("_INBOX_shop".to_owned()));
/// # drop(options);
/// ```
#[derive(Clone)]
pub struct NatsOptions {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(super) identity: Identity,
    pub(crate) namespace: Namespace,
    queue: usize,
    listed_only: bool,
    bundles: bool,
    pub(super) inbox_prefix: Option<String>,
    pub(super) recognition: Duration,
    pub(super) ping_timeout: Duration,
    pub(super) future_tolerance: Duration,
    pub(super) past_tolerance: Duration,
}

impl fmt::Debug for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsOptions")
            .field("url", &redact(&self.url))
            .field("name", &self.name)
            .field("identity", &self.identity)
            .field("namespace", &self.namespace)
            .field("queue", &self.queue)
            .field("listed_only", &self.listed_only)
            .field("bundles", &self.bundles)
            .field("inbox_prefix", &self.inbox_prefix)
            .field("recognition", &self.recognition)
            .field("ping_timeout", &self.ping_timeout)
            .field("future_tolerance", &self.future_tolerance)
            .field("past_tolerance", &self.past_tolerance)
            .finish()
    }
}

impl NatsOptions {
    /// How long recognition may take, by default.
    pub const RECOGNITION: Duration = Duration::from_secs(2);
    /// How long a ping may take on a fast link, by default: a service that is only busy does not count as gone.
    pub const PING_TIMEOUT: Duration = Duration::from_millis(600);

    /// The usual options for this address, or for several separated by commas. It may hold user and password.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            name: "eitherway".to_owned(),
            identity: Identity::default(),
            namespace: Namespace::none(),
            queue: 8192,
            listed_only: false,
            bundles: true,
            inbox_prefix: None,
            recognition: Self::RECOGNITION,
            ping_timeout: Self::PING_TIMEOUT,
            future_tolerance: Head::AHEAD,
            past_tolerance: Head::BEHIND,
        }
    }

    setters! {
        /// The name under which the server lists this client. Default: `eitherway`.
        name: impl Into<String>,
        /// The namespace of the service. Default: none.
        namespace: Namespace,
        /// How many messages may wait for the connection to take them; more are refused. Default: 8192.
        queue: usize,
        /// Whether the client connects to the addresses that it was given alone. Without it, it also tries those that the servers of
        /// a cluster tell of each other, which lead nowhere where clients reach them through a proxy or a NAT. Default: no.
        listed_only: bool,
        /// Whether operations that wait while others leave travel together in one message, where the service takes that. Default:
        /// yes.
        bundles: bool,
        /// What the subjects begin with on which this client is answered. Default: `_INBOX`. One of its own keeps its answers
        /// from clients that have another one.
        inbox_prefix: Option<String>,
        /// How long it may take to recognise the service: an answer to its ping, over a way of which nothing is known yet.
        /// Connecting may take half of it, and a second at least. Default: [`RECOGNITION`](Self::RECOGNITION).
        recognition: Duration,
        /// How long the service may take to answer a ping before it counts as gone and what waits for it is released; on a slow
        /// link longer, up to `recognition`. Longer than that, it is the time of each ping. Default:
        /// [`PING_TIMEOUT`](Self::PING_TIMEOUT).
        ping_timeout: Duration,
        /// How far in the future an operation may claim to have happened; one that claims more is refused, and not sent. The
        /// same as the service's, so that it takes what is sent. Default: [`Head::AHEAD`].
        future_tolerance: Duration,
        /// How long ago an operation may claim to have happened. Default: [`Head::BEHIND`].
        past_tolerance: Duration,
    }

    setters! {
        in identity;
        /// A credentials file (JWT and seed), if the server wants one. It excludes `nkey`.
        credentials: Option<PathBuf>,
        /// A file with the seed of the user's nkey (`SU…`), if the server wants one.
        nkey: Option<PathBuf>,
        /// A PEM file with the certificates by which servers are trusted, in place of those of the system. With it the
        /// connection is encrypted, whatever the address says. It is read again for each connection.
        root_certificates: Option<PathBuf>,
        /// A PEM file with the certificate of this client, and those between it and its CA, if the server wants one. With it
        /// the connection is encrypted. It is read again for each connection.
        client_certificate: Option<PathBuf>,
        /// A PEM file with the key of `client_certificate`. Default: the same file.
        client_key: Option<PathBuf>,
    }

    /// What the client library is told of these options.
    async fn prepared(&self) -> Result<ConnectOptions, ConnectError> {
        let mut options = self.identity.apply(ConnectOptions::new()).await.map_err(ConnectError)?;
        if let Some(prefix) = &self.inbox_prefix {
            if !is_subject(prefix) {
                return Err(ConnectError(format!(
                    "inbox prefix {prefix:?}: expected a subject without wildcards, such as _INBOX_bot"
                )));
            }
            options = options.custom_inbox_prefix(prefix);
        }
        // What a server tells of others comes before TLS, from anybody on the way, and names no scheme.
        let tls = self
            .addresses()
            .any(|address| address.get(..6).is_some_and(|s| s.eq_ignore_ascii_case("tls://")));
        options = if tls { options.require_tls(true) } else { options };
        if self.listed_only || (tls && self.identity.root_certificates.is_none()) {
            options = options.ignore_discovered_servers();
        }
        // The client reads user and password of an address, and never sends them.
        options = match self.addresses().find_map(login) {
            Some((user, Some(password))) => options.user_and_password(user, password),
            Some((token, None)) => options.token(token),
            None => options,
        };
        Ok(options.name(&self.name))
    }

    fn diagnosis(&self) -> Arc<Diagnosis> {
        Diagnosis::new(self.addresses().map(str::to_owned).collect(), &self.name, &self.identity)
    }

    fn addresses(&self) -> impl Iterator<Item = &str> {
        self.url.split(',').map(str::trim)
    }

    /// The addresses without user and password: what the client itself logs of its servers holds them as they are.
    fn bare(&self) -> Vec<String> {
        self.addresses().map(bare).collect()
    }

    /// Connects with these options; reports what happens to `event`. Returns at once, connected or not.
    pub(crate) async fn connect(
        self,
        event: impl Fn(Event) + Clone + Send + Sync + 'static,
    ) -> Result<Client, ConnectError> {
        let options = self.prepared().await?;
        let limit = (self.recognition / 2).max(Duration::from_secs(1));
        let look = self.diagnosis();
        let refusals = Arc::new(Refusals::default());
        let short = Arc::new(ShortConnections::default());
        let waited = (Arc::clone(&refusals), Arc::clone(&short));
        options
            .retry_on_initial_connect()
            .connection_timeout(limit)
            .ping_interval(limit)
            .request_timeout(None)
            .client_capacity(self.queue)
            .subscription_capacity(1 << 16)
            .reconnect_delay_callback(move |attempt| waited.0.delay(attempt) + waited.1.delay())
            .event_callback(move |e| {
                count(&refusals, &e);
                match e {
                    Event::Connected => short.up(),
                    Event::Disconnected => short.down(ended_at_message()),
                    _ => {}
                }
                look.pass(e, event.clone());
                future::ready(())
            })
            .connect(self.bare())
            .await
            .map_err(|e| ConnectError(format!("NATS address {:?}: {e}", redact(&self.url))))
    }
}

/// Connects once, for a look at the server; reports what happens to `event`.
///
/// # Errors
/// Why that is not possible, within about this time.
pub async fn once(
    options: &NatsOptions,
    limit: Duration,
    event: impl Fn(Event) + Clone + Send + Sync + 'static,
) -> Result<Client, String> {
    let prepared = options.prepared().await.map_err(|e| e.to_string())?;
    let prepared = prepared.connection_timeout(limit).event_callback(move |e| {
        event(e);
        future::ready(())
    });
    match time::timeout(limit * 2, prepared.connect(options.bare())).await {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) if matches!(error.kind(), ConnectErrorKind::Io | ConnectErrorKind::Tls) => {
            Err(options.diagnosis().sentence().await)
        }
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", (limit * 2).as_secs())),
    }
}

/// Whether this is a subject to publish to.
#[must_use]
pub fn is_subject(text: &str) -> bool {
    text.split('.').all(|token| {
        !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*' && byte != b'>')
    })
}

/// Why connecting could not even begin: an address, or a file of this client's identity, that cannot be read, a namespace that
/// overlaps another one.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(String);

impl From<NamespaceError> for ConnectError {
    fn from(error: NamespaceError) -> Self {
        Self(error.to_string())
    }
}

/// Whether a connection of this process has just ended at a message that cannot be read, as far as that is told.
fn ended_at_message() -> bool {
    #[cfg(feature = "sqlite")]
    return super::unreadable::has_just_ended();
    #[cfg(not(feature = "sqlite"))]
    false
}

/// Counts the refusals in a row: the end of a connection that was refused is none of its own.
fn count(refusals: &Refusals, event: &Event) {
    if refuses_us(event) {
        refusals.record();
    } else if matches!(event, Event::Connected) || Failure::of(event).is_some() {
        refusals.recovered();
    }
}

/// Connects and starts the tasks behind a [`NatsService`](super::NatsService): one takes replies and the
/// connection's events, one pings the service, one sends what waits. All end when `ended` does.
pub(super) async fn start(
    options: NatsOptions,
    names: &Arc<Names>,
    ended: CancellationToken,
) -> Result<Arc<Outgoing>, ConnectError> {
    let (tx, events) = mpsc::unbounded_channel();
    let shown = redact(&options.url);
    let ping_timeout = PingTimeout::new(options.recognition, options.ping_timeout);
    let (bundles, queue) = (options.bundles && !names.has_no_bundles(), options.queue);
    let client = options
        .connect(move |event| {
            // The receiver ends with the service: then no task needs the event.
            let _ = tx.send(event);
        })
        .await?;
    let inbox = Arc::new(Inbox::new(&client.new_inbox(), names.stream.clone()));
    let health = Arc::new(Health::new());
    let replies =
        client.subscribe(inbox.subject()).await.map_err(|e| ConnectError(format!("the reply inbox: {e}")))?;
    let listen = listen(
        replies,
        events,
        shown,
        Arc::clone(&inbox),
        Arc::clone(&health),
        names.service.clone(),
        ended.clone(),
    );
    let span = names.namespace.span();
    tokio::spawn(listen.instrument(span.clone()));
    let outgoing = Outgoing::new(client, Arc::clone(names), inbox, health, queue);
    let probe = Probe::new(&outgoing, ping_timeout, bundles);
    tokio::spawn(probe.run(ended.clone()).instrument(span.clone()));
    let outgoing = Arc::new(outgoing);
    tokio::spawn(Arc::clone(&outgoing).run(ended).instrument(span));
    Ok(outgoing)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_inbox_prefix_is_a_subject_without_wildcards() {
        for good in ["_INBOX", "_INBOX_bot", "a.b"] {
            assert!(super::is_subject(good), "{good}");
        }
        for bad in ["", ".", "a.", ".a", "a.*", "a.>", "a b", "a\tb", "naïve"] {
            assert!(!super::is_subject(bad), "{bad}");
        }
    }
}
