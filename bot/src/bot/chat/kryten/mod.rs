//! Kryten: a robot in a CyTube channel that tells on NATS what happens there, and does what it is told.
//!
//! | file | contains |
//! |---|---|
//! | `address` | the value of `--chat` |
//! | `bus` | the robot's events, the commands to it, and their answers |
//! | `session` | one connection to NATS: reads, asks, speaks |
//!
//! The channel and what is said are those of [`cytube`](super::cytube). `docs/chat.md` says what is exact, and what is partial.

mod address;
mod bus;
mod session;

use std::sync::Arc;

use futures_util::stream::BoxStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::cytube::{BURST, EVERY, speech};
use super::link::pace::Bucket;
use super::link::sender::{Order, Sender, State};
use super::link::{self, Ended, Ends, Network};
use super::{Chat, ChatSender, OpenError, Received};
pub use address::Address;
use bus::Bus;

impl Address {
    /// Checks that the files can be read.
    pub(in crate::bot) fn check(&self) -> Result<(), OpenError> {
        for path in [&self.credentials, &self.ca].into_iter().flatten() {
            std::fs::read(path).map_err(|error| OpenError::Unreadable { path: path.clone(), error })?;
        }
        Ok(())
    }

    /// Opens the chat, for a robot of this name. Nothing is connected before it is listened to.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn open(self, name: &str) -> Result<Box<dyn Chat>, OpenError> {
        self.check()?;
        let robot = self.name.clone().unwrap_or_else(|| name.to_owned());
        let (sender, orders, state) = Sender::new(Bucket::new(BURST, EVERY), speech::is_name);
        Ok(Box::new(Kryten { address: self, robot, sender: Arc::new(sender), orders, state }))
    }
}

/// A channel with a robot.
struct Kryten {
    address: Address,
    robot: String,
    sender: Arc<Sender>,
    orders: mpsc::Receiver<Order>,
    state: Arc<State>,
}

impl Chat for Kryten {
    fn sender(&self) -> Arc<dyn ChatSender> {
        Arc::<Sender>::clone(&self.sender)
    }

    fn listen(self: Box<Self>) -> BoxStream<'static, Received> {
        // The sender is dropped: the connection must not keep itself open.
        let Self { address, robot, orders, state, .. } = *self;
        link::events(Visit { address, robot, entered: None }, orders, state)
    }
}

/// The channel, to be visited.
struct Visit {
    address: Address,
    robot: String,
    entered: Option<Instant>,
}

impl Network for Visit {
    fn server(&self) -> &str {
        &self.address.host
    }

    async fn visit(&mut self, ends: &mut Ends) -> Ended {
        let connected = tokio::select! {
            connected = Bus::connect(&self.address) => connected,
            () = ends.refuse_all() => return Ended::Left,
        };
        match connected {
            Ok(bus) => session::run(bus, &self.address, &self.robot, ends, &mut self.entered).await,
            Err(ended) => ended,
        }
    }

    fn entered(&mut self) -> Option<Instant> {
        self.entered.take()
    }
}
