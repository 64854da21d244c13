//! Making a runtime: which paths, and which layers around them.

use tokio::task::JoinSet;
use tower::Layer;
use tower::layer::util::{Identity, Stack as Layers};
use tracing::Instrument;

use super::error::BuildError;
use super::observer::Observer;
use super::paths::{Connected, NatsPath, Opens, OutboxPath, StorePath};
use super::replay::Replay;
use super::{Parts, Runtime};
use crate::client::{Db, Stack};
use crate::error::Error;
use crate::namespace::Namespace;
use crate::operation::{Kind, Operation};
use crate::outbox::OutboxService;
use crate::sql::SqlService;
use crate::stack::{Bus, GuardedStore, NO_PATH, NoPath, OptionalPath, Path, StackBuilder};
use crate::store::Store;

/// Makes a [`Runtime`] over one path or several.
///
/// `N`, `D` and `X` are the layers around the paths; none, if none are named. `X` says as well whether there is an outbox. `B`
/// makes the bus, and `T` is the type of the store: NATS and SQLite, if no others are named.
#[derive(Debug)]
#[must_use = "a builder does nothing before it is built"]
pub struct Builder<O, N = Identity, D = Identity, X = NoPath, B = NatsPath<O>, T = SqlService<O>> {
    bus: Option<B>,
    store: Option<StorePath<O, T>>,
    outbox: Option<OutboxPath<O>>,
    namespace: Namespace,
    stack: StackBuilder,
    around: (N, D, X),
}

/// Layers around an outbox.
#[derive(Clone, Copy, Debug)]
pub struct Around<L>(L);

/// Whether a runtime has an outbox, and which layers stand around it: [`NoPath`] or [`Around`].
pub trait Behind<O: Operation> {
    /// The path behind the others.
    fn path(self, outbox: Option<OutboxService<O>>) -> impl OptionalPath<O>;
}

impl<O: Operation> Behind<O> for NoPath {
    fn path(self, _: Option<OutboxService<O>>) -> impl OptionalPath<O> {
        self
    }
}

impl<O, L> Behind<O> for Around<L>
where
    O: Operation,
    L: Layer<OutboxService<O>, Service: Path<O>>,
{
    fn path(self, outbox: Option<OutboxService<O>>) -> impl OptionalPath<O> {
        outbox.map(|outbox| self.0.layer(outbox))
    }
}

impl<O> Default for Builder<O> {
    fn default() -> Self {
        let around = (Identity::new(), Identity::new(), NO_PATH);
        let (bus, store, outbox) = (None, None, None);
        Self { bus, store, outbox, namespace: Namespace::none(), stack: StackBuilder::new(), around }
    }
}

impl<O, N, D, X, B, T> Builder<O, N, D, X, B, T> {
    /// The path over NATS: an address, [`NatsOptions`](crate::nats::NatsOptions), or a [`NatsService`](crate::nats::NatsService) that connects already.
    pub fn nats(self, nats: impl Into<NatsPath<O>>) -> Builder<O, N, D, X, NatsPath<O>, T> {
        self.with_bus(nats.into())
    }

    /// Another bus in the place of NATS.
    pub fn bus<P: Bus<O>>(self, bus: P) -> Builder<O, N, D, X, Connected<P>, T>
    where
        O: Operation,
    {
        let Self { bus: _, store, outbox, namespace, stack, around } = self;
        let stack = stack.bus(bus.via());
        Builder { bus: Some(Connected(bus)), store, outbox, namespace, stack, around }
    }

    fn with_bus<P>(self, bus: P) -> Builder<O, N, D, X, P, T> {
        let Self { bus: _, store, outbox, namespace, stack, around } = self;
        Builder { bus: Some(bus), store, outbox, namespace, stack, around }
    }

    /// The store, which serves when the bus does not, and alone without a bus: an address (`sqlite://shop.db`),
    /// [`SqliteOptions`](crate::sql::SqliteOptions), a [`SqlService`] that is open already, or a [`GuardedStore`] to any
    /// [`Store`], open or opened later. While the service on the bus has another file open, also a copy with the same id, the
    /// store refuses.
    pub fn store<P>(self, store: impl Into<StorePath<O, P>>) -> Builder<O, N, D, X, B, P> {
        let Self { bus, store: _, outbox, namespace, stack, around } = self;
        Builder { bus, store: Some(store.into()), outbox, namespace, stack, around }
    }

    /// The namespace of the service on NATS; if none is named, the one that the options of the path over NATS name. The outbox is
    /// marked with it, and refused for any other; on PostgreSQL it has a schema of its own. Files are named for each.
    pub fn namespace(self, namespace: Namespace) -> Self {
        Self { namespace, ..self }
    }

    /// The knobs of the stack: time-outs, operations in flight, circuits, where queries are read.
    pub fn stack(self, stack: StackBuilder) -> Self {
        Self { stack, ..self }
    }

    /// A layer directly around the path over the bus, inside its time-out, circuit, metrics and log. Of several, the last one is
    /// the outermost. [`Runtime::layer`] is the one around everything.
    pub fn layer_nats<L>(self, layer: L) -> Builder<O, Layers<N, L>, D, X, B, T> {
        let Self { bus, store, outbox, namespace, stack, around: (n, d, x) } = self;
        Builder { bus, store, outbox, namespace, stack, around: (Layers::new(n, layer), d, x) }
    }

