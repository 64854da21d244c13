//! Which path serves what, since when, and why not a better one.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use eitherway_layers::breaker::State;
use serde::{Serialize, Serializer};
use tokio::sync::watch;
use tokio::time::{self, MissedTickBehavior};

use crate::clock;
use crate::nats::{NatsService, Status};
use crate::operation::{Kind, Operation, Persist};
use crate::outbox::{Counts, OutboxService};
use crate::reply::Via;
use crate::stack::{Circuits, Direct, Queries};

/// How often is looked at what tells no change by itself.
const LOOK: Duration = Duration::from_millis(500);

/// What is known of the paths: which one the next request of each kind is going to be served by, and why not by one before
/// it. `Display` is one line of it, for people; it can be serialised for programs.
///
/// It is derived from connection, probes, circuits and files. A failure that shows only when a path is used (a locked store,
/// say) is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Of events.
    pub events: Serving,
    /// Of calls.
    pub calls: Serving,
    /// Of queries.
    pub queries: Serving,
    /// The circuit to NATS of events; none without NATS.
    #[serde(serialize_with = "state")]
    pub events_circuit: Option<State>,
    /// The circuit to NATS of calls and queries.
    #[serde(serialize_with = "state")]
    pub requests_circuit: Option<State>,
    /// What the outbox holds, if there is one.
    pub outbox: Option<Counts>,
}

/// How operations of one kind are served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Serving {
    /// The path that serves; none, if all are known not to.
    #[serde(serialize_with = "name_of_some")]
    pub via: Option<Via>,
    /// Since when that is so, in unix milliseconds.
    pub since: i64,
    /// Why the paths before it do not, in the order in which they are asked.
    pub reasons: Vec<Reason>,
}

/// Why a path does not serve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reason {
    /// The path.
    #[serde(serialize_with = "name")]
    pub via: Via,
    /// Why.
    pub why: String,
}

impl Health {
    /// How operations of this kind are served.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> &Serving {
        match kind {
            Kind::Event => &self.events,
            Kind::Call => &self.calls,
            Kind::Query => &self.queries,
        }
    }

    /// Whether there is a path for operations of every kind.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        [&self.events, &self.calls, &self.queries].iter().all(|serving| serving.via.is_some())
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, calls, queries, outbox, .. } = self;
        write!(f, "events: {events}; calls: {calls}; queries: {queries}")?;
        match outbox {
            Some(Counts { waiting, .. }) => write!(f, "; {waiting} wait in the outbox"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.via.map_or("no path", Via::tag))?;
        let mut before = " (";
        for Reason { via, why } in &self.reasons {
            write!(f, "{before}{}: {why}", via.tag())?;
            before = ", ";
        }
        f.write_str(if self.reasons.is_empty() { "" } else { ")" })
    }
}

fn name<S: Serializer>(via: &Via, to: S) -> Result<S::Ok, S::Error> {
    via.as_str().serialize(to)
}

#[allow(clippy::ref_option)] // serde's signature
fn name_of_some<S: Serializer>(via: &Option<Via>, to: S) -> Result<S::Ok, S::Error> {
    via.map(Via::as_str).serialize(to)
}

#[allow(clippy::ref_option)] // serde's signature
fn state<S: Serializer>(state: &Option<State>, to: S) -> Result<S::Ok, S::Error> {
    let name = state.map(|state| match state {
        State::Closed => "closed",
        State::Open => "open",
        State::HalfOpen => "half_open",
        State::Held => "held",
        State::ForcedOpen => "forced_open",
        State::ForcedClosed => "forced_closed",
    });
    name.serialize(to)
}

/// Looks at the parts of a runtime. Clones tell the same.
pub(super) struct Observer<O> {
    nats: Option<watch::Receiver<Status>>,
    circuits: Option<Circuits>,
    direct: Direct<O>,
    outbox: Option<watch::Receiver<Counts>>,
    queries: Queries,
    told: Arc<watch::Sender<Health>>,
}

impl<O> Clone for Observer<O> {
    fn clone(&self) -> Self {
        Self {
            nats: self.nats.clone(),
            circuits: self.circuits.clone(),
            direct: self.direct.clone(),
            outbox: self.outbox.clone(),
            queries: self.queries,
            told: Arc::clone(&self.told),
        }
    }
}

