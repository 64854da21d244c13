//! What the networks share that a bot connects to: a connection that is opened again for ever, its sender, its pace.
//!
//! | file | contains |
//! |---|---|
//! | `sender` | what the bot says, on its way to the connection |
//! | `pace` | how fast it may speak, and how long it waits before it connects again |
//! | `continued` | what a message does not go on with |
//! | `address` | the parts of an address |
//! | `tcp`, `tls` | a connection to a host, and the encrypted one; secrets from files |

pub(super) mod address;
pub(super) mod continued;
pub(super) mod pace;
pub(super) mod sender;
pub(crate) mod tcp;
pub(crate) mod tls;

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{Instrument, warn};

use super::{Received, Unreadable, Unsent};
use pace::Backoff;
use sender::{Order, State};

/// A connection that has lasted so long was a good one: the waits begin anew.
const LASTED: Duration = Duration::from_secs(60);
/// Events that the bot has not taken.
const WAITING: usize = 64;

/// Why a connection has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It may be opened again.
    Lost(String),
    /// It would end so again.
    Refused(String),
    /// We were told to leave.
    Left,
}

/// Events out, orders in.
pub(super) struct Ends {
    pub(super) events: mpsc::Sender<Received>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) state: Arc<State>,
}

impl Ends {
    /// Refuses whatever is to be said, until we are told to leave.
    pub(super) async fn refuse_all(&mut self) {
        loop {
            match self.orders.recv().await {
                Some(Order::Say(said)) => said.refuse(Unsent::transient(sender::NOT_INSIDE)),
                Some(Order::Leave(left)) => {
                    let _ = left.send(());
                    return;
                }
                None => return,
            }
        }
    }
}

/// A network, and how one gets into its channel.
pub(super) trait Network: Send + 'static {
    /// The server, for people.
    fn server(&self) -> &str;

    /// Opens a connection, enters the channel, and stays there until the connection ends. Whatever is to be said meanwhile is said or
    /// refused.
    fn visit(&mut self, ends: &mut Ends) -> impl Future<Output = Ended> + Send;

    /// When the channel was entered by the last visit, if it was.
    fn entered(&mut self) -> Option<Instant>;
}

/// The events of a network that is visited for ever. The connection outlives the stream, so that the last things can be said; it
/// ends with the last sender, or with [`ChatSender::flush`](super::ChatSender::flush).
pub(super) fn events(
    network: impl Network,
    orders: mpsc::Receiver<Order>,
    state: Arc<State>,
) -> BoxStream<'static, Received> {
    let (events, received) = mpsc::channel(WAITING);
    // Its log says which room it is of.
    tokio::spawn(visit_for_ever(network, Ends { events, orders, state }).in_current_span());
    stream::unfold(received, |mut received| async move { received.recv().await.map(|item| (item, received)) })
        .boxed()
}

async fn visit_for_ever(mut network: impl Network, mut ends: Ends) {
    let mut backoff = Backoff::default();
    loop {
        let ended = network.visit(&mut ends).await;
        if network.entered().is_some_and(|since| since.elapsed() > LASTED) {
            backoff.reset();
        }
        match ended {
            Ended::Left => return,
            Ended::Refused(reason) => {
                let item = Err(Unreadable::Refused(format!("{}: {reason}", network.server())));
                let _ = ends.events.send(Received { position: 0, item }).await;
                return;
            }
            Ended::Lost(reason) => {
                let wait = backoff.next();
                warn!(
                    "{}: {}; trying again in {:.1} s",
                    network.server(),
                    reason.escape_debug(),
                    wait.as_secs_f64()
                );
                let until = Instant::now() + wait;
                tokio::select! {
                    () = tokio::time::sleep_until(until) => {}
                    () = ends.refuse_all() => return,
                }
            }
        }
    }
}
