//! When the next path starts beside one that is late.

use std::time::Duration;

use eitherway_layers::hedge::{self, Budget, Config, Counts, Pace};
use eitherway_layers::{Class, Classify};
use tokio::sync::watch;

use super::bus::LateAnswers;
use super::{Circuits, Queries};
use crate::error::{Cause, Code, Error};
use crate::operation::{Kind, Operation};
use crate::reply::Via;
use crate::request::Request;
use crate::trace::TARGET;

/// When a stack sends an operation to the next path because the one before is late: **hedging**. The ledger makes the second
/// effect of an operation impossible, so that it may run on two paths at once; the first success is the reply, and the other
/// path is not waited for.
///
/// By default an operation that NATS has not answered starts on the database after four times the 99th percentile of NATS's
/// recent durations, not before 15 ms nor after 60 ms. While NATS answers other operations, hedges have a budget (one for ten
/// answers, and ten a second), and an operation that has waited for 100 ms is hedged whatever the budget says. An event starts
/// in the outbox after 90 ms, if nothing has answered an event meanwhile; where something has, so do up to ten in a second, because
/// the message or the answer of one event alone may be lost.
///
/// So an event or a query waits at most 150 ms for a fault of one path, on a machine that has time for it. A call that both paths
/// keep waiting, because the database is locked, is given up after 450 ms, or with the refusal of the database if that is later:
/// with the usual time for a lock after half a second at most. Where NATS has not answered by then, the error is of class
/// [`Unknown`](crate::Class::Unknown), because the service may still apply the call. A database that is not the service's is not
/// written to: its path refuses.
///
/// ```
/// use eitherway::stack::{Hedging, StackBuilder};
/// use std::time::Duration;
///
/// let far_away = Hedging::new().database_after(Duration::from_millis(400)).outbox_after(Duration::from_secs(1));
/// let stack = StackBuilder::new().hedging(far_away);
/// let as_fallback_only = StackBuilder::new().hedging(Hedging::off());
/// # drop((stack, as_fallback_only));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Hedging {
    next: Option<Config>,
    outbox: Option<Duration>,
}

/// An operation that has waited this long is hedged in any case.
const OVERDUE: Duration = Duration::from_millis(100);

/// How long an operation waits for NATS that the database could not take: a call that the lock of the database keeps waiting, which
/// is longer than the service waits for the same lock; and any other operation while NATS answers no request.
const PATIENCE: Duration = Duration::from_millis(450);

/// When an event starts in the outbox.
const OUTBOX: Duration = Duration::from_millis(90);

/// How many may in a second although other events are answered: enough for what is lost now and then, and no load where all
/// are slow.
const OUTBOX_BUDGET: Budget = Budget::new(0.0, 10, 10);

/// The same while both paths are known to be silent.
const OUTBOX_SILENT: Duration = Duration::from_millis(10);

impl Default for Hedging {
    fn default() -> Self {
        Self::new()
    }
}

impl Hedging {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: Some(Config::new().overdue(OVERDUE).patience(PATIENCE)), outbox: Some(OUTBOX) }
    }

    /// No hedges: the next path starts when the one before has failed, which for a path that is silent takes its time-out, or
    /// until the probes notice it.
    #[must_use]
    pub const fn off() -> Self {
        Self { next: None, outbox: None }
    }

    /// The database starts by this configuration; never before NATS has failed, if there is none.
    #[must_use]
    pub fn database(self, config: impl Into<Option<Config>>) -> Self {
        Self { next: config.into(), ..self }
    }

    /// The database starts always after this time, within the budget.
    #[must_use]
    pub fn database_after(self, delay: Duration) -> Self {
        // A NATS that may take so long before it is late may take longer before it is given up.
        let patience = PATIENCE.max(delay.saturating_mul(2));
        self.database(Config::new().after(delay).overdue(OVERDUE.max(delay)).patience(patience))
    }

    /// Every operation runs on both paths at once, without a budget: for tests.
    #[must_use]
    pub fn database_always(self) -> Self {
        self.database(Config::new().after(Duration::ZERO).budget(Budget::unlimited()))
    }

    /// The outbox starts after this time, if nothing has answered an event meanwhile, or for up to ten events in a second; never
    /// before the other paths have failed, if there is none.
    #[must_use]
    pub fn outbox_after(self, delay: impl Into<Option<Duration>>) -> Self {
        Self { outbox: delay.into(), ..self }
    }
}

/// What a stack knows of its paths, by which it hedges. Clones share it.
#[derive(Clone, Debug)]
pub struct Hedges {
    events: Option<Pace>,
    requests: Option<Pace>,
    queries: Option<Pace>,
    outbox: Option<Pace>,
    bus: Via,
    queries_first: Queries,
}

/// What hedges a stack has started, and what came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HedgeCounts {
    /// Events that started on the database beside NATS.
    pub events: Counts,
    /// Calls and queries, likewise.
    pub requests: Counts,
    /// With [`Queries::Db`]: queries that started over NATS beside the database.
    pub queries: Counts,
    /// Events that started in the outbox beside the other paths.
    pub outbox: Counts,
}

