//! What is known of the connection and of the service behind it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use tokio::sync::{Notify, watch};

use crate::error::{Cause, Code};

/// Who serves our subjects, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Recognition {
    /// Not known yet, or not any more.
    #[default]
    Unknown,
    /// Nobody listens, or whoever listens is not our service, or it does not answer in time.
    Absent,
    /// Our database service, on this database.
    Ours {
        /// The `database_id` that its database was given at its creation.
        database: String,
    },
}

/// What is known of the connection and of the service behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether the connection is up.
    pub connected: bool,
    /// Whether the server lets us send; a denied subject stays denied until the next connection.
    pub denied: bool,
    /// Whether the server refuses our user or password.
    pub refused: bool,
    /// Who serves our subjects.
    pub service: Recognition,
}

impl Status {
    /// Whether requests are sent at all.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.connected && !self.denied && matches!(self.service, Recognition::Ours { .. })
    }

    /// The database of the service, if it is recognised.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        match &self.service {
            Recognition::Ours { database } => Some(database),
            _ => None,
        }
    }
}

/// The status, and the same in one byte for the way of every request.
#[derive(Debug)]
pub(super) struct Health {
    status: watch::Sender<Status>,
    gate: AtomicU8,
    /// Asks for a ping at once.
    pub(super) recheck: Notify,
    other_database_named: AtomicBool,
}

const OPEN: u8 = 0;
const DISCONNECTED: u8 = 1;
const DENIED: u8 = 2;
const UNRECOGNISED: u8 = 3;
const REFUSED: u8 = 4;

impl Health {
    pub(super) fn new() -> Self {
        Self {
            status: watch::Sender::new(Status::default()),
            gate: AtomicU8::new(DISCONNECTED),
            recheck: Notify::new(),
            other_database_named: AtomicBool::new(false),
        }
    }

    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Changes the status. Answers with the one before, if it changed.
    pub(super) fn update(&self, change: impl FnOnce(&mut Status)) -> Option<Status> {
        let mut before = None;
        self.status.send_if_modified(|status| {
            let old = status.clone();
            change(status);
            let gate = match status {
                Status { refused: true, .. } => REFUSED,
                Status { connected: false, .. } => DISCONNECTED,
                Status { denied: true, .. } => DENIED,
                Status { service: Recognition::Ours { .. }, .. } => OPEN,
                Status { .. } => UNRECOGNISED,
            };
            self.gate.store(gate, Ordering::Release);
            let changed = *status != old;
            before = changed.then_some(old);
            changed
        });
        before
    }

    /// Whether a request may be sent. No lock.
    pub(super) fn usable(&self) -> Result<(), Cause> {
        let why = match self.gate.load(Ordering::Acquire) {
            OPEN => return Ok(()),
            DISCONNECTED => "not connected to NATS",
            REFUSED => "the NATS server refuses our user or password",
            DENIED => "the NATS server denies us these subjects",
            _ => "no database service of ours has answered on NATS",
        };
        Err(Cause::new(Code::UNAVAILABLE, why))
    }

    /// A ping was answered, or was not, while connected.
    pub(super) fn found(&self, service: Recognition) {
        let before = self.update(|status| {
            // A ping that was lost with its connection says nothing of the next one.
            if status.connected {
                status.service = service.clone();
            }
        });
        match (before.map(|status| status.service), &service) {
            (Some(_), Recognition::Ours { database }) => {
                tracing::info!(database, "the database service answers on NATS");
            }
            (Some(Recognition::Ours { .. }), _) => {
                tracing::warn!("the database service does not answer on NATS any more");
            }
            _ => {}
        }
    }

    /// A request found nobody: the next one need not try, until a ping says otherwise.
    pub(super) fn nobody_there(&self) {
        self.found(Recognition::Absent);
        self.recheck.notify_one();
    }

    /// Whether a reply is from the recognised database. One from another database means that two services share the
    /// work of one channel: nothing more is sent until a ping says who is there.
    pub(super) fn served_by(&self, database: Option<&str>) -> bool {
        // Recognition that was lost in the meantime takes nothing from an answer.
        let known = self.status.borrow().database().map(str::to_owned);
        let same = known.as_deref().is_none_or(|known| Some(known) == database);
        if !same {
            if !self.other_database_named.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    known,
                    other = database,
                    "two database services on different databases answer on NATS; stop one of them"
                );
            }
            self.nobody_there();
        }
        same
    }
}
