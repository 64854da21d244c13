//! The database service: subjects in, [`SqlxService`] in the middle, answers out.

mod handle;
mod neighbours;
mod subscription;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, Event};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time;

use crate::nats::{ConnectError, NatsOptions, redact, refuses_us};
use crate::operation::Persist;
use crate::sql::SqlxService;

/// How the database service runs.
#[derive(Clone, Debug)]
pub struct ServiceOptions {
    /// Start even beside another kind of service on the same subjects.
    pub takeover: bool,
    /// How many requests of one subject may be worked on at once; more wait in the connection.
    pub in_flight: usize,
    /// How long finishing may take at the end. What is not done then is counted as lost.
    pub grace: Duration,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self { takeover: false, in_flight: 1024, grace: Duration::from_secs(10) }
    }
}

/// Why the database service did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An address or credentials that cannot be read.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Another kind of service answers on our subjects.
    #[error(
        "another kind of service already answers on {subject}: {who}. Two of them would both write; stop it, or start \
         with --takeover"
    )]
    Neighbour {
        /// Where it answered.
        subject: String,
        /// What is known of it.
        who: String,
    },
    /// A service of our kind answers, on another database.
    #[error(
        "a database service on another database ({other}) already answers here; this one is {own}. Start both on the \
         same file, or stop one"
    )]
    OtherDatabase {
        /// The database that answers.
        other: String,
        /// The database of this service.
        own: String,
    },
    /// The connection was lost for good.
    #[error("the connection to NATS: {0}")]
    Connection(String),
}

/// What a database service has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Served {
    /// Requests and plain publishes that were taken.
    pub taken: u64,
    /// Of these: done, and answered if anybody had asked for an answer.
    pub done: u64,
    /// Of these: refused, because of what they asked.
    pub refused: u64,
    /// Of these: failed, because of the database; the sender was told.
    pub failed: u64,
    /// Plain publishes that were taken, and could not be applied before the end; nobody knows but this number.
    pub lost: u64,
    /// Dead letters that were kept.
    pub buried: u64,
}

#[derive(Debug, Default)]
struct Counters {
    taken: AtomicU64,
    done: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
    buried: AtomicU64,
}

impl Counters {
    fn read(&self) -> Served {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Served {
            taken: read(&self.taken),
            done: read(&self.done),
            refused: read(&self.refused),
            failed: read(&self.failed),
            lost: read(&self.lost),
            buried: read(&self.buried),
        }
    }
}

/// What every subscription shares.
struct Shared<O> {
    client: Client,
    db: SqlxService<O>,
    counters: Counters,
    in_flight: usize,
    /// Turns true when nothing more is to be taken.
    stop: watch::Receiver<bool>,
    /// Turns true when the time for finishing is over.
    give_up: watch::Receiver<bool>,
}

/// Serves the subjects of `O` until `shutdown`: then takes nothing more, finishes and commits what it took,
/// answers, and says goodbye to the server.
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
    let (events, mut state) = watch::channel(Connection::default());
    let client = nats.connect(move |event| note(&events, &event)).await?;
    let (stopping, stop) = watch::channel(false);
    let (giving_up, give_up) = watch::channel(false);
    let shared = Arc::new(Shared {
        client,
        db,
        counters: Counters::default(),
        in_flight: options.in_flight,
        stop,
        give_up,
    });

    tokio::select! {
        () = connected(&mut state, &url) => {}
        () = &mut shutdown => return Ok(Served::default()),
    }
    match neighbours::other_kinds::<O>(&shared.client).await {
        Err(neighbour) if options.takeover => tracing::warn!("taking over: {neighbour}"),
        found => found?,
    }
    let own = shared.db.database().to_owned();
    neighbours::other_databases::<O>(&shared.client, &own).await?;
    let mut subscriptions = subscription::start(&shared).await?;
    neighbours::other_databases::<O>(&shared.client, &own).await?;
    tracing::info!(url, database = shared.db.database(), file = shared.db.shown(), "serving");
    ready();

    shutdown.await;
    tracing::info!("stopping: finishing what was taken");
    let _ = stopping.send(true);
    let finished = async { while subscriptions.join_next().await.is_some() {} };
    if time::timeout(options.grace, finished).await.is_err() {
        let _ = giving_up.send(true);
        // Whoever was trying again has been told to stop, and counts what he gives up. A second is plenty.
        let finished = async { while subscriptions.join_next().await.is_some() {} };
        let _ = time::timeout(Duration::from_secs(1), finished).await;
        subscriptions.abort_all();
    }
    say_goodbye(&shared.client, state).await;
    Ok(shared.counters.read())
}

/// The connection, as its events tell.
#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    up: bool,
    closed: bool,
    /// Our user or password is wrong: said once.
    refused: bool,
}

fn note(state: &watch::Sender<Connection>, event: &Event) {
    match event {
        Event::Connected => {
            tracing::info!("connected to NATS");
            state.send_modify(|s| (s.up, s.refused) = (true, false));
        }
        Event::Disconnected => {
            tracing::warn!("lost the connection to NATS; trying again");
            state.send_modify(|s| s.up = false);
        }
        Event::Closed => state.send_modify(|s| s.closed = true),
        Event::SlowConsumer(_) => {
            tracing::error!("requests come faster than they are taken; some were lost on the way");
        }
        refusal if refuses_us(refusal) => {
            if !state.send_if_modified(|s| !std::mem::replace(&mut s.refused, true)) {
                return;
            }
            tracing::error!("the NATS server refuses our user or password; trying again, quietly");
        }
        Event::ServerError(error) => tracing::error!("the NATS server says: {error}"),
        other => tracing::debug!("NATS: {other}"),
    }
}

/// Waits for the connection, and says so as long as it takes.
async fn connected(state: &mut watch::Receiver<Connection>, url: &str) {
    let mut patience = Duration::from_secs(1);
    while time::timeout(patience, state.wait_for(|s| s.up)).await.is_err() {
        if !state.borrow().refused {
            tracing::warn!(url, "no NATS server answers; trying again, for ever");
        }
        patience = Duration::from_secs(30);
    }
}

/// Sends what is still on its way, and closes the connection; what a server that is gone does not take is lost with
/// it.
async fn say_goodbye(client: &Client, mut state: watch::Receiver<Connection>) {
    if !state.borrow().up {
        return;
    }
    let goodbye = async {
        let _ = client.flush().await;
        if client.drain().await.is_ok() {
            // Drain has done its work only when the connection says that it is closed.
            let _ = state.wait_for(|s| s.closed).await;
        }
    };
    if time::timeout(Duration::from_secs(2), goodbye).await.is_err() {
        tracing::warn!("the NATS server did not take our goodbye");
    }
}

/// The first word of a service: the subject on which it tells that it is well.
fn ping_subject<O: Persist>() -> String {
    format!("{}.ping", O::SERVICE)
}
