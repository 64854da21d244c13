//! Beginning, for as long as only the connection is in the way.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time;

use super::ServeError;
use super::connection::{Connection, connected};
use super::troubles::Troubles;

/// One try after the other.
pub(super) struct Tries<'a> {
    state: watch::Receiver<Connection>,
    url: &'a str,
    troubles: &'a Troubles,
    /// How often the connection had come up when this try began.
    times: u64,
    /// Whether the log knows what is in the way.
    told: bool,
}

impl<'a> Tries<'a> {
    pub(super) const fn new(
        state: watch::Receiver<Connection>,
        url: &'a str,
        troubles: &'a Troubles,
    ) -> Self {
        Self { state, url, troubles, times: 0, told: false }
    }

    /// Waits for the connection, and begins a try.
    pub(super) async fn begin(&mut self) {
        connected(&mut self.state.clone(), self.url).await;
        self.times = self.state.borrow().times;
    }

    /// What came of it; nothing, if there is to be another one.
    pub(super) async fn end<T>(&mut self, begun: Result<T, ServeError>) -> Option<Result<T, ServeError>> {
        let now = *self.state.borrow();
        match begun {
            // What was found out over a connection that broke may be wrong: who is not heard is not absent.
            _ if !now.up || now.times != self.times => None,
            Err(ServeError::Connection(why)) => {
                if !std::mem::replace(&mut self.told, true) {
                    let denied = match self.troubles.denials.summary() {
                        none if none.is_empty() => none,
                        denied => format!("; the server does not allow this user to {denied}"),
                    };
                    tracing::warn!(url = self.url, "cannot serve yet, trying again for ever: {why}{denied}");
                }
                time::sleep(Duration::from_secs(1)).await;
                None
            }
            begun => Some(begun),
        }
    }
}
