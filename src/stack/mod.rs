//! The standard stack: its layers and their order.
//!
//! ```text
//! admission, limit ─ log, metrics [total] ─ switches ─ Hedge ┬ log, metrics [NATS] ─ circuit breaker ─ timeout ─ NatsService
//!                                                       └ log, metrics [DB] ─ timeout ─ SqlService
//! ```
//!
//! A `Hedge` is a fallback that does not wait for a failure: the database starts when NATS has failed, and also when it is
//! late ([`Hedging`]). A path that answers nothing while the next one wins its hedges opens its circuit.
//!
//! There are two circuits to NATS: one for events, which a stream may take while no service answers, and one
//! for calls and queries. The log reports the serving path of each separately, because with a stream they may
//! differ.
//!
//! With an outbox, a second `Hedge` surrounds the first one: events that neither path takes, or takes in time, go to the
//! outbox. Without NATS, the database takes the place of the first `Hedge`.
//!
//! With [`Queries::Db`], queries take the two paths in the other order: the database, and NATS when that
//! fails.
//!
//! With [`StackBuilder::stale`], a query that no path answers gets the answer that it had before.
//!
//! The timeout is inside the breaker, so that the breaker sees it; the breaker is inside the hedge, so
//! that an open circuit reroutes in nanoseconds; log and metrics are outside both, so that nothing goes
//! uncounted.

mod admission;
mod bus;
mod circuits;
#[cfg(feature = "sqlite")]
mod direct;
mod hedging;
mod optional_path;
mod outbox;
mod queries;
#[cfg(feature = "sqlite")]
mod service_database;
mod span;
mod stale;

use std::fmt::Display;
use std::time::Duration;

use eitherway_layers::breaker;
use eitherway_layers::fallback::{ByClass, CountReroutes};
use eitherway_layers::{
    Class, Classify, Failure, FallbackError, Hedge, KeyedBreakerLayer, LogLayer, MetricsLayer,
    PathChangeLogLayer, TimeoutLayer,
};
use tower::util::{BoxCloneSyncService, option_layer};
use tower::{Layer, Service, ServiceBuilder, ServiceExt};

pub use admission::Admission;
use admission::Admitted;
pub use bus::{Bus, LateAnswers};
pub use circuits::Circuits;
#[cfg(feature = "sqlite")]
pub use direct::GuardedStore;
use hedging::ToNext;
pub use hedging::{HedgeCounts, Hedges, Hedging};
pub use optional_path::{NO_PATH, NoPath, OptionalPath};
pub use queries::Queries;
use queries::SplitQueries;
pub use span::{SpanFuture, SpanLayer, Spanned};
pub use stale::StaleAnswers;

use crate::client::Stack;
use crate::error::{Code, Error};
use crate::operation::{Kind, Operation};
use crate::reply::{Reply, Via};
use crate::request::Request;
use crate::setters::setters;

/// A stack as one type, for use in a struct. Costs one box per call.
pub type BoxedStack<O> = BoxCloneSyncService<Request<O>, Reply<<O as Operation>::Answer>, Error<O>>;

/// Boxes a stack.
pub fn boxed<O: Operation, S: Stack<O>>(stack: S) -> BoxedStack<O> {
    BoxCloneSyncService::new(stack.map_err(Into::into))
}

/// A path that a stack can be built over: a leaf service with this crate's error type.
pub trait Path<O: Operation>:
    Service<Request<O>, Response = Reply<O::Answer>, Error = Error<O>, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<O: Operation, S> Path<O> for S where
    S: Service<Request<O>, Response = Reply<O::Answer>, Error = Error<O>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Alternative paths, before the layers around all of them are added.
pub trait Paths<O: Operation>: Stack<O, Error: Classify + Display + Send + Sync + 'static> {}

impl<O: Operation, S> Paths<O> for S where S: Stack<O, Error: Classify + Display + Send + Sync + 'static> {}

/// A stack, and the parts that belong to it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Built<S, R> {
    /// The stack.
    pub stack: S,
    /// The same paths without the outbox, for its replay. This stack does not limit operations in flight, because the
    /// replayer does, and logs and counts as `[REPLAY]`.
    pub replay: R,
    /// The circuits to NATS, if there is such a path.
    pub circuits: Option<Circuits>,
    /// The admission of the stack.
    pub admission: Admission,
    /// What it knows of its paths, by which it hedges.
    pub hedges: Hedges,
    /// The old answers that it keeps, to be forgotten when its paths lead to another database.
    pub stale: StaleAnswers,
}

