//! The state of the connection, of the service behind it, and of its stream.

use std::borrow::Cow;

use crate::health::{self, Database};
use crate::operation::Kind;
use crate::reply::Via;

/// How a service takes events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mode {
    /// By request and reply: an event is acknowledged when it is committed.
    #[default]
    Core,
    /// From its stream: an event is acknowledged when it is stored there.
    JetStream,
}

impl Mode {
    /// `core` or `jetstream`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::JetStream => "jetstream",
        }
    }

    /// The mode of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Core, Self::JetStream].into_iter().find(|mode| mode.as_str() == name)
    }
}

/// Who serves our subjects, as far as the client knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recognition {
    /// Not known yet, or no longer known.
    #[default]
    Unknown,
    /// No service listens, or the one that listens is not ours, or it does not answer in time.
    Absent,
    /// Our database service, on this database.
    Ours {
        /// The `database_id` that the database was given when it was created.
        database: String,
        /// How the service takes events.
        mode: Mode,
    },
}

/// The state of the connection, of the service behind it, and of its stream: what [`health`](Self::health) is concluded from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Whether the connection is up.
    pub connected: bool,
    /// Whether the server denies a subject that the client needs; a denied subject stays denied until the
    /// next connection. A denied operation subject keeps only that operation from this path.
    pub denied: bool,
    /// Whether the server denies a subject without which nothing can be sent: the reply inbox, or the
    /// service's ping.
    pub shut: bool,
    /// Whether the server refuses the client's user or password.
    pub refused: bool,
    /// Why the last attempt to connect failed; `None` while connected.
    pub failure: Option<String>,
    /// Who serves our subjects.
    pub service: Recognition,
    /// The database of the service's stream, while the stream is known to exist and to be read. The stream
    /// may exist while no service runs.
    pub stream: Option<String>,
    /// Whether another service also answers on our subjects; nothing is sent while it does.
    pub foreign: bool,
    /// The instance that answered last, and when it was last recorded in its database; `None` if the service
    /// does not say so.
    pub instance: Option<(String, i64)>,
    /// The file that instance has open, as the operating system of its machine identifies it; `None` if the
    /// service does not say so.
    pub file: Option<String>,
}

impl Status {
    /// Whether requests of every kind are sent.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.takes(Kind::Query) && self.takes(Kind::Event)
    }

    /// Whether requests of this kind are sent.
    #[must_use]
    pub fn takes(&self, kind: Kind) -> bool {
        matches!(self.gate(kind), SERVICE | STREAM)
    }

    /// The database of the service, or of its stream while no service answers.
    #[must_use]
    pub fn database(&self) -> Option<&str> {
        match &self.service {
            Recognition::Ours { database, .. } => Some(database),
            _ => self.stream.as_deref(),
        }
    }

    /// Whether there is a reason to give up waiting: connecting fails, or the connection is up and no service
    /// answers.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        self.refused || self.shut || self.failure.is_some() || self.service == Recognition::Absent
    }

    /// Why requests of this kind are not sent; none, if they are.
    #[must_use]
    pub fn why_not(&self, kind: Kind) -> Option<Cow<'static, str>> {
        match self.gate(kind) {
            SERVICE | STREAM => None,
            DISCONNECTED => Some(self.disconnected()),
            gate => Some(Cow::Borrowed(reason(gate))),
        }
    }

    /// The same for requests of all kinds, and the database that is behind it.
    #[must_use]
    pub fn health(&self) -> health::Health {
        let database = self.database().map(|id| Database {
            id: id.to_owned(),
            instance: self.instance.clone(),
            file: self.file.clone(),
        });
        health::Health::of_path(Via::NATS, |kind| self.why_not(kind).map(Cow::into_owned))
            .with_database(database)
    }

    pub(super) fn disconnected(&self) -> Cow<'static, str> {
        match &self.failure {
            Some(failure) => Cow::Owned(format!("not connected to NATS: {failure}")),
            None => Cow::Borrowed(
                "not connected to NATS: an attempt is under way; if it lasts, neither the server nor the resolver of its \
                 host name answers",
            ),
        }
    }

    pub(super) fn gate(&self, kind: Kind) -> u8 {
        match (self, kind) {
            (Self { refused: true, .. }, _) => REFUSED,
            (Self { connected: false, .. }, _) => DISCONNECTED,
            (Self { shut: true, .. }, _) => DENIED,
            (Self { foreign: true, .. }, _) => FOREIGN,
            (
                Self { service: Recognition::Ours { mode: Mode::JetStream, database }, stream, .. },
                Kind::Event,
            ) => match stream {
                Some(stream) if stream == database => STREAM,
                Some(_) => ANOTHER,
                None => NO_STREAM,
            },
            (Self { service: Recognition::Ours { .. }, .. }, _) => SERVICE,
            (Self { stream: Some(_), .. }, Kind::Event) => STREAM,
            _ => UNRECOGNISED,
        }
    }
}

pub(super) const SERVICE: u8 = 0;
pub(super) const STREAM: u8 = 1;
pub(super) const DISCONNECTED: u8 = 2;
pub(super) const DENIED: u8 = 3;
pub(super) const UNRECOGNISED: u8 = 4;
pub(super) const REFUSED: u8 = 5;
pub(super) const NO_STREAM: u8 = 6;
pub(super) const ANOTHER: u8 = 7;
pub(super) const FOREIGN: u8 = 8;

/// Why a gate other than `SERVICE`, `STREAM` and `DISCONNECTED` lets nothing through.
pub(super) fn reason(gate: u8) -> &'static str {
    match gate {
        REFUSED => "the NATS server refuses our user, password or key",
        DENIED => "the NATS server denies us the reply inbox or the service's ping",
        NO_STREAM => "the stream that takes events is not there",
        FOREIGN => {
            "another service answers on these subjects as well, and what is sent there may go to its database"
        }
        ANOTHER => "the stream on NATS belongs to another database than the service",
        _ => "no database service of ours has answered on NATS",
    }
}
