//! IRC: a client of its own, over TCP or TLS, with the capabilities of IRCv3 where a server offers them.
//!
//! | file | contains |
//! |---|---|
//! | `address` | the value of `--chat` |
//! | `message`, `folding` | the grammar of a line; which names are one |
//! | `registration` | from a connection to a nickname |
//! | `channel`, `crowd`, `server` | the channel as the server tells of it: events |
//! | `history` | what the server repeats |
//! | `session`, `wire` | one connection: reads, joins, watches, leaves |
//! | `alive` | whether the server is there |
//! | `voice`, `speech` | what is said: its receipt, its lines |
//!
//! `docs/chat.md` says what is exact, what is partial, and what IRC cannot tell.

mod address;
mod alive;
mod channel;
mod crowd;
mod folding;
#[cfg(test)]
mod fuzz;
mod history;
mod message;
mod registration;
mod server;
mod session;
mod speech;
#[cfg(test)]
mod tests;
mod voice;
mod wire;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::link::pace::Bucket;
use super::link::sender::{Order, Sender, State};
use super::link::tcp::{Stream, secret};
use super::link::{self, Ended, Ends, Network, tls};
use super::{Chat, ChatSender, OpenError, Received};
pub use address::Address;
use registration::Login;
use session::{Guest, Memory};

/// Lines that may be said at once after a silence.
const BURST: u32 = 4;
/// Then one line in this time: servers hold back, or disconnect, whoever is faster.
const EVERY: Duration = Duration::from_secs(2);

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
        let (sender, orders, state) = Sender::new(Bucket::new(BURST, EVERY), speech::is_nick);
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

/// A channel on an IRC network.
struct Irc {
    address: Address,
    nick: String,
    connector: Option<TlsConnector>,
    sender: Arc<Sender>,
    orders: mpsc::Receiver<Order>,
    state: Arc<State>,
}

impl Chat for Irc {
    fn sender(&self) -> Arc<dyn ChatSender> {
        Arc::<Sender>::clone(&self.sender)
    }

    fn listen(self: Box<Self>) -> BoxStream<'static, Received> {
        // The sender is dropped: the connection must not keep itself open.
        let Self { address, nick, connector, orders, state, .. } = *self;
        link::events(Visit { address, nick, connector, memory: Memory::default() }, orders, state)
    }
}

/// The channel, to be visited.
struct Visit {
    address: Address,
    nick: String,
    connector: Option<TlsConnector>,
    memory: Memory,
}

impl Network for Visit {
    fn server(&self) -> &str {
        &self.address.host
    }

    async fn visit(&mut self, ends: &mut Ends) -> Ended {
        let opened = tokio::select! {
            opened = opened(&self.address, &self.nick, self.connector.as_ref(), self.memory.encrypts) => opened,
            () = ends.refuse_all() => return Ended::Left,
        };
        match opened {
            Ok((stream, guest)) => session::run(stream, guest, ends, &mut self.memory).await,
            Err(error) => Ended::Lost(error.to_string()),
        }
    }

    fn entered(&mut self) -> Option<Instant> {
        self.memory.entered.take()
    }
}

/// A connection, and who comes over it; encrypted, if the address or the server says so. The files are read each time: they may have
/// changed.
async fn opened<'a>(
    address: &'a Address,
    nick: &'a str,
    connector: Option<&TlsConnector>,
    encrypts: Option<u16>,
) -> io::Result<(Box<dyn Stream>, Guest<'a>)> {
    let read = |path: &Option<std::path::PathBuf>| path.as_deref().map(secret).transpose();
    let account = address.account.as_deref().unwrap_or(nick).to_owned();
    let login = read(&address.sasl)?.map(|password| Login { account, password });
    let key = read(&address.key)?;
    let (port, wanted) = match encrypts {
        Some(port) => (port, Some(tls::connector(address.ca.as_deref())?)),
        None => (address.port, None),
    };
    let connector = wanted.as_ref().or(connector);
    let encrypted = connector.is_some();
    let guest = Guest { host: &address.host, nick, channel: &address.channel, key, login, encrypted };
    Ok((link::tcp::connect(&address.host, port, connector).await?, guest))
}
