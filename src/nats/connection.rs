//! What happens on the connection: replies, and what the client and the server tell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::{Event, Message};
use eitherway_layers::logging::{RateLimitedLog, Summary};
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{self, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::connection_log::{ConnectionLog, Up};
use super::failure::{self, Failure, refuses_us};
use super::health::Health;
use super::inbox::Inbox;
use super::names::{BUNDLES, STORED_BUNDLES};
use super::status::Recognition;

/// Takes replies and events until the service is gone.
pub(super) async fn listen(
    mut replies: impl Stream<Item = Message> + Unpin,
    mut events: mpsc::UnboundedReceiver<Event>,
    url: String,
    inbox: Arc<Inbox>,
    health: Arc<Health>,
    service: String,
    ended: CancellationToken,
) {
    let connection = Connection {
        url,
        inbox,
        health,
        service: format!("{service}."),
        was_up: AtomicBool::new(false),
        failures: RateLimitedLog::new(),
        connection_log: ConnectionLog::default(),
        denials: RateLimitedLog::new(),
        overruns: RateLimitedLog::new(),
    };
    let mut look = time::interval(LOOK);
    // There is no look while all is well: a quiet day is not made up for with its 86 400 looks at once.
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(message) = replies.next() => connection.inbox.complete(message),
            Some(event) = events.recv() => connection.note(&event),
            _ = look.tick(), if connection.is_troubled() => connection.report(RateLimitedLog::recovered),
            () = ended.cancelled() => return connection.report(RateLimitedLog::flush),
        }
    }
}

/// How often it is looked what is over.
const LOOK: Duration = Duration::from_secs(1);

/// The connection, as its events tell.
struct Connection {
    url: String,
    inbox: Arc<Inbox>,
    health: Arc<Health>,
    /// What all subjects of our service begin with.
    service: String,
    /// Whether there was a connection already.
    was_up: AtomicBool,
    failures: RateLimitedLog,
    connection_log: ConnectionLog,
    denials: RateLimitedLog,
    overruns: RateLimitedLog,
}

impl Connection {
    fn is_troubled(&self) -> bool {
        self.connection_log.are_going_on()
            || self.failures.is_going_on()
            || self.denials.is_going_on()
            || self.overruns.is_going_on()
    }

    /// Says what no line stands for yet.
    fn report(&self, end: impl Fn(&RateLimitedLog) -> Option<Summary>) {
        let url = self.url.as_str();
        if let Some(lost) = self.connection_log.report(&end) {
            tracing::warn!(url, "{lost}");
        }
        for (trouble, what) in [
            (&self.failures, "tries to connect to NATS have failed"),
            (&self.denials, "subjects denied by the NATS server"),
            (&self.overruns, "times replies were lost"),
        ] {
            if let Some(Summary { unsaid, lasted, .. }) = end(trouble).filter(|past| past.unsaid > 0) {
                tracing::warn!(url, "{unsaid} more {what}, in {:.1} s", lasted.as_secs_f64());
            }
        }
    }

    /// Nothing goes over it any more. Returns how many were waiting.
    fn is_down(&self) -> usize {
        self.health.update(|status| {
            status.connected = false;
            status.service = Recognition::Unknown;
            status.stream = None;
            status.foreign = false;
            (status.instance, status.file) = (None, None);
        });
        self.inbox.release_all()
    }

