//! The database service: subjects in, [`SqlxService`] in the middle, answers out.

mod barrier;
mod beside;
mod check;
mod connection;
mod counters;
mod denied;
mod file;
mod handle;
mod instance;
mod lanes;
mod leave;
mod lookout;
mod micro;
mod neighbours;
mod notices;
mod options;
mod progress;
mod received;
mod replies;
mod server_time;
mod sighted;
mod stream;
mod subscription;
mod take;
mod tries;
mod troubles;
mod unreadable;
mod waiting;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_nats::{Client, Message};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time;

pub use check::check;
#[cfg(feature = "cli")]
pub(crate) use check::{check_for, reply_prefix};
use connection::{Connection, ended, note, say_goodbye};
use counters::Counters;
pub use counters::Served;
use instance::Instance;
use neighbours::Own;
use notices::Notices;
pub use options::{JetStream, ServeError, ServiceOptions};
use progress::Progress;
use replies::{Replies, To};
use stream::{Api, Consume, Declaration, Declared, Overlap, Plan};
use tries::Tries;
use troubles::Troubles;
use waiting::Room;

use crate::nats::{Mode, NatsOptions, redact};
use crate::operation::Persist;
use crate::sql::SqlxService;

/// What every subscription shares.
struct Shared<O> {
    client: Client,
    db: SqlxService<O>,
    counters: Arc<Counters>,
    api: Api,
    /// The stream that events come from, if they do.
    stream: Option<Declaration>,
    in_flight: usize,
    replies: Replies,
    instance: Arc<Instance>,
    /// Whether another kind of service may be there.
    takeover: bool,
    /// Whether something answers beside us that must not: our clients are told.
    foreign: AtomicBool,
    /// What waits on all subjects together.
    room: Room,
    notices: Arc<Notices>,
    progress: Progress,
    troubles: Arc<Troubles>,
    connection: watch::Receiver<Connection>,
    /// How many subscriptions take requests, and how many requests that were taken are not done.
    busy: Arc<watch::Sender<usize>>,
    /// Turns true when nothing more is to be taken.
    stop: watch::Receiver<bool>,
    /// Turns true when the time for finishing is over.
    give_up: watch::Receiver<bool>,
}

