//! Puts together what the parts of a runtime tell of themselves.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use eitherway_layers::breaker::State;
use tokio::sync::watch;
use tokio::time::{self, MissedTickBehavior};

use crate::health::{Database, Health, Serving};
use crate::operation::{Kind, Operation};
use crate::outbox::{Counts, OutboxService};
use crate::reply::Via;
use crate::stack::{Bus, Circuits, GuardedStore, Queries};
use crate::store::Store;

/// How often is looked at what tells no change by itself.
const LOOK: Duration = Duration::from_millis(500);

/// Looks at the parts of a runtime. Clones tell the same.
pub(super) struct Observer<O, D> {
    bus: Option<(Via, watch::Receiver<Health>)>,
    circuits: Option<Circuits>,
    direct: GuardedStore<O, D>,
    outbox: Option<watch::Receiver<Counts>>,
    queries: Queries,
    published: Arc<watch::Sender<Health>>,
}

impl<O, D> Clone for Observer<O, D> {
    fn clone(&self) -> Self {
        Self {
            bus: self.bus.clone(),
            circuits: self.circuits.clone(),
            direct: self.direct.clone(),
            outbox: self.outbox.clone(),
            queries: self.queries,
            published: Arc::clone(&self.published),
        }
    }
}

impl<O: Operation, D: Store<O>> Observer<O, D> {
    pub(super) fn new(
        bus: Option<&impl Bus<O>>,
        circuits: Option<&Circuits>,
        direct: &GuardedStore<O, D>,
        outbox: Option<&OutboxService<O>>,
        queries: Queries,
    ) -> Self {
        Self {
            bus: bus.map(|bus| (bus.via(), bus.health())),
            circuits: circuits.cloned(),
            direct: direct.clone(),
            outbox: outbox.map(OutboxService::watch),
            queries,
            published: Arc::new(watch::Sender::new(Health::unknown())),
        }
    }

    /// What is known now.
    pub(super) fn look(&self) -> Health {
        self.published.send_if_modified(|published| {
            let now = self.seen(published);
            published.update(now)
        });
        self.published.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Health> {
        self.look();
        self.published.subscribe()
    }

    /// Looks on every change, until it is dropped.
    pub(super) async fn run(self) {
        let mut bus = self.bus.as_ref().map(|(_, health)| health.clone());
        let mut circuits =
            self.circuits.as_ref().map(|Circuits { events, requests }| (events.watch(), requests.watch()));
        let mut tick = time::interval(LOOK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.look();
            let of_bus = async {
                let changed = match &mut bus {
                    Some(bus) => bus.changed().await.is_ok(),
                    None => false,
                };
                if !changed {
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
                () = of_bus => {}
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
            database: self.database(),
            events_circuit: state(Kind::Event),
            requests_circuit: state(Kind::Query),
            outbox: self.outbox.as_ref().map(|counts| *counts.borrow()),
        }
    }

    /// The id of the database that the bus leads to, or the store is.
    fn database(&self) -> Option<Database> {
        let named = self.bus.as_ref().and_then(|(_, bus)| Some(bus.borrow().database.as_ref()?.id.clone()));
        let id = named.or_else(|| self.direct.database().map(|store| store.id().to_owned()))?;
        Some(Database { id, ..Database::default() })
    }

    fn serving(&self, kind: Kind, before: &Serving) -> Serving {
        let bus = self.bus.as_ref().zip(self.circuits.as_ref()).map(|((via, bus), circuits)| {
            let why = bus.borrow().why_not(kind).map(str::to_owned);
            (*via, why.or_else(|| open(circuits.of(kind).state())))
        });
        let store = Some((Via::DB, self.direct.why_not()));
        let outbox = (self.outbox.is_some() && kind == Kind::Event).then_some((Via::OUTBOX, None));
        let order = match (kind, self.queries) {
            (Kind::Query, Queries::Db) => [store, bus, outbox],
            _ => [bus, store, outbox],
        };
        Serving::first(order.into_iter().flatten(), before)
    }
}

/// Why a circuit in this state keeps requests from its path; none, if it does not.
fn open(state: State) -> Option<String> {
    let why = match state {
        State::Closed | State::HalfOpen | State::ForcedClosed => return None,
        State::Open => "its circuit is open: too many requests had no answer",
        State::OpenUntilHealthy => "its circuit is open until the service is well",
        State::ForcedOpen => "its circuit was opened by hand",
    };
    Some(why.to_owned())
}
