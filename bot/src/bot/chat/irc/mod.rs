//! IRC: a client of its own, over TCP or TLS, with the capabilities of IRCv3 where a server offers them.
//!
//! | file | contains |
//! |---|---|
//! | `address` | the value of `--chat` |
//! | `message`, `time`, `folding` | the grammar of a line; which names are one |
//! | `registration` | from a connection to a nickname |
//! | `channel`, `server` | the channel as the server tells of it: events |
//! | `session`, `ends`, `wire` | one connection: reads, joins, watches, leaves |
//! | `sender`, `voice`, `speech`, `pace` | what is said: its way, its receipt, its lines, its rate |
//! | `tls` | the encrypted connection |
//!
//! `docs/chat.md` says what is exact, what is partial, and what IRC cannot tell.

mod address;
mod channel;
mod ends;
mod folding;
#[cfg(test)]
mod fuzz;
mod message;
mod pace;
mod registration;
mod sender;
mod server;
mod session;
mod speech;
#[cfg(test)]
mod tests;
mod time;
mod tls;
mod voice;
mod wire;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tracing::warn;

use super::{Chat, ChatSender, OpenError, Received, Unreadable};
pub use address::Address;
use ends::{Ends, refuse_all};
use pace::Backoff;
use registration::Login;
use sender::{IrcSender, Order, State};
use session::{Guest, Memory};
use wire::{Ended, Stream};

/// How long a server may take to accept a connection, and then to encrypt it.
const CONNECTS: Duration = Duration::from_secs(15);
/// How many addresses of a host are tried.
const MOST_ADDRESSES: usize = 8;
/// A connection that has lasted so long was a good one: the waits begin anew.
const LASTED: Duration = Duration::from_secs(60);
/// Events that the bot has not taken.
const WAITING: usize = 64;

impl Address {
    /// Checks that the files can be read.
    pub(in crate::bot) fn check(&self) -> Result<(), OpenError> {
        for path in [&self.sasl, &self.key].into_iter().flatten() {
            secret(path).map_err(|error| OpenError::Unreadable { path: path.clone(), error })?;
        }
        self.connector().map(drop)
    }

    /// Opens the chat. Nothing is connected before it is listened to.
    ///
    /// # Errors
    /// When a file cannot be read, or there is no certificate to trust.
    pub fn open(self, nick: &str) -> Result<Box<dyn Chat>, OpenError> {
        self.check()?;
        let (sender, orders, state) = IrcSender::new();
        let nick = self.nick.clone().unwrap_or_else(|| nick.to_owned());
        let connector = self.connector()?;
        Ok(Box::new(Irc { address: self, nick, connector, sender: Arc::new(sender), orders, state }))
    }

    fn connector(&self) -> Result<Option<TlsConnector>, OpenError> {
        if !self.tls {
            return Ok(None);
        }
        let path = self.ca.clone().unwrap_or_else(|| "the system's certificates".into());
        tls::connector(self.ca.as_deref()).map(Some).map_err(|error| OpenError::Unreadable { path, error })
    }
}

/// The first line of a file.
fn secret(path: &Path) -> io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    let line = text.lines().next().unwrap_or_default().to_owned();
    if line.is_empty() || line.contains('\0') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "its first line is no password"));
    }
    Ok(line)
}

/// A channel on an IRC network.
struct Irc {
    address: Address,
    nick: String,
    connector: Option<TlsConnector>,
    sender: Arc<IrcSender>,
    orders: mpsc::Receiver<Order>,
    state: Arc<State>,
}

impl Chat for Irc {
    fn sender(&self) -> Arc<dyn ChatSender> {
        Arc::<IrcSender>::clone(&self.sender)
    }

    /// The connection outlives the stream, so that the last things can be said; it ends with the last sender, or with
    /// [`ChatSender::flush`].
    fn listen(self: Box<Self>) -> BoxStream<'static, Received> {
        let (events, received) = mpsc::channel(WAITING);
        let Self { address, nick, connector, sender, orders, state } = *self;
        // The connection must not keep itself open.
        drop(sender);
        tokio::spawn(reconnect(address, nick, connector, Ends { events, orders, state }));
        stream::unfold(
            received,
            |mut received| async move { received.recv().await.map(|item| (item, received)) },
        )
        .boxed()
    }
}

async fn reconnect(address: Address, nick: String, connector: Option<TlsConnector>, mut ends: Ends) {
    let (mut backoff, mut memory) = (Backoff::default(), Memory::default());
    loop {
        let ended = tokio::select! {
            opened = opened(&address, &nick, connector.as_ref()) => match opened {
                Ok((stream, guest)) => Ok((stream, guest)),
                Err(error) => Err(Ended::Lost(error.to_string())),
            },
            () = refuse_all(&mut ends) => Err(Ended::Left),
        };
        let ended = match ended {
            Ok((stream, guest)) => session::run(stream, guest, &mut ends, &mut memory).await,
            Err(ended) => ended,
        };
        if memory.entered.take().is_some_and(|since| since.elapsed() > LASTED) {
            backoff.reset();
        }
        match ended {
            Ended::Left => return,
            Ended::Refused(reason) => {
                let item = Err(Unreadable::Refused(format!("{}: {reason}", address.host)));
                let _ = ends.events.send(Received { position: 0, item }).await;
                return;
            }
            Ended::Lost(reason) => {
                let wait = backoff.next();
                warn!(
                    "{}: {}; trying again in {:.1} s",
                    address.host,
                    reason.escape_debug(),
                    wait.as_secs_f64()
                );
                let until = Instant::now() + wait;
                tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = refuse_all(&mut ends) => return,
                }
            }
        }
    }
}

/// A connection, and who comes over it. The files are read each time: they may have changed.
async fn opened<'a>(
    address: &'a Address,
    nick: &'a str,
    connector: Option<&TlsConnector>,
) -> io::Result<(Box<dyn Stream>, Guest<'a>)> {
    let read = |path: &Option<std::path::PathBuf>| path.as_deref().map(secret).transpose();
    let account = address.account.as_deref().unwrap_or(nick).to_owned();
    let login = read(&address.sasl)?.map(|password| Login { account, password });
    let guest =
        Guest { host: &address.host, nick, channel: &address.channel, key: read(&address.key)?, login };
    let stream = connected(&address.host, address.port).await?;
    stream.set_nodelay(true)?;
    let Some(connector) = connector else { return Ok((Box::new(stream), guest)) };
    let stream = timeout(CONNECTS, tls::greet(connector, &address.host, stream)).await.map_err(late)??;
    Ok((Box::new(stream), guest))
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