/// The settings of the standard stack.
///
/// ```
/// use std::time::Duration;
///
/// use eitherway::stack::{NO_PATH, Path, StackBuilder};
/// use eitherway::{Db, Operation, Stack};
///
/// /// A query that the database cannot answer gets the answer that it had up to half a minute before.
/// fn client<O: Operation>(database: impl Path<O>) -> Db<impl Stack<O>> {
///     Db::new(StackBuilder::new().stale(Duration::from_secs(30)).over(NO_PATH, database, NO_PATH).stack)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct StackBuilder {
    nats_timeout: Duration,
    db_timeout: Duration,
    in_flight: usize,
    pub(crate) queries: Queries,
    breaker: breaker::Config,
    hedging: Hedging,
    stale: Option<Duration>,
    bus: Via,
    metrics_prefix: &'static str,
}

impl Default for StackBuilder {
    fn default() -> Self {
        Self {
            nats_timeout: Duration::from_secs(2),
            db_timeout: Duration::from_secs(5),
            in_flight: 2048,
            queries: Queries::Nats,
            breaker: breaker::Config::new(),
            hedging: Hedging::new(),
            stale: None,
            bus: Via::NATS,
            metrics_prefix: "eitherway",
        }
    }
}

impl StackBuilder {
    /// The standard stack with its default settings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        /// How long an operation may take over NATS before it is tried on the database. Default: 2 s.
        nats_timeout: Duration,
        /// How long an operation may take on the database before it fails. Default: 5 s.
        db_timeout: Duration,
        /// How many operations may be in flight; further ones wait. Default: 2048. Keep it below the queue length of the
        /// database's writer, so that a sudden release of all waiting operations cannot overflow that queue.
        in_flight: usize,
        /// Which path queries take first. Default: NATS. An event that is stored in a stream may not be in the database yet,
        /// whichever path reads it.
        queries: Queries,
        /// When the circuits to NATS open and close. Their tags in the log are `[NATS] events` and `[NATS] requests`.
        breaker: breaker::Config,
        /// When the next path starts beside one that is late. Default: see [`Hedging`].
        hedging: Hedging,
        /// The last resort of queries: one that no path answers gets the answer that the same query had before, if that is not older
        /// than this. Its reply is [`Via::STALE`], with its age in [`Ack::Stale`](crate::Ack::Stale), and the log says that
        /// `[STALE] is serving`. What was written meanwhile, also by the same caller, is not in it. A refusal, such as `not_found`,
        /// drops the answer; a change of the database drops all ([`StaleAnswers`]). A query with a time of its own, or received
        /// from elsewhere, gets none. Default: no answer is kept. Otherwise up to 1024 answers of 16 MiB with their payloads
        /// are; each query encodes its answer to know its size.
        stale: Duration,
        /// The label of the path before the database, in logs and metrics. Default: [`Via::NATS`]. The circuits of another one
        /// have its tag.
        bus: Via,
        /// The prefix of the metrics' names. Default: `eitherway`.
        metrics_prefix: &'static str,
    }

    /// The stack over its paths, in the order in which they are asked: NATS, the database, the outbox.
    ///
    /// Without NATS the database serves alone. Events that neither takes go to the outbox, unless they were refused (class
    /// `Rejected`). NATS and outbox may be there or not, as values (`Some`, `None`) or by type ([`NO_PATH`]).
    pub fn over<O, N, D, X>(
        &self,
        nats: N,
        db: D,
        outbox: X,
    ) -> Built<impl Stack<O, Error = Error<O>> + use<O, N, D, X>, impl Stack<O> + use<O, N, D, X>>
    where
        O: Operation,
        N: OptionalPath<O>,
        D: Path<O>,
        X: OptionalPath<O>,
    {
        let hedges = Hedges::new(self.hedging, self.bus, self.queries, self.metrics_prefix);
        let (paths, circuits) = nats.before(db, self.clone(), hedges.clone());
        let hedges = match &circuits {
            Some(circuits) => hedges.with_circuits(circuits),
            None => hedges,
        };
        let replay = self.replay(paths.clone(), hedges.clone());
        let admission = Admission::new(self.in_flight);
        let queries = self.stale.map(stale::stale_queries::<O>);
        let stale = StaleAnswers::of::<O>(queries.as_ref());
        let paths = ServiceBuilder::new().layer(option_layer(queries)).service(outbox.behind(
            paths,
            self.clone(),
            hedges.clone(),
        ));
        let inner = self.total(paths, hedges.clone(), &admission);
        let stack = SpanLayer::STACK.layer(Admitted { inner, admission: admission.clone() });
        Built { stack, replay, circuits, admission, hedges, stale }
    }

    /// NATS and the database behind it, each in its layers, and the handles of the circuits of NATS.
    fn both<O, N, D>(
        &self,
        nats: N,
        db: D,
        hedges: Hedges,
    ) -> (impl Paths<O, Error = FallbackError<Error<O>, Error<O>>> + use<O, N, D>, Circuits)
    where
        O: Operation,
        N: Path<O>,
        D: Path<O>,
    {
        let db = self.direct(db);
        // A request that was never sent is refused at once anyway, and an error of the database is not the
        // path's fault. So only silence opens a circuit, and only an answer closes it: also one that cannot be read.
        let failure = |result: &Result<Reply<O::Answer>, Error<O>>| match result {
            Err(error) if error.cause().code() == Code::UNREADABLE => None,
            Err(error) if matches!(error.class(), Class::Unknown | Class::NotSent) => {
                Some(Failure { class: error.class(), timeout: error.is_timeout() })
            }
            _ => None,
        };
        let tags = match self.bus {
            Via::NATS => ["[NATS] events", "[NATS] requests"],
            bus => [bus.tag(); 2],
        };
        let breaker = tags.map(|tag| self.breaker.clone().tag(tag).unsent_is_neutral());
        let breaker =
            KeyedBreakerLayer::new(breaker, |request: &Request<O>| Circuits::index(request.op.spec().kind));
        let circuits = Circuits::new([breaker.handle(0), breaker.handle(1)]);
        let nats = ServiceBuilder::new()
            .layer(SpanLayer::path(self.bus))
            .layer(LogLayer::new(self.bus.tag()).share_clock())
            .layer(MetricsLayer::new(self.bus.as_str()).prefix(self.metrics_prefix))
            .layer(breaker.classify_by(failure))
            .layer(TimeoutLayer::new(self.nats_timeout))
            .service(nats);
        let policy = || CountReroutes::new(ByClass::new()).prefix(self.metrics_prefix);
        let hedging = || ToNext(hedges.clone().with_circuits(&circuits));
        let queries = self.apart(|| Hedge::new(db.clone(), nats.clone(), policy(), hedging()));
        let paths = Hedge::new(nats, db, policy(), hedging());
        (SplitQueries::new(paths, queries), circuits)
    }

    /// The separate stack for queries, if they go to the database first.
    fn apart<Q>(&self, make: impl FnOnce() -> Q) -> Option<Q> {
        (self.queries == Queries::Db).then(make)
    }

    /// The layers of the database path.
    fn direct<O: Operation, S: Path<O>>(&self, db: S) -> impl Path<O> + use<O, S> {
        ServiceBuilder::new()
            .layer(SpanLayer::path(Via::DB))
            .layer(LogLayer::new(Via::DB.tag()).share_clock())
            .layer(MetricsLayer::new(Via::DB.as_str()).prefix(self.metrics_prefix))
            .layer(TimeoutLayer::new(self.db_timeout))
            .service(db)
    }

    /// The layers around all paths.
    fn total<O, S>(&self, paths: S, hedges: Hedges, admission: &Admission) -> impl Stack<O> + use<O, S>
    where
        O: Operation,
        S: Paths<O>,
    {
        // One switch over calls and queries on different paths would report a change with every request.
        let names: &[_] = match self.queries {
            Queries::Nats => &["events", "calls and queries"],
            Queries::Db => &["events", "calls", "queries"],
        };
        let part = |request: &Request<O>| match request.op.spec().kind {
            Kind::Event => 0,
            Kind::Call => 1,
            Kind::Query => 2, // an index beyond the names counts as the last name
        };
        ServiceBuilder::new()
            .layer(admission.limit())
            .layer(LogLayer::new("[TOTAL]").last().share_clock())
            .layer(MetricsLayer::new("total").prefix(self.metrics_prefix).share_clock())
            .layer(
                PathChangeLogLayer::by(names.iter().copied(), part)
                    .hedges_won(move |part, tag| hedges.won(part, tag)),
            )
            .service(paths)
    }
}
