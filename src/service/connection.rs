//! The service's connection, as its events tell; its beginning and its end.

use std::time::Duration;

use async_nats::{Client, Event};
use tokio::sync::watch;
use tokio::time;

use super::troubles::Troubles;
use crate::nats::losses::Up;
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
    /// It does not let us ask who else answers on our subjects, or on `$SRV`.
    pub(super) asking_denied: bool,
    pub(super) micro_denied: bool,
    /// Our user or password is wrong: said once.
    refused: bool,
}

pub(super) fn note(state: &watch::Sender<Connection>, troubles: &Troubles, event: &Event) {
    match event {
        Event::Connected => {
            state.send_modify(|s| {
                (s.up, s.refused, s.lame) = (true, false, false);
                (s.asking_denied, s.micro_denied) = (false, false);
                s.times += 1;
            });
            match troubles.losses.up() {
                Up::First => tracing::info!("connected to NATS"),
                Up::Again(lost) => {
                    tracing::info!("connected to NATS again, after {:.1} s", lost.as_secs_f64());
                }
                Up::Unsaid(lost) => tracing::debug!("connected to NATS again, after {lost:?}"),
            }
        }
        Event::Disconnected => {
            match troubles.losses.lost() {
                Some(more) => tracing::warn!(
                    "lost the connection to NATS: nothing comes in until it is back; trying again, for ever{more}"
                ),
                None => tracing::debug!("lost the connection to NATS again"),
            }
            state.send_modify(|s| s.up = false);
        }
        Event::Closed => state.send_modify(|s| s.closed = true),
        Event::LameDuckMode => {
            tracing::info!("the NATS server is about to stop: nothing more is taken from its stream");
            state.send_modify(|s| s.lame = true);
        }
        Event::SlowConsumer(_) => {
            troubles.overrun();
        }
        refusal if refuses_us(refusal) => {
            if !state.send_if_modified(|s| !std::mem::replace(&mut s.refused, true)) {
                return;
            }
            tracing::error!("the NATS server refuses our user or password; trying again, quietly");
        }
        Event::ServerError(error) => {
            troubles.server_says(error);
            let error = error.to_string();
            let publish = error.to_lowercase().contains("violation for publish to");
            let other = || ["\"_INBOX.", "\"rosey.dlq."].iter().any(|subject| error.contains(subject));
            if error.contains("$JS.API.") {
                state.send_modify(|s| s.stream_denied = true);
            } else if publish && error.contains("$SRV.") {
                state.send_modify(|s| s.micro_denied = true);
            } else if publish && !other() {
                state.send_modify(|s| s.asking_denied = true);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_that_were_lost_on_the_way_are_counted() {
        let (state, troubles) = (watch::Sender::new(Connection::default()), Troubles::new(&["user_joined"]));
        for _ in 0..5 {
            note(&state, &troubles, &Event::SlowConsumer(1));
        }
        assert_eq!(troubles.overruns(), 5);
    }
}
