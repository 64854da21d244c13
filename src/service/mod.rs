//! The database service: subjects in, [`SqlxService`] in the middle, answers out.

mod barrier;
mod beside;
mod check;
mod connection;
mod counters;
mod handle;
mod instance;
mod leave;
mod lookout;
mod micro;
mod neighbours;
mod notices;
mod options;
mod server_time;
mod stream;
mod subscription;
mod take;
mod tries;
mod troubles;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_nats::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time;

pub use check::check;
use connection::{Connection, note, say_goodbye};
use counters::Counters;
pub use counters::Served;
use instance::Instance;
use neighbours::Own;
use notices::Notices;
pub use options::{JetStream, ServeError, ServiceOptions};
use stream::{Api, Consume, Declaration, Overlap, Plan};
use tries::Tries;
use troubles::Troubles;

use crate::nats::{Mode, NatsOptions, redact};
use crate::operation::Persist;
use crate::sql::SqlxService;

/// What every subscription shares.
struct Shared<O> {
    client: Client,
    db: SqlxService<O>,
    counters: Counters,
    api: Api,
    /// The stream that events come from, if they do.
    stream: Option<Declaration>,
    in_flight: usize,
    instance: Arc<Instance>,
    /// Whether another kind of service may be there.
    takeover: bool,
    /// Whether something answers beside us that must not: our clients are told.
    foreign: AtomicBool,
    notices: Notices,
    troubles: Arc<Troubles>,
    connection: watch::Receiver<Connection>,
    /// How many subscriptions take requests, or work on what they took.
    busy: watch::Sender<usize>,
    /// Turns true when nothing more is to be taken.
    stop: watch::Receiver<bool>,
    /// Turns true when the time for finishing is over.
    give_up: watch::Receiver<bool>,
}

impl<O> Shared<O> {
    const fn mode(&self) -> Mode {
        if self.stream.is_some() { Mode::JetStream } else { Mode::Core }
    }
}

impl<O: Persist> Shared<O> {
    /// What was done of the operation `index`.
    fn served(&self, index: usize) -> Served {
        Served { repeated: self.db.repeated(index), ..self.counters.of(index).read() }
    }

    /// What was done of all.
    fn total(&self) -> Served {
        let all = Served { overruns: self.troubles.overruns(), ..Served::default() };
        (0..O::SPECS.len()).map(|index| self.served(index)).fold(all, Served::and)
    }
}

