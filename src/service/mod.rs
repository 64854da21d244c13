//! The database service: subjects in, a [`Store`] behind layers in the middle, answers out.
//!
//! ```no_run
//! use eitherway::nats::NatsOptions;
//! use eitherway::service::{self, ServiceOptions};
//! use eitherway::sql::{SqliteOptions, SqlService};
//! # use rosey::op::Op;
//!
//! # async fn example(stop: impl Future<Output = ()> + Send) -> Result<(), Box<dyn std::error::Error>> {
//! let store = SqlService::<Op>::open(&SqliteOptions::new("sqlite://app.db")?).await?;
//! let nats = NatsOptions::new("nats://127.0.0.1:4222");
//! let served = service::serve(nats, store, ServiceOptions::default(), || {}, stop).await?;
//! println!("{} requests", served.done);
//! # Ok(())
//! # }
//! ```

mod barrier;
mod begin;
mod bundle;
mod check;
mod config_monitor;
mod connection;
mod counters;
mod denied;
mod discovery;
mod drain;
mod events;
mod file;
mod foreign_services;
mod foreign_sightings;
mod handle;
mod instance;
mod lanes;
mod layered;
mod link;
mod listen;
mod listening;
mod log_throttle;
mod micro;
mod monitor;
mod namespaces;
mod notices;
mod options;
mod outage;
mod payload;
mod peer_monitor;
mod peers;
mod permissions;
mod progress;
mod received;
mod replies;
mod run;
mod server_time;
mod shared;
mod startup_retries;
mod status;
mod stream;
mod subscription;
mod subscription_worker;
mod taken;
mod tasks;
mod unreadable;
mod waiting;
mod watch;
mod watching;
mod work_limit;

use std::sync::Arc;

use tower::{Layer, ServiceExt};
use tracing::Instrument;

use bundle::Bundles;
pub use check::{check, check_for, reply_prefix};
use counters::Counters;
pub use counters::Served;
use discovery::ProcessDiscovery;
use instance::Instance;
use layered::Layered;
use log_throttle::LogThrottle;
pub use monitor::Monitor;
pub use namespaces::{Namespaces, serve_namespaces};
use notices::Notices;
pub use options::{JetStream, ServeError, ServiceOptions};
use progress::Progress;
use replies::Replies;
use run::{Run, ServiceState};
use shared::{Shared, total};
pub use status::{Notice, OperationCounts, ServiceStatus, StreamStatus};
use waiting::Capacity;
use watching::Watching;
use work_limit::WorkLimit;

use crate::client::Stack;
use crate::error::Error;
use crate::nats::names::Names;
use crate::nats::{Mode, NatsOptions};
use crate::operation::Operation;
use crate::stack::SpanLayer;
use crate::store::Store;

/// Serves the subjects of `O` until `shutdown`: then takes nothing more, finishes and commits what it took,
/// answers, acknowledges, and closes its connections.
///
/// With JetStream, events come from the stream [`O::stream()`](crate::Operation::stream), each acknowledged after its
/// commit; without, by request and reply. Subjects and stream lie in the namespace that the options name, or those for NATS.
///
/// Connects for as long as it takes, and says so in the log. `ready` is called once, when the service is listening
/// on every subject.
///
/// # Errors
/// When it must not start: see [`ServeError`].
pub async fn serve<O, D, L>(
    nats: NatsOptions,
    db: D,
    options: ServiceOptions<L>,
    ready: impl FnOnce() + Send,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Served, ServeError>
where
    O: Operation,
    D: Store<O>,
    L: Layer<D, Service: Stack<O>>,
{
    let counters = Arc::new(Counters::new(O::SPECS.len()));
    let part = Part {
        room: Capacity::new(options.settings.bytes, None),
        work_limit: WorkLimit::default(),
        discovery: None,
    };
    let span = options.settings.namespace.or(&nats.namespace)?.span();
    serve_within(nats, db, options, (counters, part), ready, shutdown).instrument(span).await
}

/// The part of a process that is one service's.
struct Part {
    room: Capacity,
    work_limit: WorkLimit,
    discovery: Option<ProcessDiscovery>,
}

/// The same, counted and bounded by what the caller has, in the span of the caller.
async fn serve_within<O, D, L>(
    nats: NatsOptions,
    db: D,
    options: ServiceOptions<L>,
    (counters, part): (Arc<Counters>, Part),
    ready: impl FnOnce() + Send,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Served, ServeError>
where
    O: Operation,
    D: Store<O>,
    L: Layer<D, Service: Stack<O>>,
{
    let ServiceOptions { settings, around } = options;
    let names = Arc::new(Names::new::<O>(&settings.namespace.or(&nats.namespace)?)?);
    let around = around.layer(db.clone()).map_err(Into::into as fn(_) -> Error<O>);
    let stack = SpanLayer::SERVICE.layer(around);
    let db = Layered::new(db, stack);
    let lasting = ServiceState {
        bundles: Bundles::new(settings.bundles && !names.has_no_bundles(), settings.in_flight),
        counters,
        part,
        notices: Arc::default(),
        listening: Arc::default(),
        troubles: Arc::new(LogThrottle::new(O::NAMES)),
        instance: Arc::new(Instance::new(db.shown())),
        progress: Arc::default(),
        outage: Arc::default(),
        replies: Replies::new::<O>(&names, &settings.reply_prefixes)?,
        names,
    };
    let _registration = settings.monitor.register(Watching::<O, _>::new(db.clone(), &lasting));
    let served = {
        let (counters, troubles) = (Arc::clone(&lasting.counters), Arc::clone(&lasting.troubles));
        let db = db.clone();
        move || total(&db, &counters, &troubles)
    };
    let mut shutdown = std::pin::pin!(shutdown);
    Run::new(nats, db, settings, lasting).until(&mut Some(ready), shutdown.as_mut()).await?;
    Ok(served())
}