impl<O: Operation> Observer<O> {
    pub(super) fn new(
        nats: Option<&NatsService<O>>,
        circuits: Option<&Circuits>,
        direct: &Direct<O>,
        outbox: Option<&OutboxService<O>>,
        queries: Queries,
    ) -> Self {
        let unseen = || Serving { via: None, since: clock::now(), reasons: Vec::new() };
        let told = watch::Sender::new(Health {
            events: unseen(),
            calls: unseen(),
            queries: unseen(),
            events_circuit: None,
            requests_circuit: None,
            outbox: None,
        });
        Self {
            nats: nats.map(NatsService::status),
            circuits: circuits.cloned(),
            direct: direct.clone(),
            outbox: outbox.map(OutboxService::watch),
            queries,
            told: Arc::new(told),
        }
    }
}

impl<O: Persist> Observer<O> {
    /// What is known now.
    pub(super) fn look(&self) -> Health {
        self.told.send_if_modified(|told| {
            let now = self.seen(told);
            let changed = *told != now;
            *told = now;
            changed
        });
        self.told.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Health> {
        self.look();
        self.told.subscribe()
    }

    /// Looks on every change, until it is dropped.
    pub(super) async fn run(self) {
        let mut status = self.nats.clone();
        let mut circuits =
            self.circuits.as_ref().map(|Circuits { events, requests }| (events.watch(), requests.watch()));
        let mut tick = time::interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.look();
            let of_nats = async {
                let told = match &mut status {
                    Some(status) => status.changed().await.is_ok(),
                    None => false,
                };
                if !told {
                    // It ends with the last clone of the path.
                    pending().await
                }
            };
            let of_circuits = async {
                match &mut circuits {
                    Some((events, requests)) => {
                        tokio::select! { _ = events.changed() => {}, _ = requests.changed() => {} }
                    }
                    None => pending().await,
                }
            };
            tokio::select! {
                () = of_nats => {}
                () = of_circuits => {}
                _ = tick.tick() => {}
            }
        }
    }

    fn seen(&self, before: &Health) -> Health {
        let state = |kind| self.circuits.as_ref().map(|circuits| circuits.of(kind).state());
        Health {
            events: self.serving(Kind::Event, &before.events),
            calls: self.serving(Kind::Call, &before.calls),
            queries: self.serving(Kind::Query, &before.queries),
            events_circuit: state(Kind::Event),
            requests_circuit: state(Kind::Query),
            outbox: self.outbox.as_ref().map(|counts| *counts.borrow()),
        }
    }

    fn serving(&self, kind: Kind, before: &Serving) -> Serving {
        let order = match (kind, self.queries) {
            (Kind::Query, Queries::Db) => [Via::Db, Via::Nats, Via::Outbox],
            _ => [Via::Nats, Via::Db, Via::Outbox],
        };
        let mut reasons = Vec::new();
        let via = order.into_iter().find(|&via| match self.path(via, kind) {
            Path::Serves => true,
            Path::Missing => false,
            Path::Fails(why) => {
                reasons.push(Reason { via, why });
                false
            }
        });
        let since = if via == before.via { before.since } else { clock::now() };
        Serving { via, since, reasons }
    }

    fn path(&self, via: Via, kind: Kind) -> Path {
        let fails = match via {
            Via::Nats => match (&self.nats, &self.circuits) {
                (Some(status), Some(circuits)) => {
                    let why = status.borrow().why_not(kind).map(String::from);
                    why.or_else(|| open(circuits.of(kind).state()))
                }
                _ => return Path::Missing,
            },
            Via::Db => self.direct.why_not(),
            Via::Outbox if self.outbox.is_some() && kind == Kind::Event => None,
            Via::Outbox => return Path::Missing,
        };
        fails.map_or(Path::Serves, Path::Fails)
    }
}

/// What is known of one path.
enum Path {
    Serves,
    /// It is not there, or not for this kind.
    Missing,
    Fails(String),
}

/// Why a circuit in this state keeps requests from its path; none, if it does not.
fn open(state: State) -> Option<String> {
    let why = match state {
        State::Closed | State::HalfOpen | State::ForcedClosed => return None,
        State::Open => "its circuit is open: too many requests had no answer",
        State::Held => "its circuit is open until the service is well",
        State::ForcedOpen => "its circuit was opened by hand",
    };
    Some(why.to_owned())
}