/// Serves the subjects of `O` until `shutdown`: then takes nothing more, finishes and commits what it took,
/// answers, acknowledges, and says goodbye to the server.
///
/// With JetStream, events come from the stream [`O::stream()`](crate::Operation::stream), each acknowledged after its
/// commit; without, by request and reply.
///
/// Connects for as long as it takes, and says so in the log. `ready` is called once, when the service is listening
/// on every subject.
///
/// # Errors
/// When it must not start: see [`ServeError`].
pub async fn serve<O: Persist>(
    nats: NatsOptions,
    db: SqlxService<O>,
    options: ServiceOptions,
    ready: impl FnOnce() + Send,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Served, ServeError> {
    let mut shutdown = std::pin::pin!(shutdown);
    let url = redact(&nats.url);
    let (events, state) = watch::channel(Connection::default());
    let troubles = Arc::new(Troubles::new(O::NAMES));
    let heard = Arc::clone(&troubles);
    let client = nats.connect(move |event| note(&events, &heard, &event)).await?;
    let (stopping, stop) = watch::channel(false);
    let (giving_up, give_up) = watch::channel(false);

    let instance = Arc::new(Instance::new(db.shown()));
    let (evict, mut evicted) = mpsc::channel(1);
    let shared = |plan, declaration: &Declaration, api: &Api| Shared {
        client: client.clone(),
        db: db.clone(),
        counters: Counters::new(O::SPECS.len()),
        api: api.clone(),
        stream: matches!(plan, Plan::Stream).then(|| declaration.clone()),
        in_flight: options.in_flight,
        instance: Arc::clone(&instance),
        takeover: options.takeover,
        foreign: AtomicBool::new(false),
        notices: Notices::default(),
        troubles: Arc::clone(&troubles),
        connection: state.clone(),
        busy: watch::Sender::new(0),
        stop: stop.clone(),
        give_up: give_up.clone(),
    };
    let (declaration, api) = (Declaration::new::<O>(db.database(), &options), Api::new(client.clone()));
    let begun = async {
        let mut tries = Tries::new(state.clone(), &url);
        loop {
            tries.begin().await;
            let begun = async {
                let denied = || state.borrow().stream_denied;
                // Before anybody is asked, or asks.
                instance.enrol(&db).await;
                let own = Own { instance: &instance, db: &db, serves: false };
                let plan = plan::<O>(&client, &api, &declaration, db.database(), Some(own), &options, denied)
                    .await?;
                let shared = Arc::new(shared(plan, &declaration, &api));
                let tasks = start(&shared, plan, declaration.clone(), evict.clone()).await?;
                Ok((shared, tasks))
            };
            if let Some(begun) = tries.end(begun.await).await {
                return begun;
            }
        }
    };
    let (shared, mut tasks) = tokio::select! {
        begun = begun => begun?,
        () = &mut shutdown => return Ok(Served::default()),
    };
    let mode = shared.mode().as_str();
    tracing::info!(url, mode, database = shared.db.database(), file = shared.db.shown(), "serving");
    ready();

    let evicted = tokio::select! {
        () = shutdown => None,
        Some(error) = evicted.recv() => {
            tracing::error!("{error}");
            Some(error)
        }
    };
    tracing::info!("stopping: finishing what was taken");
    let _ = stopping.send(true);
    let finished = async { while tasks.join_next().await.is_some() {} };
    if time::timeout(options.grace, finished).await.is_err() {
        let _ = giving_up.send(true);
        // Whoever was trying again has been told to stop, and counts what he gives up. A second is plenty.
        let finished = async { while tasks.join_next().await.is_some() {} };
        let _ = time::timeout(Duration::from_secs(1), finished).await;
        tasks.abort_all();
    }
    say_goodbye(&shared.client, state).await;
    troubles.finish();
    evicted.map_or_else(|| Ok(shared.total()), Err)
}

/// How events are to be taken, if the service may start at all.
async fn plan<O: Persist>(
    client: &Client,
    api: &Api,
    declaration: &Declaration,
    database: &str,
    own: Option<Own<'_, O>>,
    options: &ServiceOptions,
    denied: impl Fn() -> bool + Send + Sync,
) -> Result<Plan, ServeError> {
    match neighbours::other_kinds::<O>(client).await {
        Err(neighbour @ ServeError::Neighbour { .. }) if options.takeover => {
            tracing::warn!("taking over: {neighbour}");
        }
        found => found?,
    }
    let running = neighbours::ours::<O>(client, database, own).await?;
    declaration.plan::<O>(client, api, options.jetstream, running, denied).await
}

/// Listens, and begins to work.
async fn start<O: Persist>(
    shared: &Arc<Shared<O>>,
    plan: Plan,
    declaration: Declaration,
    evict: mpsc::Sender<ServeError>,
) -> Result<JoinSet<()>, ServeError> {
    let unready = |e: stream::ApiError| ServeError::Connection(e.to_string());
    let consume = |declaration| Consume {
        shared: Arc::clone(shared),
        declaration,
        connection: shared.connection.clone(),
        stop: shared.stop.clone(),
    };
    let mut tasks = JoinSet::new();
    let consume = match plan {
        Plan::Core | Plan::Unoffered => None,
        Plan::Stream => Some(consume(declaration)),
        Plan::Empty => Some(consume(declaration.closed())),
    };
    if let (Plan::Stream, Some(consume)) = (plan, &consume) {
        consume.declare().await.map_err(unready)?;
    }
    let taken = match &consume {
        Some(consume) if plan == Plan::Empty => consume.last().await.map_err(unready)?,
        _ => 0,
    };
    let mut subscriptions = subscription::subscribe(shared, &mut tasks).await?;
    let own = Own { instance: &shared.instance, db: &shared.db, serves: true };
    let running = neighbours::ours::<O>(&shared.client, shared.db.database(), Some(own)).await?;
    if let Some(mode) = running.filter(|mode| *mode != shared.mode()) {
        return Err(ServeError::OtherMode { mode });
    }
    match (plan, consume) {
        (Plan::Stream, Some(consume)) => drop(tasks.spawn(consume.run())),
        (Plan::Empty, Some(consume)) => {
            // From here on the stream takes nothing more; what it took since we listen has come to us as well.
            consume.declare().await.map_err(unready)?;
            subscription::settle(&shared.client).await?;
            subscriptions.without(Overlap::read(&shared.api, &consume.declaration.name, taken).await);
            tasks.spawn(stream::close(consume));
        }
        _ => {}
    }
    subscriptions.serve(shared, &mut tasks);
    tasks.spawn(lookout::run(Arc::clone(shared), plan == Plan::Unoffered));
    tasks.spawn(beside::run(Arc::clone(shared), evict));
    tasks.spawn(troubles::watch(Arc::clone(shared)));
    micro::start(shared, &mut tasks).await?;
    Ok(tasks)
}
