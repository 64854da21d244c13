//! One value that owns the client side: paths, stack, replay of the outbox, health, shutdown.
//!
//! ```no_run
//! # async fn example() -> Result<(), eitherway::runtime::BuildError> {
//! use std::time::Duration;
//! use eitherway::Runtime;
//! use rosey::op::Op;
//!
//! let runtime = Runtime::<Op>::builder()
//!     .nats("nats://127.0.0.1:4222")
//!     .store("sqlite://shop.db")
//!     .outbox("shop.outbox")
//!     .build()
//!     .await?;
//! let db = runtime.client();
//! // …
//! runtime.shutdown(Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! Everything that it puts together is public, for other compositions: [`StackBuilder`](crate::stack::StackBuilder),
//! [`NatsService`], [`GuardedStore`], [`OutboxService`], [`Replayer`](crate::outbox::Replayer).

mod builder;
mod error;
mod observer;
mod paths;
mod replay;
mod signals;

use std::fmt;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{self, Instant};
use tower::Layer;

pub use builder::{Around, Behind, Builder};
pub use error::BuildError;
use observer::Observer;
pub use paths::{Connected, NatsPath, Opens, OutboxPath, StorePath, open_store};
use replay::Replay;
pub use signals::shutdown_signal;

pub use crate::health::{Health, Reason, Serving};

use crate::client::{Db, Stack};
use crate::nats::NatsService;
use crate::operation::Operation;
use crate::outbox::{Counts, OutboxService, Replayed};
use crate::sql::SqlService;
use crate::stack::{Admission, BoxedStack, Bus, Circuits, GuardedStore, Hedges, boxed};
use crate::store::Store;

/// The least time that closing the files has, however little of the grace is left.
const LEAST: Duration = Duration::from_secs(1);

/// The client side as one value: the paths, the stack over them, and the tasks beside it. [`builder`](Self::builder) makes
/// one.
///
/// | it | by |
/// |---|---|
/// | connects to NATS, and probes the service there; or does so over another [`Bus`] | [`NatsService`] |
/// | keeps the store from being used while the service writes to another database | [`GuardedStore::guard`] |
/// | closes the circuits, and wakes the replay, as soon as the bus takes requests again | [`Circuits::bind_health`] |
/// | hears answers that come too late, so that a slow bus is not taken for a silent one | [`Hedges::bind_late`] |
/// | replays the outbox | [`Replayer`](crate::outbox::Replayer) |
/// | says which path serves, and why | [`Health`] |
/// | drains, replays a last time, closes the files | [`shutdown`](Self::shutdown) |
///
/// `S` is the stack, in most programs a type without a name. [`boxed`](Self::boxed) gives it one, for a struct.
///
/// **Dropping** the runtime without a shutdown ends its tasks at once. Requests in flight go on, later ones are refused with
/// class `NotSent` on every clone of the client. What was handed to the store is committed, what waits in the outbox waits
/// for the next start. The connection to NATS ends, and the files are closed, when the last clone of the client is dropped.
///
/// `B` is the bus, and `D` the store.
pub struct Runtime<O: Operation, S = BoxedStack<O>, B = NatsService<O>, D = SqlService<O>> {
    client: Db<S>,
    parts: Parts<O, B, D>,
}

/// What does not depend on the layers around everything.
struct Parts<O: Operation, B, D> {
    admission: Admission,
    circuits: Option<Circuits>,
    hedges: Hedges,
    bus: Option<B>,
    direct: GuardedStore<O, D>,
    outbox: Option<OutboxService<O>>,
    replay: Option<Replay>,
    observer: Observer<O, D>,
    /// Ends with this value.
    _tasks: JoinSet<()>,
}

impl<O: Operation, B, D> Drop for Parts<O, B, D> {
    fn drop(&mut self) {
        self.admission.close();
    }
}

/// How far a shutdown got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Requests that were still in flight when the grace was over. What becomes of them, their callers are told.
    pub in_flight: usize,
    /// What was replayed since the start.
    pub replayed: Replayed,
    /// What the outbox holds: `waiting` is replayed after the next start.
    pub left: Counts,
}

impl<O: Operation> Runtime<O> {
    /// Starts to build one.
    pub fn builder() -> Builder<O> {
        Builder::default()
    }
}

impl<O: Operation, S, B, D> Runtime<O, S, B, D> {
    /// The typed client. Its clones share everything; they serve for as long as the runtime lives.
    #[must_use]
    pub fn client(&self) -> Db<S>
    where
        S: Clone,
    {
        self.client.clone()
    }

