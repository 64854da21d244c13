//! What the events of a connection say of it, and what is logged of them. What both connections meet, which mostly lose and find
//! one server together, is said once.

use async_nats::Event;
use tokio::sync::watch;

use super::connection::{Carries, Connection, ServerLog};
use super::log_throttle::LogThrottle;
use crate::nats::connection_log::Up;
use crate::nats::failure::{self, Failure};
use crate::nats::{refuses_us, unreadable};

/// Takes note of an event.
pub(super) fn note(
    state: &watch::Sender<Connection>,
    carries: Carries,
    troubles: &LogThrottle,
    event: &Event,
) {
    let said = &troubles.said;
    match event {
        Event::Connected => {
            troubles.denials.connected(carries);
            state.send_modify(|s| {
                (s.up, s.refused, s.lame, s.narrow) = (true, false, false, false);
                (s.asking_denied, s.micro_denied) = (false, false);
                s.failure = None;
                s.times += 1;
            });
            match said.up(carries) {
                (true, _) => tracing::info!("connected to NATS"),
                (_, true) => match troubles.connection_log.up() {
                    Up::Reconnected(lost) => {
                        tracing::info!("connected to NATS again, after {:.1} s", lost.as_secs_f64());
                    }
                    Up::First | Up::ReconnectedUnlogged(_) => tracing::debug!("connected to NATS again"),
                },
                _ => tracing::debug!(?carries, "connected to NATS"),
            }
        }
        Event::Disconnected => {
            state.send_modify(|s| s.up = false);
            if let Some(cause) = unreadable::ended() {
                // Back in a moment, and counted: the message is reported, the loss is not.
                return troubles.unreadable.ended(cause);
            }
            if !said.lost(carries) {
                return tracing::debug!(?carries, "lost a connection to NATS");
            }
            match troubles.connection_log.lost() {
                Some(more) => tracing::warn!(
                    "lost the connection to NATS: no request arrives until it is back; retrying indefinitely{more}"
                ),
                None => tracing::debug!("lost the connection to NATS again"),
            }
        }
        Event::Closed => state.send_modify(|s| s.closed = true),
        Event::LameDuckMode => {
            if !std::mem::replace(&mut said.sayings().lame, true) {
                tracing::info!("the NATS server is about to stop: nothing more is taken from its stream");
            }
            state.send_modify(|s| s.lame = true);
        }
        Event::SlowConsumer(_) => {
            troubles.overrun();
        }
        refusal if refuses_us(refusal) => {
            state.send_modify(|s| s.refused = true);
            if !std::mem::replace(&mut said.sayings().refused, true) {
                tracing::error!(
                    "the NATS server refuses our user, password or key; retrying indefinitely, without further lines"
                );
            }
        }
        Event::ServerError(error) => {
            troubles.server_says(carries, error);
            let said = error.to_string();
            let publish = said.to_lowercase().contains("violation for publish to");
            let other = || ["\"_INBOX.", "dlq.", "\"$JS."].iter().any(|subject| said.contains(subject));
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
            Some(failure) => failed(state, said, &failure),
            None => tracing::debug!("NATS: {other}"),
        },
    }
}

/// A try to connect has failed. That no server is there is said by [`Link::connected`](super::link::Link::connected), at the
/// beginning, and after that a loss has been said; anything else is news.
fn failed(state: &watch::Sender<Connection>, said: &ServerLog, failure: &Failure) {
    let new = state.send_if_modified(|s| !s.up && s.failure.replace(failure.kind) != Some(failure.kind));
    let is_new = new && said.sayings().failure.replace(failure.kind) != Some(failure.kind);
    if is_new && failure.kind != failure::Kind::Absent {
        tracing::warn!("cannot connect to NATS, retrying indefinitely: {}", failure.said);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_that_were_lost_on_the_way_are_counted() {
        let (state, troubles) =
            (watch::Sender::new(Connection::default()), LogThrottle::new(&["item_added"]));
        for _ in 0..5 {
            note(&state, Carries::Requests, &troubles, &Event::SlowConsumer(1));
        }
        assert_eq!(troubles.overruns(), 5);
    }

    #[tokio::test]
    async fn a_server_that_both_connections_lose_and_find_is_said_once() {
        let (heard, _guard) = crate::captured_logs::CapturedLogs::catch();
        let troubles = LogThrottle::new(&["item_added"]);
        let both = [Carries::Requests, Carries::Stream]
            .map(|carries| (carries, watch::Sender::new(Connection::default())));
        let all =
            |event: Event| both.iter().for_each(|(carries, state)| note(state, *carries, &troubles, &event));
        for event in [Event::Connected, Event::LameDuckMode, Event::Disconnected, Event::Connected] {
            all(event);
        }
        let heard = heard.take();
        let said: Vec<_> = heard.iter().filter(|line| !line.starts_with("DEBUG")).collect();
        let begins =
            ["INFO connected", "INFO the NATS server", "WARN lost the", "INFO connected to NATS again"];
        assert!(
            said.len() == 4 && said.iter().zip(begins).all(|(line, begin)| line.starts_with(begin)),
            "{heard:?}"
        );
    }
}
