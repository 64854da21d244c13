//! The context that a handler receives.

use std::fmt;
use std::sync::Arc;

use eitherway_layers::{Class, Classify};
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use tracing::warn;

use super::chat::ChatSender;
use super::commands::config::Commands;
use super::deliveries::Deliveries;
use super::event::Event;
use super::failure_logs::{FailureKind, FailureLogs};
use super::lead::voice::Voice;
use super::lead::{Lease, Turn};
use super::progress::Progress;
use super::room::ChannelState;
use crate::op::{Error, Op, OutboundGet, RoseyClient};
use eitherway::client::{Db, Stack};
use eitherway::clock;
use eitherway::operation::{Definition, Operation};

/// The bot from a handler's point of view: its database, sender and room. Cheap to clone.
pub struct Context<S> {
    inner: Arc<Inner<S>>,
}

struct Inner<S> {
    db: Db<S>,
    sender: Arc<dyn ChatSender>,
    room: ChannelState,
    progress: Arc<Progress>,
    deliveries: Deliveries,
    failures: FailureLogs,
    identity: Identity,
    commands: Option<Commands>,
    lease: Arc<Lease>,
    last_heartbeat: Mutex<Arc<OnceCell<Option<i64>>>>,
}

/// The identity of a bot.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The bot's name in the channel.
    pub name: String,
    /// The channel's name, if it has one.
    pub channel: Option<String>,
    /// When the bot started, in unix milliseconds.
    pub started_at: i64,
}

impl Default for Identity {
    fn default() -> Self {
        Self { name: "Rosey".to_owned(), channel: None, started_at: clock::now() }
    }
}

impl<S> Context<S> {
    pub(super) fn new(
        db: Db<S>,
        sender: Arc<dyn ChatSender>,
        identity: Identity,
        commands: Option<Commands>,
        progress: Arc<Progress>,
        lease: Arc<Lease>,
    ) -> Self {
        let sender: Arc<dyn ChatSender> = match lease.room() {
            Some(_) => Arc::new(Voice::new(sender, Arc::clone(&lease))),
            None => sender,
        };
        let inner = Inner {
            db,
            sender,
            room: ChannelState::default(),
            progress,
            deliveries: Deliveries::default(),
            failures: FailureLogs::default(),
            identity,
            commands,
            lease,
            last_heartbeat: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The bot's database. Operations happen now, with fresh ids; see [`of`](Self::of).
    pub fn db(&self) -> &Db<S> {
        &self.inner.db
    }

    /// The database, for the **one** operation of this type derived from this event: at the event's time, with
    /// its id ([`Event::head`]).
    pub fn of<M: Definition>(&self, event: &Event) -> Db<S>
    where
        S: Clone,
    {
        self.inner.db.with(event.head(M::SPEC.name))
    }

    /// The bot's sender.
    pub fn sender(&self) -> &dyn ChatSender {
        &*self.inner.sender
    }

    /// The channel as the last event left it.
    pub fn room(&self) -> &ChannelState {
        &self.inner.room
    }

    /// The identity of the bot.
    pub fn identity(&self) -> &Identity {
        &self.inner.identity
    }

    /// The commands that the bot takes, if it takes any.
    pub(super) fn commands(&self) -> Option<&Commands> {
        self.inner.commands.as_ref()
    }

    /// The bot's counters.
    pub fn progress(&self) -> &Progress {
        &self.inner.progress
    }

    /// The right to lead in the room.
    pub(super) fn lease(&self) -> &Lease {
        &self.inner.lease
    }

    /// Whether this bot tells of itself and of the room: unless another one does.
    pub(super) fn tells(&self) -> bool {
        self.lease().turn() == Turn::Write
    }

    pub(super) fn deliveries(&self) -> &Deliveries {
        &self.inner.deliveries
    }

    pub(super) fn failures(&self) -> &FailureLogs {
        &self.inner.failures
    }

    /// Counts an operation, and logs the consequence of a failure for `what`, the thing to be recorded or
    /// done ("the join of alice"). The log is rate limited. The bot goes on in any case.
    pub fn record_result<T>(&self, result: Result<T, Error>, what: fmt::Arguments<'_>) -> Option<T> {
        self.count_result(result).map_err(|error| self.tell(what, &error)).ok()
    }

    /// Logs the consequence of a failed operation.
    pub(super) fn tell(&self, what: fmt::Arguments<'_>, error: &Error) {
        let (wrong, then) = match error.class() {
            Class::Rejected => (FailureKind::Refused, "refused, and not tried again"),
            Class::Unknown => (FailureKind::Unknown, "may be lost"),
            Class::NotSent | Class::TooLarge | Class::Backend => (FailureKind::Lost, "lost"),
        };
        let Some(more) = self.failures().record(wrong) else { return };
        let operation = error.request().map_or("an operation", |r| r.op.spec().name);
        let id = error.request().map(|r| r.head.id.to_string());
        let id = id.as_deref().unwrap_or("-");
        warn!(operation, id, "{what}: {then}: {error}{more}");
    }

    /// Counts an operation without logging.
    pub(super) fn count_result<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        let progress = self.progress();
        progress.operation();
        result.inspect_err(|error| {
            progress.operation_failed();
            if error.class() == Class::Rejected {
                progress.operation_refused();
            } else if error.request().is_some_and(|r| r.op.spec().name == OutboundGet::SPEC.name) {
                progress.poll_failed();
            }
        })
    }
}

impl<S: Stack<Op>> Context<S> {
    /// When the previous bot was last known to be watching, in unix seconds, if it left open sessions.
    ///
    /// This bot's status overwrites that time, so every sender of a status awaits this method first. The
    /// first caller reads it from the database; a failure is not retried, because by then the time may be
    /// this bot's own.
    pub(super) async fn last_heartbeat(&self) -> Option<i64> {
        let ask = || async {
            let sessions = self.count_result(self.db().open_sessions().await);
            let unknown =
                |error: &Error| warn!("cannot determine until when the previous bot was watching: {error}");
            sessions.inspect_err(unknown).ok()?.iter().map(|session| session.watched_until).min()
        };
        let asked = Arc::clone(&self.inner.last_heartbeat.lock());
        *asked.get_or_init(ask).await
    }
}

impl<S> Context<S> {
    /// Another bot leads: its time of watching is asked for anew.
    pub(super) fn forget_heartbeat(&self) {
        *self.inner.last_heartbeat.lock() = Arc::default();
    }
}

impl<S> Clone for Context<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<S> fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("identity", &self.inner.identity)
            .field("room", &self.inner.room)
            .finish()
    }
}

/// Untrusted text, shortened and escaped for the log.
pub(super) fn brief(text: &str) -> impl fmt::Display + '_ {
    const LONGEST: usize = 80;
    fmt::from_fn(move |f| {
        text.chars().take(LONGEST).try_for_each(|c| write!(f, "{}", c.escape_debug()))?;
        f.write_str(if text.chars().nth(LONGEST).is_some() { "…" } else { "" })
    })
}
