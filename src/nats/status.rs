//! The state of the connection, of the service behind it, and of its stream.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::stored::StreamMatch;
use crate::error::{Cause, Code};
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

    fn disconnected(&self) -> Cow<'static, str> {
        match &self.failure {
            Some(failure) => Cow::Owned(format!("not connected to NATS: {failure}")),
            None => Cow::Borrowed("not connected to NATS"),
        }
    }

    fn gate(&self, kind: Kind) -> u8 {
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

/// Where a request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// To the service, which answers.
    Service,
    /// To the service's stream, which stores the event.
    Stream,
}

/// The status, and a copy of it in two bytes that routes every request without a lock.
#[derive(Debug)]
pub(super) struct Health {
    status: watch::Sender<Status>,
    /// What the status means for requests.
    told: watch::Sender<health::Health>,
    /// The route of events.
    events: AtomicU8,
    /// The route of calls and queries.
    others: AtomicU8,
    /// The highest stream sequence acknowledged to this client.
    stored: AtomicU64,
    /// Requests a ping at once.
    pub(super) recheck: Notify,
    other_database_named: AtomicBool,
    /// Whether the service reads an operation's id from its own header.
    keyed: AtomicBool,
    /// How many more pings must be answered by a service that names the operation in its answers, until all answers
    /// must name it.
    unnamed: AtomicU32,
    /// The subjects that the server denies on this connection.
    denials: Denials,
}

/// Subjects that the server denies.
#[derive(Debug, Default)]
struct Denials {
    any: AtomicBool,
    subjects: Mutex<HashSet<String>>,
}

/// The refusal of a request on a denied subject.
pub(super) fn denied(subject: &str) -> Cause {
    Cause::new(
        Code::UNAVAILABLE,
        format!(
            "the NATS server denies us the subject {subject}: our user needs the permission to publish to it"
        ),
    )
}

/// No ping was answered over this connection.
const UNKNOWN: u32 = u32::MAX;
/// How many pings an instance is remembered that does not name the operation in its answers.
const REMEMBERED: u32 = 20;

const SERVICE: u8 = 0;
const STREAM: u8 = 1;
const DISCONNECTED: u8 = 2;
const DENIED: u8 = 3;
const UNRECOGNISED: u8 = 4;
const REFUSED: u8 = 5;
const NO_STREAM: u8 = 6;
const ANOTHER: u8 = 7;
const FOREIGN: u8 = 8;

/// Why a gate other than `SERVICE`, `STREAM` and `DISCONNECTED` lets nothing through.
fn reason(gate: u8) -> &'static str {
    match gate {
        REFUSED => "the NATS server refuses our user or password",
        DENIED => "the NATS server denies us the reply inbox or the service's ping",
        NO_STREAM => "the stream that takes events is not there",
        FOREIGN => {
            "another service answers on these subjects as well, and what is sent there may go to its database"
        }
        ANOTHER => "the stream on NATS belongs to another database than the service",
        _ => "no database service of ours has answered on NATS",
    }
}

impl Health {
    pub(super) fn new() -> Self {
        Self {
            status: watch::Sender::new(Status::default()),
            told: watch::Sender::new(Status::default().health()),
            events: AtomicU8::new(DISCONNECTED),
            others: AtomicU8::new(DISCONNECTED),
            stored: AtomicU64::new(0),
            recheck: Notify::new(),
            other_database_named: AtomicBool::new(false),
            keyed: AtomicBool::new(false),
            unnamed: AtomicU32::new(UNKNOWN),
            denials: Denials::default(),
        }
    }

    /// Whether the service reads an operation's id from its own header; only then may the stream's header
    /// carry a key. This is what the last service on this connection has said; the instance that reads the
    /// stream later is no older.
    pub(super) fn keyed(&self) -> bool {
        self.keyed.load(Ordering::Acquire)
    }

    pub(super) fn set_keyed(&self, keyed: bool) {
        self.keyed.store(keyed, Ordering::Release);
    }

    /// Whether our service names in each answer the operation that it answers.
    pub(super) fn names_operations(&self) -> bool {
        self.unnamed.load(Ordering::Acquire) == 0
    }

    /// Records whether the instance that answered a ping does so. Instances of several versions may share the
    /// requests while they are upgraded: an older one is remembered for some pings.
    pub(super) fn set_names_operations(&self, names: bool) {
        let next = |left| match (names, left) {
            (false, _) => Some(REMEMBERED),
            (true, UNKNOWN) => Some(0),
            (true, left) => Some(left.saturating_sub(1)),
        };
        let _ = self.unnamed.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }

    /// Records that the server denies publishing to this subject.
    pub(super) fn deny(&self, subject: &str) {
        self.denials.subjects.lock().insert(subject.to_owned());
        self.denials.any.store(true, Ordering::Release);
    }

    /// Whether the server denies publishing to this subject. Takes no lock unless something is denied.
    pub(super) fn denies(&self, subject: &str) -> bool {
        self.denials.any.load(Ordering::Acquire) && self.denials.subjects.lock().contains(subject)
    }

