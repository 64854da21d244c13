//! Beginning, for as long as only the connection is in the way.

use std::time::Duration;

use futures_util::future::select_all;
use tokio::time;

use super::ServeError;
use super::link::Link;
use super::log_throttle::LogThrottle;

/// One try after the other.
pub(super) struct StartupRetries<'a> {
    links: &'a [&'a Link],
    troubles: &'a LogThrottle,
    /// How often each connection had come up when this try began.
    times: Vec<u64>,
}

impl<'a> StartupRetries<'a> {
    pub(super) const fn new(links: &'a [&'a Link], troubles: &'a LogThrottle) -> Self {
        Self { links, troubles, times: Vec::new() }
    }

    /// Waits for the connections, and begins a try.
    pub(super) async fn begin(&mut self) {
        for link in self.links {
            link.connected().await;
        }
        self.times = self.links.iter().map(|link| link.now().times).collect();
    }

    /// Waits until the server denies us the inbox: every question would be waited for in vain.
    async fn inbox_denied(&self) {
        while !self.troubles.denials.inboxes() {
            time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What comes of it; nothing, if there is to be another one.
    pub(super) async fn end<T>(
        &self,
        trying: impl Future<Output = Result<T, ServeError>>,
    ) -> Option<Result<T, ServeError>> {
        let changed = self.links.iter().zip(&self.times).map(|(link, times)| Box::pin(link.changed(*times)));
        let tried = tokio::select! {
            biased;
            // What was found out over a connection that broke may be wrong: who is not heard is not absent.
            _ = select_all(changed) => return None,
            () = self.inbox_denied() => Err(ServeError::Connection("nothing that is answered to it comes".to_owned())),
            tried = trying => tried,
        };
        match tried {
            Err(ServeError::Connection(why)) => {
                if self.troubles.said.cannot_serve() {
                    let denied = match self.troubles.denials.summary() {
                        none if none.is_empty() => none,
                        denied => format!("; the server does not allow this user to {denied}"),
                    };
                    let url = &*self.links[0].url;
                    tracing::warn!(url, "cannot serve yet, retrying indefinitely: {why}{denied}");
                }
                time::sleep(Duration::from_secs(1)).await;
                None
            }
            tried => Some(tried),
        }
    }
}
