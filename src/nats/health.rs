//! The status of a path over NATS, shared by all requests: where each is sent, and what the client knows of the service.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::bundle::Offer;
use super::inbox::Unbundled;
use super::status::{DISCONNECTED, Recognition, SERVICE, STREAM, Status, reason};
use super::stored::StreamMatch;
use crate::error::{Cause, Code};
use crate::health;
use crate::operation::Kind;

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
    sender: watch::Sender<health::Health>,
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
    /// What was offered last, and how many more pings must be answered with an offer until bundles are sent.
    offer: Mutex<Option<Offer>>,
    unbundled: AtomicU32,
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

/// Counts down the pings until all instances are taken to have what the last one has.
fn remember(missing: &AtomicU32, has: bool) {
    let next = |left| match (has, left) {
        (false, _) => Some(REMEMBERED),
        (true, UNKNOWN) => Some(0),
        (true, left) => Some(left.saturating_sub(1)),
    };
    let _ = missing.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
}

/// No ping was answered over this connection.
const UNKNOWN: u32 = u32::MAX;
/// How many pings an instance is remembered that does not name the operation in its answers.
const REMEMBERED: u32 = 20;

impl Health {
    pub(super) fn new() -> Self {
        Self {
            status: watch::Sender::new(Status::default()),
            sender: watch::Sender::new(Status::default().health()),
            events: AtomicU8::new(DISCONNECTED),
            others: AtomicU8::new(DISCONNECTED),
            stored: AtomicU64::new(0),
            recheck: Notify::new(),
            other_database_named: AtomicBool::new(false),
            keyed: AtomicBool::new(false),
            unnamed: AtomicU32::new(UNKNOWN),
            offer: Mutex::default(),
            unbundled: AtomicU32::new(UNKNOWN),
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
        remember(&self.unnamed, names);
    }

    /// The bundles that may be sent there, if any may. Takes no lock where none may.
    pub(super) fn bundles(&self, way: Route) -> Option<Offer> {
        let offer = if self.unbundled.load(Ordering::Acquire) == 0 { *self.offer.lock() } else { None };
        offer.filter(|offer| way == Route::Service || offer.stream)
    }

    /// Records what the instance that answered a ping offers. One that offers nothing is remembered for some pings, as an older one
    /// is above.
    pub(super) fn set_offer(&self, offer: Option<Offer>) {
        *self.offer.lock() = offer;
        remember(&self.unbundled, offer.is_some());
    }

    /// Records that no service answers: what will take a bundle then is not known.
    pub(super) fn no_offer(&self) {
        *self.offer.lock() = None;
    }

    /// Records that a bundle was not taken: none is sent until the next offer, or for some pings, if one does not know what it is.
    pub(super) fn not_bundled(&self, why: Unbundled) {
        match why {
            Unbundled::NoResponders => self.no_offer(),
            Unbundled::Refused => {
                if self.unbundled.swap(REMEMBERED, Ordering::AcqRel) == 0 {
                    tracing::info!("bundles of operations are not taken on NATS now: each is sent alone");
                }
            }
        }
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
        self.unbundled.store(UNKNOWN, Ordering::Release);
        self.no_offer();
        self.denials.subjects.lock().clear();
        self.denials.any.store(false, Ordering::Release);
    }

    pub(super) fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    pub(super) fn watch_health(&self) -> watch::Receiver<health::Health> {
        self.sender.subscribe()
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
                self.sender.send_if_modified(|health| health.update(status.health()));
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
    pub(super) fn set_foreign(&self, foreign: bool) {
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
