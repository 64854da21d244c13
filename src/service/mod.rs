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

mod at_work;
mod barrier;
mod begin;
mod beside;
mod check;
mod config_monitor;
mod connection;
mod counters;
mod denied;
mod drain;
mod file;
mod handle;
mod instance;
mod introductions;
mod lanes;
mod layered;
mod link;
mod micro;
mod namespaces;
mod notices;
mod options;
mod payload;
mod peers;
mod progress;
mod received;
mod replies;
mod run;
mod server_time;
mod sighted;
mod stream;
mod subscription;
mod subscription_worker;
mod tasks;
mod tries;
mod troubles;
mod unreadable;
mod waiting;

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_nats::{Client, Message};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Layer;
use tracing::Instrument;

use at_work::AtWork;
pub use check::{check, check_for, reply_prefix};
use connection::Connection;
use counters::Counters;
pub use counters::Served;
use instance::Instance;
use introductions::Siblings;
use layered::Layered;
use link::Link;
pub use namespaces::{Namespaces, serve_namespaces};
use notices::Notices;
pub use options::{JetStream, ServeError, ServiceOptions};
use progress::Progress;
use replies::{Replies, To};
use run::{Lasting, Run};
use stream::{Api, Declaration};
use troubles::LogThrottle;
use waiting::Room;

use crate::client::Stack;
use crate::nats::names::Names;
use crate::nats::{Mode, NatsOptions};
use crate::operation::Operation;
use crate::stack::SpanLayer;
use crate::store::Store;

/// What all tasks over one connection share.
struct Shared<O, D> {
    /// The connection that they work over.
    client: Client,
    /// The one for the stream: answers leave over it when that one has ended for good.
    spare: Client,
    db: D,
    operation: PhantomData<fn(O)>,
    names: Arc<Names>,
    counters: Arc<Counters>,
    /// JetStream, over the connection for the stream.
    api: Api,
    /// The stream that events come from, if they do.
    stream: Option<Declaration>,
    in_flight: usize,
    /// What may be worked on at once beside other services of this process.
    at_work: AtWork,
    /// The other services of this process, if there may be some.
    siblings: Option<Siblings>,
    replies: Replies,
    instance: Arc<Instance>,
    /// Whether another kind of service may be there.
    takeover: bool,
    /// Whether something answers beside us that must not: our clients are told.
    foreign: AtomicBool,
    /// What waits on all subjects together.
    room: Room,
    notices: Arc<Notices>,
    progress: Arc<Progress>,
    troubles: Arc<LogThrottle>,
    connection: watch::Receiver<Connection>,
    url: Arc<str>,
    /// The subscriptions that take requests, and the requests that were taken and are not done. Closed, so that it can be
    /// waited for at any time.
    busy: TaskTracker,
    /// Nothing more is to be taken.
    stop: CancellationToken,
    /// The time for finishing is over.
    give_up: CancellationToken,
}

impl<O, D> Shared<O, D> {
    const fn mode(&self) -> Mode {
        if self.stream.is_some() { Mode::JetStream } else { Mode::Core }
    }

    /// The connection that these tasks work over.
    fn link(&self) -> Link {
        Link { client: self.client.clone(), state: self.connection.clone(), url: Arc::clone(&self.url) }
    }

    /// The connection for answers.
    fn answering(&self) -> &Client {
        // Its events end with the client's own task.
        if self.connection.has_changed().is_ok() { &self.client } else { &self.spare }
    }

    /// The way to the sender of this, if there is one: a question from nowhere, and one that is to be answered where no
    /// inbox is, have none.
    fn way_to(&self, question: &Message) -> Option<To> {
        self.replies.of(question).unwrap_or_else(|why| {
            self.troubles.not_inbox(&question.subject, &why);
            None
        })
    }
}

impl<O: Operation, D: Store<O>> Shared<O, D> {
    /// What was done of the operation `index`.
    fn served(&self, index: usize) -> Served {
        Served { repeated: self.db.duplicates(index), ..self.counters.of(index).read() }
    }

    /// What was done of all.
    fn total(&self) -> Served {
        total(&self.db, &self.counters, &self.troubles)
    }
}

/// What was done of all operations.
fn total<O: Operation>(db: &impl Store<O>, counters: &Counters, troubles: &LogThrottle) -> Served {
    let all = Served { overruns: troubles.overruns(), ..Served::default() };
    let served = |index| Served { repeated: db.duplicates(index), ..counters.of(index).read() };
    (0..O::SPECS.len()).map(served).fold(all, Served::and)
}

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
    let part = Part { room: Room::new(options.bytes, None), at_work: AtWork::default(), siblings: None };
    let span = options.namespace.or(&nats.namespace)?.span();
    serve_within(nats, db, options, (counters, part), ready, shutdown).instrument(span).await
}

/// The part of a process that is one service's.
struct Part {
    room: Room,
    at_work: AtWork,
    siblings: Option<Siblings>,
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
    let (options, layer) = options.take_layer();
    let names = Arc::new(Names::new::<O>(&options.namespace.or(&nats.namespace)?)?);
    let stack = SpanLayer.layer(layer.layer(db.clone()));
    let db = Layered::new(db, stack);
    let lasting = Lasting {
        counters,
        part,
        notices: Arc::default(),
        troubles: Arc::new(LogThrottle::new(O::NAMES)),
        instance: Arc::new(Instance::new(db.shown())),
        progress: Arc::default(),
        replies: Replies::new::<O>(&names, &options.reply_prefixes)?,
        names,
    };
    let served = {
        let (counters, troubles) = (Arc::clone(&lasting.counters), Arc::clone(&lasting.troubles));
        let db = db.clone();
        move || total(&db, &counters, &troubles)
    };
    let mut shutdown = std::pin::pin!(shutdown);
    Run::new(nats, db, options, lasting).until(&mut Some(ready), shutdown.as_mut()).await?;
    Ok(served())
}
