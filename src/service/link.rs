//! A connection of the service: opened, waited for, closed. There are two of them, because the client library ends a whole
//! connection at one message that it cannot read: requests come over one, where any peer may send such a message; the stream and
//! JetStream are asked over the other, which listens to its own inbox alone.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use tokio::sync::watch;
use tokio::time;
use tracing::Span;

use super::connection::{Carries, Connection};
use super::events::note;
use super::log_throttle::LogThrottle;
use crate::nats::{ConnectError, NatsOptions, failure, redact, unreadable};

/// A connection and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) state: watch::Receiver<Connection>,
    /// The server's address, fit for a log.
    pub(super) url: Arc<str>,
}

impl Link {
    /// Returns at once, connected or not.
    ///
    /// # Errors
    /// When connecting cannot even begin.
    pub(super) async fn open(
        nats: NatsOptions,
        carries: Carries,
        troubles: &Arc<LogThrottle>,
    ) -> Result<Self, ConnectError> {
        let nats = match carries {
            Carries::Requests => nats,
            Carries::Stream => {
                let name = format!("{}-stream", nats.name);
                nats.name(name)
            }
        };
        let url = redact(&nats.url).into();
        let (events, state) = watch::channel(Connection::default());
        let (troubles, span) = (Arc::clone(troubles), Span::current());
        // The client's own task is in no span of ours.
        let on_event = move |event| span.in_scope(|| note(&events, carries, &troubles, &event));
        let client = nats.connect(on_event).await?;
        Ok(Self { client, state, url })
    }

    pub(super) fn now(&self) -> Connection {
        *self.state.borrow()
    }

    /// Waits for the connection, and says so as long as it takes.
    pub(super) async fn connected(&self) {
        let (mut state, url) = (self.state.clone(), &*self.url);
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

    /// Waits until the connection is not the one that it is now.
    pub(super) async fn changed(&self, times: u64) {
        let mut state = self.state.clone();
        if state.wait_for(|s| !s.up || s.times != times).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the client library's own task has ended without a goodbye: the connection never comes back then.
    pub(super) async fn ended(&self, troubles: &LogThrottle) {
        if self.state.clone().wait_for(|s| s.closed).await.is_ok() {
            return std::future::pending().await;
        }
        let cause = unreadable::ended();
        troubles.unreadable.ended(cause.unwrap_or_else(|| "the NATS client has ended by itself".to_owned()));
    }

    /// Sends what is still on its way, and closes the connection; what a server that is gone does not take is lost with
    /// it.
    pub(super) async fn close(&self) {
        let mut state = self.state.clone();
        // Without a task behind the client nothing is said any more.
        if !state.borrow().up || state.has_changed().is_err() {
            return;
        }
        let goodbye = async {
            let _ = self.client.flush().await;
            if self.client.drain().await.is_ok() {
                // Drain has done its work only when the connection says that it is closed.
                let _ = state.wait_for(|s| s.closed).await;
            }
        };
        if time::timeout(Duration::from_secs(2), goodbye).await.is_err() {
            tracing::warn!("could not drain the NATS connection within 2 s");
        }
    }
}