    /// The same around the store.
    pub fn layer_store<L>(self, layer: L) -> Builder<O, N, Layers<D, L>, X, B, T> {
        let Self { bus, store, outbox, namespace, stack, around: (n, d, x) } = self;
        Builder { bus, store, outbox, namespace, stack, around: (n, Layers::new(d, layer), x) }
    }

    /// Opens store and outbox, starts connecting to NATS, and starts the tasks. Within a tokio runtime.
    ///
    /// NATS is not waited for: until the service is recognised there, the store serves, and without one the outbox takes
    /// events. A file that another process is about to open or migrate is waited for, for some seconds.
    ///
    /// Dropping the future leaves nothing behind that is not closed with it.
    ///
    /// # Errors
    /// The first of these: there is no path; the store, then the outbox, cannot be opened; the NATS address or the credentials
    /// cannot be read, or two namespaces are named. What was opened until then is closed, also a store that was open before.
    pub async fn build(
        self,
    ) -> Result<Runtime<O, impl Stack<O, Error = Error<O>> + use<O, N, D, X, B, T>, B::Path, T>, BuildError>
    where
        O: Operation,
        N: Layer<B::Path, Service: Path<O>>,
        D: Layer<GuardedStore<O, T>, Service: Path<O>>,
        X: Behind<O>,
        B: Opens<Path: Bus<O>>,
        T: Store<O>,
    {
        if self.bus.is_none() && self.store.is_none() {
            return Err(BuildError::NoPath);
        }
        let of_bus = self.bus.as_ref().map(Opens::namespace).unwrap_or_default();
        // That two are named is the bus's to say.
        let namespace = self.namespace.or(&of_bus).unwrap_or_else(|_| self.namespace.clone());
        let direct = match self.store {
            Some(store) => store.open(&namespace).await?,
            None => GuardedStore::without(),
        };
        let (bus, outbox) = match open(self.bus, &self.namespace, self.outbox, &namespace).await {
            Ok(opened) => opened,
            Err(error) => {
                if let Some(database) = direct.database() {
                    database.close().await;
                }
                return Err(error);
            }
        };
        let (n, d, x) = self.around;
        let built = self.stack.over(
            bus.clone().map(|bus| n.layer(bus)),
            d.layer(direct.clone()),
            x.path(outbox.clone()),
        );
        let replay = outbox.clone().map(|outbox| Replay::start(outbox, built.replay));
        let observer = Observer::new(
            bus.as_ref(),
            built.circuits.as_ref(),
            &direct,
            outbox.as_ref(),
            self.stack.queries,
        );
        if let (Some(bus), Some(circuits)) = (&bus, &built.circuits) {
            let stale = built.stale.clone();
            direct.when_wrong(move || stale.forget());
            direct.guard(bus.health());
            built.stale.bind_health(bus.health());
            if let Some(late) = bus.late_answers() {
                built.hedges.bind_late(late);
            }
            let wake = replay.as_ref().map(|replay| replay.wake.clone());
            circuits.bind_health(bus.health(), move |kind| {
                if kind == Kind::Event {
                    wake.iter().for_each(|wake| wake.notify_one());
                }
            });
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(observer.clone().run().in_current_span());
        let parts = Parts {
            admission: built.admission,
            circuits: built.circuits,
            hedges: built.hedges,
            bus,
            direct,
            outbox,
            replay,
            observer,
            _tasks: tasks,
        };
        Ok(Runtime { client: Db::new(built.stack), parts })
    }
}

impl<O, N, D, B, T> Builder<O, N, D, NoPath, B, T> {
    /// The outbox, which keeps events that neither path takes and replays them: a file,
    /// [`OutboxOptions`](crate::outbox::OutboxOptions), an [`OutboxService`] that is open already, or an `Option` of one.
    pub fn outbox(self, outbox: impl Into<OutboxPath<O>>) -> Builder<O, N, D, Around<Identity>, B, T> {
        let Self { bus, store, namespace, stack, around: (n, d, _), .. } = self;
        let around = (n, d, Around(Identity::new()));
        Builder { bus, store, outbox: Some(outbox.into()), namespace, stack, around }
    }
}

impl<O, N, D, X, B, T> Builder<O, N, D, Around<X>, B, T> {
    /// The same as [`layer_nats`](Self::layer_nats) around the outbox, once it is named.
    pub fn layer_outbox<L>(self, layer: L) -> Builder<O, N, D, Around<Layers<X, L>>, B, T> {
        let Self { bus, store, outbox, namespace, stack, around: (n, d, Around(x)) } = self;
        Builder { bus, store, outbox, namespace, stack, around: (n, d, Around(Layers::new(x, layer))) }
    }
}

/// Opens the outbox, and connects the bus.
async fn open<O: Operation, B: Opens>(
    bus: Option<B>,
    namespace: &Namespace,
    outbox: Option<OutboxPath<O>>,
    of_all: &Namespace,
) -> Result<(Option<B::Path>, Option<OutboxService<O>>), BuildError> {
    let outbox = match outbox {
        Some(outbox) => outbox.open(of_all).await?,
        None => None,
    };
    let bus = match bus {
        Some(bus) => Some(bus.open(namespace).await?),
        None => None,
    };
    Ok((bus, outbox))
}