    /// The same runtime with a layer around everything: it sees each request first and each reply last. The replay of the
    /// outbox does not pass it.
    #[must_use]
    pub fn layer<L>(self, layer: L) -> Runtime<O, L::Service, B, D>
    where
        L: Layer<S>,
        S: Clone,
    {
        Runtime { client: Db::new(layer.layer(self.client.stack().clone())), parts: self.parts }
    }

    /// The same runtime with a stack of one type, to be put in a struct. Costs a box per request.
    #[must_use]
    pub fn boxed(self) -> Runtime<O, BoxedStack<O>, B, D>
    where
        S: Stack<O>,
    {
        self.layer(tower::layer::layer_fn(boxed))
    }

    /// The bus, if there is one.
    #[must_use]
    pub fn bus(&self) -> Option<&B> {
        self.parts.bus.as_ref()
    }

    /// The path on the store. Without one it refuses, until it is given one.
    #[must_use]
    pub fn direct(&self) -> &GuardedStore<O, D> {
        &self.parts.direct
    }

    /// The outbox, if there is one.
    #[must_use]
    pub fn outbox(&self) -> Option<&OutboxService<O>> {
        self.parts.outbox.as_ref()
    }

    /// What hedges were started, and what came of them.
    #[must_use]
    pub const fn hedges(&self) -> &Hedges {
        &self.parts.hedges
    }

    /// The circuits to NATS, to be operated; none without NATS.
    #[must_use]
    pub fn circuits(&self) -> Option<&Circuits> {
        self.parts.circuits.as_ref()
    }
}

impl<O: Operation, S, D> Runtime<O, S, NatsService<O>, D> {
    /// The path over NATS, if there is one.
    #[must_use]
    pub fn nats(&self) -> Option<&NatsService<O>> {
        self.bus()
    }
}

impl<O: Operation, S, B: Bus<O>, D: Store<O>> Runtime<O, S, B, D> {
    /// Which path serves what, and why, as of now. Takes no request, and asks no path.
    #[must_use]
    pub fn health(&self) -> Health {
        self.parts.observer.look()
    }

    /// The same, now and on every change. A change is seen at once where it comes from NATS, a circuit or the outbox, and
    /// within half a second where it comes from the store's file.
    #[must_use]
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.parts.observer.watch()
    }

    /// Takes no more requests, waits for those in flight, and ends the replay of the outbox with a last round: all of it
    /// within `grace`, and the last round within 5 s. The files stay open. Calling it again answers at once.
    ///
    /// For a program that has something to do before [`shutdown`](Self::shutdown), such as stopping a service of its own that
    /// applies its events.
    ///
    /// Cancel safe: what has ended stays ended, and the next call goes on.
    pub async fn drain(&self, grace: Duration) -> Drained {
        self.drain_until(Instant::now() + grace).await
    }

    async fn drain_until(&self, deadline: Instant) -> Drained {
        let Parts { admission, replay, outbox, .. } = &self.parts;
        admission.close();
        let in_flight = match time::timeout_at(deadline, admission.idle()).await {
            Ok(()) => 0,
            Err(_) => admission.in_flight(),
        };
        if in_flight > 0 {
            tracing::warn!("{in_flight} requests are still in flight after the grace period");
        }
        let replayed = match replay {
            Some(replay) => replay.finish(deadline).await,
            None => Replayed::default(),
        };
        let left = outbox.as_ref().map_or_else(Counts::default, OutboxService::counts);
        Drained { in_flight, replayed, left }
    }

    /// [Drains](Self::drain), then commits what was handed to the outbox and to the store, and closes both files, also those
    /// that were open when the runtime was built. Over within `grace`, or a second after it at the latest.
    ///
    /// A file that does not close in time is named in the log, and nothing that was acknowledged is lost: it is closed by the
    /// last clone of the client, or with the process.
    ///
    /// Dropping the future drops the runtime, at whatever step it has reached.
    pub async fn shutdown(self, grace: Duration) -> Drained {
        let deadline = Instant::now() + grace;
        let drained = self.drain_until(deadline).await;
        let Parts { outbox, direct, .. } = &self.parts;
        let closing = async {
            if let Some(outbox) = outbox {
                outbox.close().await;
            }
            if let Some(database) = direct.database() {
                database.close().await;
            }
        };
        if time::timeout_at(deadline.max(Instant::now() + LEAST), closing).await.is_err() {
            tracing::error!("the store or the outbox did not close in time; exiting anyway");
        }
        drained
    }
}

impl<O: Operation, S, B: fmt::Debug, D> fmt::Debug for Runtime<O, S, B, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { bus, direct, outbox, .. } = &self.parts;
        f.debug_struct("Runtime")
            .field("bus", bus)
            .field("direct", direct)
            .field("outbox", outbox)
            .finish_non_exhaustive()
    }
}