impl<O> Shared<O> {
    const fn mode(&self) -> Mode {
        if self.stream.is_some() { Mode::JetStream } else { Mode::Core }
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
    let mut ready = Some(ready);
    let lasting = Lasting {
        counters: Arc::new(Counters::new(O::SPECS.len())),
        notices: Arc::default(),
        troubles: Arc::new(Troubles::new(O::NAMES)),
        instance: Arc::new(Instance::new(db.shown())),
        replies: Replies::new::<O>(&options.reply_prefixes)?,
    };
    let mut earlier = Earlier::default();
    loop {
        let nats = nats.clone();
        let over =
            serve_once(nats, &db, &options, &lasting, &mut earlier, &mut ready, shutdown.as_mut()).await?;
        if let Some(served) = over {
            return Ok(served);
        }
    }
}

/// What outlives a connection.
struct Lasting {
    counters: Arc<Counters>,
    notices: Arc<Notices>,
    troubles: Arc<Troubles>,
    instance: Arc<Instance>,
    replies: Replies,
}

/// What a connection that broke for good has left.
#[derive(Default)]
struct Earlier {
    /// How events are taken: that does not change.
    plan: Option<Plan>,
    /// What is being finished.
    tasks: JoinSet<()>,
    /// Tells it that the time for that is over.
    giving_up: Vec<watch::Sender<bool>>,
}

/// Serves over one connection. Nothing, if the client library has ended it for good: a message can do that to it, and then
/// another one is made.
async fn serve_once<O: Persist>(
    nats: NatsOptions,
    db: &SqlxService<O>,
    options: &ServiceOptions,
    lasting: &Lasting,
    earlier: &mut Earlier,
    ready: &mut Option<impl FnOnce() + Send>,
    mut shutdown: Pin<&mut (impl Future<Output = ()> + Send)>,
) -> Result<Option<Served>, ServeError> {
    let url = redact(&nats.url);
    let (events, state) = watch::channel(Connection::default());
    let troubles = Arc::clone(&lasting.troubles);
    let heard = Arc::clone(&troubles);
    let client = nats.connect(move |event| note(&events, &heard, &event)).await?;
    let (stopping, stop) = watch::channel(false);
    let (giving_up, give_up) = watch::channel(false);

    let instance = &lasting.instance;
    let (evict, mut evicted) = mpsc::channel(1);
    let shared = |plan, declaration: &Declaration, api: &Api| Shared {
        client: client.clone(),
        db: db.clone(),
        counters: Arc::clone(&lasting.counters),
        api: api.clone(),
        stream: matches!(plan, Plan::Stream).then(|| declaration.clone()),
        in_flight: options.in_flight,
        replies: lasting.replies.clone(),
        instance: Arc::clone(&lasting.instance),
        takeover: options.takeover,
        foreign: AtomicBool::new(false),
        room: Room::default(),
        notices: Arc::clone(&lasting.notices),
        progress: Progress::default(),
        troubles: Arc::clone(&troubles),
        connection: state.clone(),
        busy: Arc::new(watch::Sender::new(0)),
        stop: stop.clone(),
        give_up: give_up.clone(),
    };
    let (declaration, api) = (Declaration::new::<O>(db.database(), options), Api::new(client.clone()));
    let known = earlier.plan;
    let begun = async {
        let mut tries = Tries::new(state.clone(), &url, &troubles);
        loop {
            tries.begin().await;
            let begun = async {
                let denied = || state.borrow().stream_denied;
                // Before anybody is asked, or asks.
                instance.enrol(db).await;
                let (plan, forbidden) = match known {
                    // It was emptied and deleted over an earlier connection.
                    Some(Plan::Empty)
                        if api.stream(&declaration.name).await.is_err_and(|e| e.is_not_found()) =>
                    {
                        (Plan::Core, None)
                    }
                    Some(plan) => (plan, None),
                    None => {
                        let own = Own { instance, db, serves: false };
                        let plan =
                            plan::<O>(&client, &api, &declaration, db.database(), Some(own), options, denied)
                                .await?;
                        allowed(plan, &declaration, &api, options.jetstream).await?
                    }
                };
                let shared = Arc::new(shared(plan, &declaration, &api));
                if let Some(why) = forbidden {
                    shared.notices.raise("limits", why);
                }
                let wanted = options.jetstream != JetStream::Off;
                let evict = evict.clone();
                let tasks = start(&shared, plan, declaration.clone(), wanted, evict, known.is_some()).await?;
                Ok((shared, tasks, plan))
            };
            if let Some(begun) = tries.end(begun.await).await {
                return begun;
            }
        }
    };
    let (shared, mut tasks, plan) = tokio::select! {
        begun = begun => match begun {
            Ok(begun) => begun,
            Err(e) => {
                finish(JoinSet::new(), earlier, &giving_up, options.grace).await;
                return Err(e);
            }
        },
        () = ended(state.clone(), &troubles) => return Ok(None),
        () = &mut shutdown => {
            finish(JoinSet::new(), earlier, &giving_up, options.grace).await;
            let all = Served { overruns: troubles.overruns(), ..Served::default() };
            return Ok(Some((0..O::SPECS.len()).map(|i| lasting.counters.of(i).read()).fold(all, Served::and)));
        }
    };
    earlier.plan = Some(plan);
    let mode = shared.mode().as_str();
    if let Some(ready) = ready.take() {
        tracing::info!(url, mode, database = shared.db.database(), file = shared.db.shown(), "serving");
        ready();
    }

    let evicted = tokio::select! {
        () = &mut shutdown => None,
        () = ended(state.clone(), &troubles) => {
            let _ = stopping.send(true);
            earlier.tasks.spawn(async move { while tasks.join_next().await.is_some() {} });
            earlier.giving_up.push(giving_up);
            return Ok(None);
        }
        Some(error) = evicted.recv() => {
            tracing::error!("{error}");
            Some(error)
        }
    };
    tracing::info!("stopping: finishing what was taken");
    let _ = stopping.send(true);
    finish(tasks, earlier, &giving_up, options.grace).await;
    say_goodbye(&shared.client, state).await;
    troubles.finish();
    evicted.map_or_else(|| Ok(Some(shared.total())), Err)
}

/// Waits for what was taken, also over earlier connections. After `grace`, what is still tried again is told to give up, and
/// counts what it gives up.
async fn finish(
    mut tasks: JoinSet<()>,
    earlier: &mut Earlier,
    giving_up: &watch::Sender<bool>,
    grace: Duration,
) {
    let mut before = std::mem::take(&mut earlier.tasks);
    tasks.spawn(async move { while before.join_next().await.is_some() {} });
    let finished = async { while tasks.join_next().await.is_some() {} };
    if time::timeout(grace, finished).await.is_err() {
        for giving_up in earlier.giving_up.iter().chain([giving_up]) {
            giving_up.send_replace(true);
        }
        // A second is plenty.
        let finished = async { while tasks.join_next().await.is_some() {} };
        let _ = time::timeout(Duration::from_secs(1), finished).await;
        tasks.abort_all();
    }
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

/// Declares the stream, if there is to be one. Where a limit forbids it, events come without, and why is a notice.
async fn allowed(
    plan: Plan,
    declaration: &Declaration,
    api: &Api,
    wanted: JetStream,
) -> Result<(Plan, Option<String>), ServeError> {
    if plan != Plan::Stream {
        return Ok((plan, None));
    }
    match declaration.begin(api).await? {
        Declared::Done | Declared::Taken => Ok((plan, None)),
        Declared::Forbidden(why) | Declared::Unconsumed(why) if wanted == JetStream::On => {
            Err(ServeError::StreamForbidden { why })
        }
        // What it holds waits for its consumer; it is named as long as there is none, and the rest is served.
        Declared::Unconsumed(_) => Ok((plan, None)),
        Declared::Forbidden(why) => Ok((
            Plan::Core,
            Some(format!(
                "events are taken without a stream, because a limit of the server or the account forbids it: {why}, and \
                 restart this service; or start it with --jetstream off if no stream is wanted"
            )),
        )),
    }
}

/// Listens, and begins to work. `again`: who else is there was asked before, and no time is to be lost with it.
async fn start<O: Persist>(
    shared: &Arc<Shared<O>>,
    plan: Plan,
    declaration: Declaration,
    wanted: bool,
    evict: mpsc::Sender<ServeError>,
    again: bool,
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
    let taken = match &consume {
        Some(consume) if plan == Plan::Empty => consume.last().await.map_err(unready)?,
        _ => 0,
    };
    let mut subscriptions = subscription::subscribe(shared, &mut tasks).await?;
    let own = Own { instance: &shared.instance, db: &shared.db, serves: true };
    let running = if again {
        None
    } else {
        neighbours::ours::<O>(&shared.client, shared.db.database(), Some(own)).await?
    };
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
    tasks.spawn(progress::run(Arc::clone(shared)));
    tasks.spawn(file::watch(Arc::clone(shared)));
    micro::start(shared, &mut tasks).await?;
    subscription::settle(&shared.client).await?;
    denied::look(shared, wanted);
    tasks.spawn(denied::run(Arc::clone(shared), wanted));
    Ok(tasks)
}