    fn note(&self, event: &Event) {
        let Self { url, inbox, health, .. } = self;
        let url = url.as_str();
        match event {
            Event::Connected => {
                self.was_up.store(true, Ordering::Relaxed);
                health.begin_again();
                health.update(|status| {
                    status.connected = true;
                    (status.denied, status.shut) = (false, false);
                    status.refused = false;
                    status.failure = None;
                    status.service = Recognition::Unknown;
                    status.stream = None;
                });
                health.recheck.notify_one();
                match self.connection_log.up() {
                    Up::First => tracing::info!(url, "connected to NATS"),
                    Up::Reconnected(lost) => {
                        tracing::info!(url, "connected to NATS again, after {:.1} s", lost.as_secs_f64());
                    }
                    Up::ReconnectedUnlogged(lost) => {
                        tracing::debug!(url, "connected to NATS again, after {lost:?}")
                    }
                }
            }
            Event::Disconnected => {
                let released = self.is_down();
                match self.connection_log.lost() {
                    Some(more) => tracing::warn!(
                        url = self.url,
                        "lost the connection to NATS ({released} waiting requests are released); retrying \
                         indefinitely{more}"
                    ),
                    None => tracing::debug!(
                        url = self.url,
                        "lost the connection to NATS again ({released} waiting requests are released)"
                    ),
                }
            }
            Event::Closed => {
                let released = self.is_down();
                tracing::info!(
                    url = self.url,
                    "the connection to NATS is closed ({released} waiting requests are released)"
                );
            }
            Event::ServerError(error)
                if error.to_string().to_lowercase().contains("permissions violation") =>
            {
                self.is_denied(&error.to_string());
            }
            refusal if refuses_us(refusal) => {
                if health.update(|status| status.refused = true).is_some() {
                    tracing::error!(
                        url,
                        "the NATS server refuses our user, password or key; retrying indefinitely, without further lines"
                    );
                }
            }
            Event::LameDuckMode => {
                tracing::info!(
                    url,
                    "the NATS server is about to stop; it closes this connection when it does"
                );
            }
            Event::SlowConsumer(_) => {
                inbox.overrun();
                if let Some(more) = self.overruns.record() {
                    tracing::warn!(
                        url,
                        "replies come faster than they are taken, and some were lost: \
                         requests that wait for them take the other path{more}"
                    );
                }
            }
            other => match Failure::of(other) {
                Some(failure) => self.failed(&failure),
                None => tracing::debug!(url, "NATS: {other}"),
            },
        }
    }

    /// A try to connect has failed. While a server restarts that goes without saying.
    fn failed(&self, failure: &Failure) {
        let before = self.health.update(|status| {
            // Found out too late, while it was tried again.
            if !status.connected {
                status.failure = Some(failure.said.clone());
            }
        });
        let goes_without_saying =
            failure.kind == failure::Kind::Absent && self.was_up.load(Ordering::Relaxed);
        if before.is_none() || goes_without_saying {
            return tracing::debug!(url = self.url, "cannot connect to NATS: {}", failure.said);
        }
        if let Some(more) = self.failures.record() {
            tracing::warn!(
                url = self.url,
                "cannot connect to NATS, retrying indefinitely: {}{more}",
                failure.said
            );
        }
    }

