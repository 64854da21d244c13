//! CyTube: a client of its own, over a websocket, with engine.io 4 and socket.io 5.
//!
//! | file | contains |
//! |---|---|
//! | `address` | the value of `--chat` |
//! | `discovery` | which server a channel is on |
//! | `socket`, `frames` | a websocket as text frames, and their grammar |
//! | `html` | the text of a line |
//! | `channel` | the channel as the server tells of it: events |
//! | `login` | what a server's answer to a login means, and the reason of a kick |
//! | `told` | what else it tells: failures, the pace of the channel |
//! | `session` | one connection: reads, logs in, watches, leaves |
//! | `voice`, `speech` | what is said: its receipt, its lines |
//!
//! `docs/chat.md` says what is exact, what is partial, and what CyTube cannot tell.

mod address;
pub(super) mod channel;
mod discovery;
mod frames;
#[cfg(test)]
mod fuzz;
mod html;
mod login;
mod session;
mod socket;
pub(super) mod speech;
#[cfg(test)]
mod tests;
pub(super) mod told;
pub(super) mod voice;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::link::pace::Bucket;
use super::link::sender::{Order, Sender, State};
use super::link::tcp::{self, secret};
use super::link::{self, Ended, Ends, Network, tls};
use super::{Chat, ChatSender, OpenError, Received};
pub use address::Address;
use session::{Guest, Memory};
use socket::Socket;

/// Lines that may be said at once after a silence, and then one line in this time, unless the channel is stricter: a server drops
/// more than twenty at once and ten in a second.
pub(super) const BURST: u32 = 15;
pub(super) const EVERY: Duration = Duration::from_millis(125);

impl Address {
    /// Checks that the files can be read.
    pub(in crate::bot) fn check(&self) -> Result<(), OpenError> {
        for path in [&self.login, &self.key].into_iter().flatten() {
            secret(path).map_err(|error| OpenError::Unreadable { path: path.clone(), error })?;
        }
        self.connector().map(drop)
    }

    /// Opens the chat. Nothing is connected before it is listened to.
    ///
    /// # Errors
    /// When a file cannot be read, there is no certificate to trust, or the bot's name is none that CyTube allows.
    pub fn open(self, name: &str) -> Result<Box<dyn Chat>, OpenError> {
        self.check()?;
        let name = self.name.clone().unwrap_or_else(|| name.to_owned());
        if !speech::is_name(&name) {
            let reason = format!("`{}` is no name on CyTube", name.escape_debug());
            return Err(OpenError::Unclear { source: format!("cytube://…/{}", self.channel), reason });
        }
        let (sender, orders, state) = Sender::new(Bucket::new(BURST, EVERY), speech::is_name);
        let connector = self.connector()?;
        Ok(Box::new(CyTube { address: self, name, connector, sender: Arc::new(sender), orders, state }))
    }

    fn connector(&self) -> Result<Option<TlsConnector>, OpenError> {
        if !self.tls {
            return Ok(None);
        }
        let path = self.ca.clone().unwrap_or_else(|| "the system's certificates".into());
        tls::connector(self.ca.as_deref()).map(Some).map_err(|error| OpenError::Unreadable { path, error })
    }
}

/// A channel on a CyTube server.
struct CyTube {
    address: Address,
    name: String,
    connector: Option<TlsConnector>,
    sender: Arc<Sender>,
    orders: mpsc::Receiver<Order>,
    state: Arc<State>,
}

impl Chat for CyTube {
    fn sender(&self) -> Arc<dyn ChatSender> {
        Arc::<Sender>::clone(&self.sender)
    }

    fn listen(self: Box<Self>) -> BoxStream<'static, Received> {
        // The sender is dropped: the connection must not keep itself open.
        let Self { address, name, connector, orders, state, .. } = *self;
        link::events(Visit { address, name, connector, memory: Memory::default() }, orders, state)
    }
}

/// The channel, to be visited.
struct Visit {
    address: Address,
    name: String,
    connector: Option<TlsConnector>,
    memory: Memory,
}

impl Network for Visit {
    fn server(&self) -> &str {
        &self.address.host
    }

    async fn visit(&mut self, ends: &mut Ends) -> Ended {
        let opened = tokio::select! {
            opened = opened(&self.address, &self.name, self.connector.as_ref()) => opened,
            () = ends.refuse_all() => return Ended::Left,
        };
        match opened {
            Ok((socket, guest)) => session::run(socket, guest, ends, &mut self.memory).await,
            Err(ended) => ended,
        }
    }

    fn entered(&mut self) -> Option<Instant> {
        self.memory.entered.take()
    }
}

/// A websocket to the channel's server, and who comes over it. The files are read each time: they may have changed.
async fn opened<'a>(
    address: &'a Address,
    name: &'a str,
    connector: Option<&TlsConnector>,
) -> Result<(Socket, Guest<'a>), Ended> {
    let lost = |error: io::Error| Ended::Lost(error.to_string());
    let read = |path: &Option<PathBuf>| path.as_deref().map(secret).transpose().map_err(lost);
    let (password, key) = (read(&address.login)?, read(&address.key)?);
    let guest = Guest { host: &address.host, name, channel: &address.channel, password, key };
    let server = discovery::server(address, connector).await?;
    let stream = tcp::connect(&server.host, server.port, connector).await.map_err(lost)?;
    Ok((Socket::open(stream, &server.host, server.port).await?, guest))
}
