//! The two ends of a chat: events to the bot, orders from it.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::super::{Received, Unsent};
use super::sender::{Order, State};

/// Events out, orders in.
pub(super) struct Ends {
    pub(super) events: mpsc::Sender<Received>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) state: Arc<State>,
}

/// Refuses whatever is to be said, until we are told to leave.
pub(super) async fn refuse_all(ends: &mut Ends) {
    loop {
        match ends.orders.recv().await {
            Some(Order::Say(said)) => {
                let _ = said.begun.send(());
                let _ = said.done.send(Err(Unsent::transient("the bot is not in the channel")));
            }
            Some(Order::Leave(left)) => {
                let _ = left.send(());
                return;
            }
            None => return,
        }
    }
}