    /// Resets what belongs to one connection: the next one may have another user, or another server.
    pub(super) fn begin_again(&self) {
        self.set_keyed(false);
        self.unnamed.store(UNKNOWN, Ordering::Release);
        self.denials.subjects.lock().clear();
        self.denials.any.store(false, Ordering::Release);
    }

    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(super) fn told(&self) -> watch::Receiver<health::Health> {
        self.told.subscribe()
    }

    /// Changes the status. Returns the previous one if it changed.
    pub(super) fn update(&self, change: impl FnOnce(&mut Status)) -> Option<Status> {
        let mut before = None;
        self.status.send_if_modified(|status| {
            let old = status.clone();
            change(status);
            self.events.store(status.gate(Kind::Event), Ordering::Release);
            self.others.store(status.gate(Kind::Query), Ordering::Release);
            let changed = *status != old;
            if changed {
                self.told.send_if_modified(|told| told.follow(status.health()));
            }
            before = changed.then_some(old);
            changed
        });
        before
    }

    /// Where a request of this kind may be sent. Takes no lock.
    pub(super) fn way(&self, kind: Kind) -> Result<Route, Cause> {
        let gate = if kind == Kind::Event { &self.events } else { &self.others };
        match gate.load(Ordering::Acquire) {
            SERVICE => Ok(Route::Service),
            STREAM => Ok(Route::Stream),
            DISCONNECTED => Err(self.disconnected()),
            gate => Err(Cause::new(Code::UNAVAILABLE, reason(gate))),
        }
    }

    /// The refusal while there is no connection.
    pub(super) fn disconnected(&self) -> Cause {
        Cause::new(Code::UNAVAILABLE, self.status.borrow().disconnected())
    }

    /// Records the result of a ping on a live connection.
    pub(super) fn found(&self, service: Recognition) {
        let before = self.update(|status| {
            // A ping that was lost with its connection says nothing about the next one.
            if status.connected {
                status.service = service.clone();
            }
        });
        match (before.map(|status| status.service), &service) {
            (Some(_), Recognition::Ours { database, mode }) => {
                tracing::info!(database, mode = mode.as_str(), "the database service answers on NATS");
            }
            (Some(Recognition::Ours { .. }), _) => {
                tracing::warn!(
                    "the database service no longer answers on NATS; requests that need it are not sent there until it does"
                );
            }
            _ => {}
        }
    }

    /// Records whether another service answers beside ours.
    pub(super) fn beside(&self, foreign: bool) {
        if self.update(|status| status.foreign = foreign).is_some() {
            if foreign {
                tracing::error!(
                    "another service answers on the subjects of the database service: nothing is sent to NATS until it is \
                     gone"
                );
            } else {
                tracing::info!("the other service no longer answers on the subjects of the database service");
            }
        }
    }

    /// Records which instance has answered, and which file it has open.
    pub(super) fn instance_is(&self, id: &str, seen: i64, file: &str) {
        let instance = (!id.is_empty() && seen != 0).then(|| (id.to_owned(), seen));
        let file = (!file.is_empty()).then(|| file.to_owned());
        self.update(|status| {
            status.instance.clone_from(&instance);
            status.file.clone_from(&file);
        });
    }

    /// Records the result of looking for the stream on a live connection.
    pub(super) fn found_stream(&self, stream: Option<StreamMatch>, last: &mut Option<StreamMatch>) {
        if let Some(found) = stream.as_ref().filter(|found| last.as_ref() != Some(found)) {
            // A stream that was created again starts at sequence 1: waiting for an old number would never
            // end.
            if last.is_some() {
                self.stored.store(0, Ordering::Release);
            }
            *last = Some(found.clone());
        }
        self.stream_of(stream.map(|found| found.database));
    }

    /// Records the database whose stream takes events, or that none does.
    pub(super) fn stream_of(&self, database: Option<String>) {
        let before = self.update(|status| {
            if status.connected {
                status.stream.clone_from(&database);
            }
        });
        match (before.map(|status| status.stream), database) {
            (Some(None), Some(database)) => tracing::info!(database, "the stream on NATS takes events"),
            (Some(Some(_)), None) => {
                tracing::warn!("the stream on NATS is gone: no events are sent there until it is back")
            }
            _ => {}
        }
    }

    /// Records that a request found no responders: further requests are refused until a ping succeeds.
    pub(super) fn no_responders(&self, way: Route) {
        match way {
            Route::Service => self.found(Recognition::Absent),
            Route::Stream => self.stream_of(None),
        }
        self.recheck.notify_one();
    }

    /// Records that an event was stored under this sequence.
    pub(super) fn note_stored(&self, sequence: u64) {
        self.stored.fetch_max(sequence, Ordering::AcqRel);
    }

    /// The highest stream sequence acknowledged to this client; 0 if there is none.
    pub(super) fn last_stored(&self) -> u64 {
        self.stored.load(Ordering::Acquire)
    }

    /// Whether a reply is from the recognised database. A reply from another database means that two services
    /// share the work of one channel: nothing more is sent until a ping has determined which one answers.
    pub(super) fn served_by(&self, database: Option<&str>) -> bool {
        // If recognition has been lost in the meantime, the answer still counts.
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
            self.no_responders(Route::Service);
        }
        same
    }
}
