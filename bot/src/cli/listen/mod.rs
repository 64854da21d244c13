//! `--listen`: how a process that runs for long tells of itself over HTTP. Nothing can be changed there.
//!
//! ```text
//! sources (service, database, paths, bot) ─ sampler, once a second ─► snapshot ─► /readyz /livez /status.json
//! layers, writer ─ facade `metrics` ─ recorder ──────────────────────────────┴─► /metrics
//! ```

mod address;
mod args;
mod checks;
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

pub(super) use args::ListenArgs;
use recorder::Recorded;
use routes::EndpointState;
use sampler::Sampler;
use socket::Socket;
pub(super) use sources::Client;
use sources::Sources;

use super::exit::{Exit, Failure};
use crate::bot::Progress;
use crate::op::Op;
use eitherway::service::Monitor;
use eitherway::sql::SqlService;

/// The endpoints of this process, if it has some. Its parts are told of as they begin.
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
        let socket = Socket::bind(address).await;
        let socket = socket.map_err(|why| Failure::new(Exit::Usage, format!("--listen {address}: {why}")))?;
        let recorded = Recorded::begin()?;
        let shown = socket.shown();
        tracing::info!("endpoints at {shown}: /livez, /readyz, /metrics, /status.json");
        if address.is_public() {
            tracing::warn!("other machines can read the endpoints at {shown}: there is no authentication");
        }
        let sources = Arc::new(Sources::new(command, shutdown.clone()));
        let mut sampler = Sampler::new(Arc::clone(&sources));
        let (told, now) = watch::channel(Arc::new(sampler.look().await));
        let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let router = routes::router(EndpointState { now, recorded: recorded.clone() });
        tasks.spawn(sampler.run(told, recorded, stop.clone()));
        tasks.spawn(server::serve(socket, router, stop.clone()));
        Ok(Self(Some(Running { sources, stop, tasks })))
    }

    fn tell(&self, what: impl FnOnce(&Sources)) {
        if let Some(running) = &self.0 {
            what(&running.sources);
        }
    }

    /// For the database service of this process, which has one database, or one for each of several namespaces.
    pub(super) fn monitor(&self, one: bool) -> Monitor {
        self.tell(|sources| sources.serves(one));
        self.0.as_ref().map(|running| running.sources.monitor.clone()).unwrap_or_default()
    }

    /// The database is open.
    pub(super) fn database(&self, database: &SqlService<Op>) {
        self.tell(|sources| sources.set_database(database.clone()));
    }

    /// The paths of the bot are open.
    pub(super) fn client(&self, client: impl FnOnce() -> Client) {
        self.tell(|sources| sources.set_client(client()));
    }

    /// The bot begins.
    pub(super) fn bot(&self, progress: Arc<Progress>) {
        self.tell(|sources| sources.set_bot(progress));
    }

    /// Answers no more, and lets go of all parts.
    pub(super) async fn close(self) {
        let Some(Running { sources, stop, mut tasks }) = self.0 else { return };
        stop.cancel();
        while tasks.join_next().await.is_some() {}
        sources.clear();
    }
}
