//! Which path serves what, since when, and why not a better one: one value for a single path, and for all paths of a runtime.
//!
//! ```
//! use eitherway::operation::Kind;
//! use eitherway::{Health, Via};
//!
//! let health = Health::of_path(Via::NATS, |kind| (kind == Kind::Query).then(|| "no service answers".to_owned()));
//! assert!(health.takes(Kind::Event));
//! assert_eq!(health.why_not(Kind::Query), Some("no service answers"));
//! ```

use std::fmt;

use eitherway_layers::breaker::State;
use serde::{Serialize, Serializer};

use crate::clock;
use crate::operation::Kind;
#[cfg(feature = "sqlite")]
use crate::outbox::Counts;
use crate::reply::Via;

/// What is known of a path, or of several: by which one the next request of each kind is going to be served, and why not by
/// one before it. `Display` is one line of it, for people; it can be serialised for programs.
///
/// A [bus](crate::stack::Bus) tells its own, as [`Health::of_path`]; a runtime puts together what its paths tell. It is derived
/// from connection, probes, circuits and files. A failure that shows only when a path is used (a locked store, say) is not
/// part of it.
///
/// ```
/// use eitherway::{Via, health::Health, operation::Kind};
///
/// const QUEUE: Via = Via::new("queue", "[QUEUE]");
/// let health = Health::of_path(QUEUE, |kind| (kind == Kind::Call).then(|| "full".to_owned()));
/// assert!(health.takes(Kind::Event) && !health.takes(Kind::Call));
/// assert_eq!(health.to_string(), "events: [QUEUE]; calls: no path ([QUEUE]: full); queries: [QUEUE]");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// What serves events.
    pub events: Serving,
    /// What serves calls.
    pub calls: Serving,
    /// What serves queries.
    pub queries: Serving,
    /// The database that operations reach, as far as it is known.
    #[serde(serialize_with = "id")]
    pub database: Option<Database>,
    /// The circuit to the bus of events; none without one.
    #[serde(serialize_with = "state")]
    pub events_circuit: Option<State>,
    /// The circuit to the bus of calls and queries.
    #[serde(serialize_with = "state")]
    pub requests_circuit: Option<State>,
    /// What the outbox holds, if there is one.
    #[cfg(feature = "sqlite")]
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
    /// The reason, as a sentence.
    pub why: String,
}

/// A database, as the service in front of it tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// The id that it was given at its creation.
    pub id: String,
    /// The instance that answered last, and when it was last written down in its database
    /// ([`Instances::enrol`](crate::store::Instances::enrol)), in unix milliseconds; none if it does not say.
    pub instance: Option<(String, i64)>,
    /// The file that instance has open ([`Instances::file_id`](crate::store::Instances::file_id)); none if it does not say.
    pub file: Option<String>,
}

impl Serving {
    /// Nothing is known yet, since now.
    pub(crate) fn unknown() -> Self {
        Self { via: None, since: clock::now(), reasons: Vec::new() }
    }

    /// The first path that serves, of what is known of each; why those before it do not. Since when, `before` says, if it is
    /// the same path.
    pub(crate) fn first(paths: impl IntoIterator<Item = (Via, Option<String>)>, before: &Self) -> Self {
        let mut reasons = Vec::new();
        let via = paths.into_iter().find_map(|(via, why)| match why {
            None => Some(via),
            Some(why) => {
                reasons.push(Reason { via, why });
                None
            }
        });
        let since = if via == before.via { before.since } else { clock::now() };
        Self { via, since, reasons }
    }
}

impl Health {
    /// Of one path, since now. `why_not` says for each kind why it does not serve; nothing, if it does.
    pub fn of_path(via: Via, why_not: impl Fn(Kind) -> Option<String>) -> Self {
        let unknown = Serving::unknown();
        let serving = |kind| Serving::first([(via, why_not(kind))], &unknown);
        Self {
            events: serving(Kind::Event),
            calls: serving(Kind::Call),
            queries: serving(Kind::Query),
            ..Self::unknown()
        }
    }

    /// The same, of a path that leads to this database.
    #[must_use]
    pub fn with_database(self, database: Option<Database>) -> Self {
        Self { database, ..self }
    }

    /// Nothing is known yet, since now.
    pub(crate) fn unknown() -> Self {
        Self {
            events: Serving::unknown(),
            calls: Serving::unknown(),
            queries: Serving::unknown(),
            database: None,
            events_circuit: None,
            requests_circuit: None,
            #[cfg(feature = "sqlite")]
            outbox: None,
        }
    }

    /// Takes the place of what was known before; what has not changed stays since then. Returns whether anything has. For the
    /// sender of a watch channel.
    pub fn update(&mut self, mut now: Self) -> bool {
        for kind in [Kind::Event, Kind::Call, Kind::Query] {
            let (before, now) = (self.of(kind), now.of_mut(kind));
            if before.via == now.via {
                now.since = before.since;
            }
        }
        let changed = *self != now;
        *self = now;
        changed
    }

    /// How operations of this kind are served.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> &Serving {
        match kind {
            Kind::Event => &self.events,
            Kind::Call => &self.calls,
            Kind::Query => &self.queries,
        }
    }

    const fn of_mut(&mut self, kind: Kind) -> &mut Serving {
        match kind {
            Kind::Event => &mut self.events,
            Kind::Call => &mut self.calls,
            Kind::Query => &mut self.queries,
        }
    }

    /// Whether there is a path for operations of this kind.
    #[must_use]
    pub const fn takes(&self, kind: Kind) -> bool {
        self.of(kind).via.is_some()
    }

    /// Whether there is a path for operations of every kind.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.takes(Kind::Event) && self.takes(Kind::Call) && self.takes(Kind::Query)
    }

    /// Why the first path does not serve operations of this kind; none, if it does, or nothing is known.
    #[must_use]
    pub fn why_not(&self, kind: Kind) -> Option<&str> {
        self.of(kind).reasons.first().map(|reason| reason.why.as_str())
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, calls, queries, .. } = self;
        write!(f, "events: {events}; calls: {calls}; queries: {queries}")?;
        #[cfg(feature = "sqlite")]
        if let Some(Counts { waiting, .. }) = &self.outbox {
            write!(f, "; {waiting} wait in the outbox")?;
        }
        Ok(())
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
    state.map(State::as_str).serialize(to)
}

#[allow(clippy::ref_option)] // serde's signature
fn id<S: Serializer>(database: &Option<Database>, to: S) -> Result<S::Ok, S::Error> {
    database.as_ref().map(|database| &database.id).serialize(to)
}