impl Hedges {
    pub(super) fn new(hedging: Hedging, bus: Via, queries_first: Queries, prefix: &'static str) -> Self {
        let next = |path| hedging.next.map(|config| Pace::new(config).metered(prefix, path));
        let last =
            |delay| Config::new().after(delay).budget(OUTBOX_BUDGET).while_silent(OUTBOX_SILENT.min(delay));
        Self {
            events: next("events"),
            requests: next("requests"),
            queries: next("queries"),
            outbox: hedging.outbox.map(|delay| Pace::new(last(delay)).metered(prefix, "outbox")),
            bus,
            queries_first,
        }
    }

    /// The same, where a path that is silent opens its circuit.
    pub(super) fn with_circuits(self, circuits: &Circuits) -> Self {
        Self {
            events: self.events.map(|pace| pace.with_circuit(circuits.events.clone())),
            requests: self.requests.map(|pace| pace.with_circuit(circuits.requests.clone())),
            ..self
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> HedgeCounts {
        let of = |pace: &Option<Pace>| pace.as_ref().map(Pace::counts).unwrap_or_default();
        HedgeCounts {
            events: of(&self.events),
            requests: of(&self.requests),
            queries: of(&self.queries),
            outbox: of(&self.outbox),
        }
    }

    /// Watches which answers come too late, until the channel closes: a path whose answers are only late is not silent. Without
    /// this, one that is slower than its hedges looks dead, and its circuit opens.
    ///
    /// Spawns a task, so it must be called within a tokio runtime.
    pub fn bind_late(&self, mut late: watch::Receiver<LateAnswers>) {
        let hedges = self.clone();
        tokio::spawn(async move {
            let mut before = *late.borrow_and_update();
            while late.changed().await.is_ok() {
                let now = *late.borrow_and_update();
                for (pace, heard) in [
                    (&hedges.events, now.events != before.events),
                    (&hedges.requests, now.requests != before.requests),
                ] {
                    pace.iter().filter(|_| heard).for_each(Pace::heard);
                }
                before = now;
            }
        });
    }

    /// How many were won by the path with this tag: of events, or of the kinds of another part (`StackBuilder::total`).
    pub(super) fn won(&self, part: usize, tag: &str) -> u64 {
        let HedgeCounts { events, requests, queries, outbox } = self.counts();
        match part {
            0 if tag == Via::OUTBOX.tag() => outbox.won,
            0 if tag == Via::DB.tag() => events.won,
            1 if tag == Via::DB.tag() => requests.won,
            2 if tag == self.bus.tag() => queries.won,
            _ => 0,
        }
    }

    /// The replay of the outbox has got through.
    pub(super) fn replayed(&self) {
        self.outbox.iter().for_each(Pace::heard);
    }

    fn next(&self, kind: Kind) -> Option<&Pace> {
        match kind {
            Kind::Event => self.events.as_ref(),
            Kind::Query if self.queries_first == Queries::Db => self.queries.as_ref(),
            Kind::Call | Kind::Query => self.requests.as_ref(),
        }
    }
}

fn kind<O: Operation>(request: &Request<O>) -> Kind {
    request.op.spec().kind
}

fn took<O: Operation>(request: &Request<O>, late: &'static str, by: &'static str) {
    tracing::debug!(target: TARGET, id = %request.head.id, "{late} late, {by} took it: {}", request.op.spec().name);
}

/// From NATS to the database; or from the database to NATS, for queries that are read there first.
#[derive(Clone, Debug)]
pub(super) struct ToNext(pub(super) Hedges);

impl<O: Operation> hedge::Hedging<Request<O>, Error<O>, Error<O>> for ToNext {
    fn pace(&self, request: &Request<O>) -> Option<&Pace> {
        self.0.next(kind(request))
    }

    fn answers(&self, error: &Error<O>) -> bool {
        matches!(error.class(), Class::Backend | Class::Rejected) || error.cause().code() == Code::UNREADABLE
    }

    fn refuses(&self, error: &Error<O>) -> bool {
        error.class() == Class::Rejected
    }

    /// Both paths lead to the same database, and to the same lock.
    fn concerns_both(&self, error: &Error<O>) -> bool {
        error.cause().code() == Code::BUSY
    }

    /// Where the database says itself that it cannot, a service that is silent for long, or waits for the same, has nothing
    /// better to say.
    fn gives_up(&self, error: &Error<O>, waited: Duration) -> Option<Error<O>> {
        (error.class() == Class::Backend).then(|| Cause::Elapsed(waited).into())
    }

    fn won(&self, request: &Request<O>) {
        let (bus, db) = (self.0.bus.tag(), Via::DB.tag());
        match (kind(request), self.0.queries_first) {
            (Kind::Query, Queries::Db) => took(request, db, bus),
            _ => took(request, bus, db),
        }
    }
}

/// From the other paths to the outbox.
#[derive(Clone, Debug)]
pub(super) struct ToOutbox(pub(super) Hedges);

impl<O: Operation, E: Classify> hedge::Hedging<Request<O>, E, Error<O>> for ToOutbox {
    fn pace(&self, request: &Request<O>) -> Option<&Pace> {
        self.0.outbox.as_ref().filter(|_| kind(request) == Kind::Event)
    }

    /// A database that is locked answers too, and takes nothing.
    fn answers(&self, error: &E) -> bool {
        error.class() == Class::Rejected
    }

    /// What the outbox cannot keep the other paths may still take.
    fn refuses(&self, _: &Error<O>) -> bool {
        false
    }

    fn won(&self, request: &Request<O>) {
        took(request, "the paths are", Via::OUTBOX.tag());
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests;
