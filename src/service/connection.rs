//! The service's connection, as its events tell; its beginning and its end.

use std::time::Duration;

use async_nats::{Client, Event};
use tokio::sync::watch;
use tokio::time;

use crate::nats::refuses_us;

/// The connection, as its events tell.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Connection {
    pub(super) up: bool,
    pub(super) closed: bool,
    /// How often it came up.
    pub(super) times: u64,
    /// The server has said that it is about to stop.
    pub(super) lame: bool,
    /// The server does not let us ask JetStream.
    pub(super) stream_denied: bool,
    /// Our user or password is wrong: said once.
    refused: bool,
}

pub(super) fn note(state: &watch::Sender<Connection>, event: &Event) {
    match event {
        Event::Connected => {
            tracing::info!("connected to NATS");
            state.send_modify(|s| {
                (s.up, s.refused, s.lame) = (true, false, false);
                s.times += 1;
            });
        }
        Event::Disconnected => {
            tracing::warn!("lost the connection to NATS; trying again");
            state.send_modify(|s| s.up = false);
        }
        Event::Closed => state.send_modify(|s| s.closed = true),
        Event::LameDuckMode => {
            tracing::info!("the NATS server is about to stop: nothing more is taken from its stream");
            state.send_modify(|s| s.lame = true);
        }
        Event::SlowConsumer(_) => {
            tracing::error!("requests come faster than they are taken; some were lost on the way");
        }
        refusal if refuses_us(refusal) => {
            if !state.send_if_modified(|s| !std::mem::replace(&mut s.refused, true)) {
                return;
            }
            tracing::error!("the NATS server refuses our user or password; trying again, quietly");
        }
        Event::ServerError(error) => {
            tracing::error!("the NATS server says: {error}");
            if error.to_string().contains("$JS.API.") {
                state.send_modify(|s| s.stream_denied = true);
            }
        }
        other => tracing::debug!("NATS: {other}"),
    }
}

/// Waits for the connection, and says so as long as it takes.
pub(super) async fn connected(state: &mut watch::Receiver<Connection>, url: &str) {
    let mut patience = Duration::from_secs(1);
    while time::timeout(patience, state.wait_for(|s| s.up)).await.is_err() {
        if !state.borrow().refused {
            tracing::warn!(url, "no NATS server answers; trying again, for ever");
        }
        patience = Duration::from_secs(30);
    }
}

/// Sends what is still on its way, and closes the connection; what a server that is gone does not take is lost with
/// it.
pub(super) async fn say_goodbye(client: &Client, mut state: watch::Receiver<Connection>) {
    if !state.borrow().up {
        return;
    }
    let goodbye = async {
        let _ = client.flush().await;
        if client.drain().await.is_ok() {
            // Drain has done its work only when the connection says that it is closed.
            let _ = state.wait_for(|s| s.closed).await;
        }
    };
    if time::timeout(Duration::from_secs(2), goodbye).await.is_err() {
        tracing::warn!("the NATS server did not take our goodbye");
    }
}
