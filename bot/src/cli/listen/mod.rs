//! `--listen`: how a process that runs for long tells of itself over HTTP. What little can be changed there, only who reaches
//! the socket or knows a token may change.
//!
//! ```text
//! sources (service, database, paths, bot) ─ sampler, once a second ─► snapshot ─► /readyz /livez /status.json
//! layers, writer ─ facade `metrics` ─ recorder ──────────────────────────────┴─► /metrics
//!                                             snapshot ─ board (in words) ─► the page, `rosey top`
//! ```

mod act;
mod address;
mod args;
pub(super) mod board;
mod checks;
mod flow;
mod lately;
mod look;
mod made;
mod page;
mod recorder;
mod routes;
mod sampler;
mod samples;
mod server;
mod snapshot;
mod socket;
mod sources;
mod table;
mod text;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use act::Done;
use act::access::{Access, Who};
pub(super) use address::{Address, parse as parse_address};
pub(super) use args::ListenArgs;
use recorder::Recorded;
use routes::EndpointState;
use sampler::Sampler;
use snapshot::Ended;
use socket::Socket;
pub(super) use sources::Client;
use sources::{Parts, Sources};

use super::database_options::DatabaseOptions;
use super::exit::{Exit, Failure};
use crate::bot::Progress;
use crate::op::Op;
use eitherway::service::Monitor;
use eitherway::sql::SqlService;
use eitherway::{Namespace, clock};

/// The endpoints of this process, if it has some.
pub(super) struct Endpoints(Option<Running>);

struct Running {
    sources: Arc<Sources>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Endpoints {
    /// Begins to answer, and to record what layers and writers count: before any of them is made.
    ///
    /// # Errors
    /// Other machines reach the address and nothing allows that, or it cannot be listened at.
    pub(super) async fn start(
        args: &ListenArgs,
        command: &'static str,
        shutdown: &CancellationToken,
    ) -> Result<Self, Failure> {
        let Some(address) = args.address()? else { return Ok(Self(None)) };
        let who = match (address, args.token()?) {
            (Address::Unix(_), _) => Who::OfSocket,
            (Address::Tcp(_), Some(file)) => Who::WithToken(file),
            (Address::Tcp(_), None) => Who::Disabled,
        };
        let socket = Socket::bind(address).await;
        let socket = socket.map_err(|why| Failure::new(Exit::Usage, format!("--listen {address}: {why}")))?;
        let access =
            Access::new(who).map_err(|why| Failure::new(Exit::Failed, format!("--listen: {why}")))?;
        let recorded = Recorded::begin()?;
        let shown = socket.shown();
        tracing::info!("endpoints at {shown}: /livez, /readyz, /metrics, /status.json, and a page at /");
        if address.is_public() {
            tracing::warn!("other machines can read the endpoints at {shown}: there is no authentication");
            if matches!(access.who, Who::WithToken(_)) {
                tracing::warn!(
                    "the token travels to {shown} as it is, for everybody on the way to read: put a proxy that speaks TLS in front, or come by ssh"
                );
            }
        }
        let sources = Arc::new(Sources::new(command, shutdown.clone()));
        let mut sampler = Sampler::new(Arc::clone(&sources), recorded.clone());
        let (told, now) = watch::channel(Arc::new(sampler.look().await));
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let by_any_name = address.is_public() || matches!(access.who, Who::WithToken(_));
        let done = Done::new(Arc::clone(&sources));
        let page = page::router(now.clone(), access, done);
        let router = routes::router(EndpointState { now, recorded }, page);
        let router =
            if by_any_name { router } else { router.layer(axum::middleware::from_fn(routes::only_here)) };
        tasks.spawn(sampler.run(told, stop.clone()));
        tasks.spawn(server::serve(socket, router, stop.clone()));
        Ok(Self(Some(Running { sources, stop, tasks })))
    }

    /// The bot of this process is to be in these rooms.
    pub(super) fn rooms<'a>(&self, names: impl Iterator<Item = &'a str>) {
        if let Some(running) = &self.0 {
            running.sources.set_rooms(names);
        }
    }

    /// Where it is told of one of them; of the one without a name in a process that has none.
    pub(super) fn room(&self, name: &Namespace) -> OfRoom {
        OfRoom {
            sources: self.0.as_ref().map(|running| Arc::clone(&running.sources)),
            room: name.as_str().to_owned(),
        }
    }

    /// Answers no more, and lets go of all parts.
    pub(super) async fn close(self) {
        let Some(Running { sources, stop, mut tasks }) = self.0 else { return };
        stop.cancel();
        while tasks.join_next().await.is_some() {}
        sources.clear();
    }
}

/// Where it is told of one room as its parts begin.
#[derive(Clone)]
pub(super) struct OfRoom {
    sources: Option<Arc<Sources>>,
    room: String,
}

impl OfRoom {
    fn tell(&self, what: impl FnOnce(&mut Parts)) {
        if let Some(sources) = &self.sources {
            sources.tell(&self.room, what);
        }
    }

    /// For the database service of this process, which has one database, or one for each of several namespaces.
    pub(super) fn monitor(&self, one: bool) -> Monitor {
        let Some(sources) = &self.sources else { return Monitor::default() };
        sources.serves(one);
        sources.monitor.clone()
    }

    /// The database is open, at this place.
    pub(super) fn database(&self, database: &SqlService<Op>, place: DatabaseOptions) {
        self.tell(|parts| parts.set_database(database.clone(), place));
    }

    /// The paths of the bot are open.
    pub(super) fn client(&self, client: impl FnOnce() -> Client) {
        self.tell(|parts| parts.set_client(client()));
    }

    /// The bot begins.
    pub(super) fn bot(&self, progress: Arc<Progress>) {
        self.tell(|parts| parts.set_bot(progress));
    }

    /// The room has ended, and the process has not.
    pub(super) fn ended(&self, exit: Exit, why: &str) {
        let ended = Ended { at: clock::now(), exit: exit.number(), why: why.to_owned() };
        self.tell(|parts| parts.set_ended(ended));
    }
}