    /// The server denies a subject, which it names in quotes.
    fn is_denied(&self, said: &str) {
        let Self { url, inbox, health, service, .. } = self;
        let url = url.as_str();
        let subject = said.split('"').nth(1).unwrap_or_default();
        if said.to_lowercase().contains("for subscription") {
            if let Some(more) = self.denials.record() {
                tracing::error!(
                    url,
                    "the NATS server denies a subscription ({said}): without its replies nothing can be sent; our user \
                     needs the permission to subscribe to it, or another inbox prefix{more}"
                );
            }
            if subject.starts_with(inbox.prefix()) {
                health.update(|status| (status.denied, status.shut) = (true, true));
                inbox.release_all();
            }
            return;
        }
        if subject.starts_with(inbox.prefix()) {
            tracing::debug!(url, "the NATS server does not let us publish to our own inbox: {said}");
            health.deny(inbox.prefix());
            return inbox.deny(subject);
        }
        health.deny(subject);
        if subject
            .strip_prefix(service.as_str())
            .is_some_and(|word| [BUNDLES, STORED_BUNDLES].contains(&word))
        {
            tracing::info!(url, "the NATS server denies us bundles ({said}): each operation is sent alone");
            return inbox.deny(subject);
        }
        // Then the service's answer has to do: see `Probe`.
        if subject.starts_with("$JS.API.") {
            tracing::debug!(url, "the NATS server does not let us look at the stream: {said}");
            return inbox.deny(subject);
        }
        if let Some(more) = self.denials.record() {
            tracing::error!(
                url,
                "the NATS server denies a subject: {said}; our user needs the permission to publish to it{more}"
            );
        }
        if let Some(name) = subject.strip_prefix(service.as_str()) {
            health.update(|status| {
                status.denied = true;
                status.shut |= name == "ping";
            });
        }
        inbox.deny(subject);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::task::Poll;

    use futures_util::stream;

    use super::*;
    use crate::captured_logs::CapturedLogs;

    fn connection(inbox: &Arc<Inbox>) -> Connection {
        Connection {
            url: String::new(),
            inbox: Arc::clone(inbox),
            health: Arc::new(Health::new()),
            service: "shop.db.".to_owned(),
            was_up: AtomicBool::new(false),
            failures: RateLimitedLog::new(),
            connection_log: ConnectionLog::default(),
            denials: RateLimitedLog::new(),
            overruns: RateLimitedLog::new(),
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_is_not_said_to_be_tried_again() {
        let (heard, _guard) = CapturedLogs::catch();
        let connection = connection(&Arc::new(Inbox::new("_INBOX.x", "SHOP".to_owned())));
        connection.note(&Event::Connected);
        connection.note(&Event::Closed);
        let said = heard.take();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[1].contains("is closed") && !said[1].contains("again"), "{said:?}");
    }

    #[tokio::test]
    async fn only_where_bundles_are_denied_it_is_bundles_that_are_denied() {
        let (heard, _guard) = CapturedLogs::catch();
        let said = |word: &str| {
            let said = format!("Permissions Violation for Publish to \"shop.db.{word}\"");
            Event::ServerError(async_nats::ServerError::Other(said))
        };
        for (word, denied) in
            [("batch", false), ("batch.events", false), ("batch.import", true), ("batches", true)]
        {
            let connection = connection(&Arc::new(Inbox::new("_INBOX.x", "SHOP".to_owned())));
            connection.note(&said(word));
            assert_eq!(connection.health.status().borrow().denied, denied, "{word}");
            assert!(connection.health.denies(&format!("shop.db.{word}")));
            assert_eq!(heard.take().iter().any(|line| line.contains("bundles")), !denied, "{word}");
        }
    }

    #[tokio::test]
    async fn replies_that_were_lost_on_the_way_are_counted_however_seldom_that_is_said() {
        let (heard, _guard) = CapturedLogs::catch();
        let inbox = Arc::new(Inbox::new("_INBOX.x", "SHOP".to_owned()));
        let connection = connection(&inbox);
        for _ in 0..5 {
            connection.note(&Event::SlowConsumer(1));
        }
        assert_eq!((inbox.counts().overruns, heard.take().len()), (5, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_trouble_after_a_quiet_day_does_not_keep_replies_waiting() {
        let turns = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&turns);
        let replies = stream::poll_fn(move |_| {
            count.fetch_add(1, Relaxed);
            Poll::Pending
        });
        let (events, heard) = mpsc::unbounded_channel();
        let ended = CancellationToken::new();
        let inbox = Arc::new(Inbox::new("_INBOX.x", "SHOP".to_owned()));
        let health = Arc::new(Health::new());
        let listening = tokio::spawn(listen(
            replies,
            heard,
            String::new(),
            inbox,
            health,
            "shop.db".to_owned(),
            ended.clone(),
        ));
        time::sleep(Duration::from_secs(86_400)).await;
        assert!(events.send(Event::SlowConsumer(1)).is_ok());
        time::sleep(RateLimitedLog::CALM * 2).await;
        let turns = turns.load(Relaxed);
        assert!((1..20).contains(&turns), "{turns} turns of the loop in six seconds");
        ended.cancel();
        assert!(listening.await.is_ok());
    }
}
