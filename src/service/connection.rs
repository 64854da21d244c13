//! The service's connection, as its events tell; its beginning and its end.

use std::time::Duration;

use async_nats::{Client, Event};
use tokio::sync::watch;
use tokio::time;

use super::troubles::Troubles;
use crate::nats::failure::{self, Failure};
use crate::nats::losses::Up;
use crate::nats::{refuses_us, unreadable};

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
    /// The server does not let us listen to everything below a name.
    pub(super) narrow: bool,
    /// It does not let us ask who else answers on our subjects, or on `$SRV`.
    pub(super) asking_denied: bool,
    pub(super) micro_denied: bool,
    /// Our user or password is wrong: said once.
    refused: bool,
    /// Why the last try to connect failed.
    failure: Option<failure::Kind>,
}

pub(super) fn note(state: &watch::Sender<Connection>, troubles: &Troubles, event: &Event) {
    match event {
        Event::Connected => {
            troubles.denials.forget();
            let mut times = 0;
            state.send_modify(|s| {
                (s.up, s.refused, s.lame, s.narrow) = (true, false, false, false);
                (s.asking_denied, s.micro_denied) = (false, false);
                s.failure = None;
                s.times += 1;
                times = s.times;
            });
            match troubles.losses.up() {
                Up::First if times > 1 || troubles.unreadable.is_going_on() => {
                    tracing::debug!("connected to NATS again, after a message that cannot be read")
                }
                Up::First => tracing::info!("connected to NATS"),
                Up::Again(lost) => {
                    tracing::info!("connected to NATS again, after {:.1} s", lost.as_secs_f64());
                }
                Up::Unsaid(lost) => tracing::debug!("connected to NATS again, after {lost:?}"),
            }
        }
        Event::Disconnected => {
            if let Some(cause) = unreadable::ended() {
                // Back in a moment, and counted: nobody need be told of the loss, but of the message.
                troubles.unreadable.ended(cause);
                state.send_modify(|s| s.up = false);
                return;
            }
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
            let said = error.to_string();
            let publish = said.to_lowercase().contains("violation for publish to");
            let other =
                || ["\"_INBOX.", "\"rosey.dlq.", "\"$JS."].iter().any(|subject| said.contains(subject));
            if said.contains("$JS.API.") {
                state.send_modify(|s| s.stream_denied = true);
            } else if publish && said.contains("$SRV.") {
                state.send_modify(|s| s.micro_denied = true);
            } else if publish && !other() {
                state.send_modify(|s| s.asking_denied = true);
            }
            if said.contains("Subscription to \"") && said.contains(".>\"") {
                state.send_modify(|s| s.narrow = true);
            }
        }
        other => match Failure::of(other) {
            Some(failure) => failed(state, &failure),
            None => tracing::debug!("NATS: {other}"),
        },
    }
}

/// A try to connect has failed. That no server is there is said by [`connected`], at the beginning, and after that a loss
/// has been said; anything else is news.
fn failed(state: &watch::Sender<Connection>, failure: &Failure) {
    let news = state.send_if_modified(|s| !s.up && s.failure.replace(failure.kind) != Some(failure.kind));
    if news && failure.kind != failure::Kind::Absent {
        tracing::warn!("cannot connect to NATS, retrying indefinitely: {}", failure.said);
    }
}

/// Waits until the client library's own task has ended without a goodbye: the connection never comes back then.
pub(super) async fn ended(mut state: watch::Receiver<Connection>, troubles: &Troubles) {
    if state.wait_for(|s| s.closed).await.is_ok() {
        return std::future::pending().await;
    }
    let cause = unreadable::ended();
    troubles.unreadable.ended(cause.unwrap_or_else(|| "the NATS client has ended by itself".to_owned()));
}

/// Waits for the connection, and says so as long as it takes.
pub(super) async fn connected(state: &mut watch::Receiver<Connection>, url: &str) {
    let mut patience = Duration::from_secs(1);
    while time::timeout(patience, state.wait_for(|s| s.up)).await.is_err() {
        // What is slow to fail says more when it has.
        let failed = state.wait_for(|s| s.up || s.refused || s.failure.is_some());
        let _ = time::timeout(Duration::from_secs(2), failed).await;
        let now = *state.borrow();
        if !now.up && !now.refused {
            let why = now.failure.unwrap_or(failure::Kind::Absent);
            tracing::warn!(url, "{why}; retrying indefinitely");
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
