//! How a service begins: looks who else is there and how events are to be taken, listens, and starts to work.

use std::sync::Arc;

use async_nats::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::options::Settings;
use super::peers::Own;
use super::run::{Run, Tell};
use super::startup_retries::StartupRetries;
use super::stream::{Api, ApiError, Consume, Declaration, Declared, Overlap, Plan};
use super::tasks::Tasks;
use super::{
    JetStream, Mode, ServeError, Shared, config_monitor, file, listen, micro, payload, peer_monitor, peers,
    permissions, stream, subscription, watch,
};
use crate::hints::option;
use crate::nats::names::Names;
use crate::operation::Operation;
use crate::store::{Instances, Store};

fn unready(e: ApiError) -> ServeError {
    ServeError::Connection(e.to_string())
}

impl<O: Operation, D: Store<O>> Run<O, D> {
    pub(super) const fn mode(&self) -> Mode {
        if matches!(self.plan, Some(Plan::Stream)) { Mode::JetStream } else { Mode::Core }
    }

    /// Begins, for as long as only the connections are in the way. False if these connections cannot serve: the server has
    /// denied what they were to listen to.
    pub(super) async fn begin(
        &mut self,
        requests: &mut Tasks,
        stream: &mut Tasks,
        tell: Tell,
    ) -> Result<bool, ServeError> {
        let links = [requests.link.clone(), stream.link.clone()];
        let links = [&links[0], &links[1]];
        let troubles = Arc::clone(&self.lasting.troubles);
        let mut tries = StartupRetries::new(&links, &troubles);
        loop {
            tries.begin().await;
            match tries.end(self.start(requests, stream, &tell)).await {
                Some(Ok((plan, tasks, behind))) => {
                    self.plan = Some(plan);
                    requests.all = tasks;
                    if let Some(behind) = behind {
                        stream.all = behind;
                    }
                    return Ok(true);
                }
                Some(Err(e)) => return Err(e),
                None if troubles.denials.inboxes() && links.iter().all(|link| link.now().up) => {
                    return Ok(false);
                }
                None => {}
            }
        }
    }

    /// One try. What it starts ends with what it returns: the tasks over the connection for requests, and those over the
    /// stream's, unless they run already.
    async fn start(
        &self,
        requests: &Tasks,
        stream: &Tasks,
        tell: &Tell,
    ) -> Result<(Plan, JoinSet<()>, Option<JoinSet<()>>), ServeError> {
        let (db, settings) = (&self.db, &self.settings);
        let bundles = self.lasting.bundles.clone();
        let declaration = Declaration::new(&self.lasting.names, db.id(), settings, bundles);
        let api = Api::new(stream.link.client.clone());
        // Before any other instance is asked, or asks.
        self.lasting.instance.enrol(db).await;
        let (plan, forbidden) = match self.plan {
            // It was emptied and deleted over an earlier connection; or the server has no streams any more.
            Some(Plan::Empty)
                if api
                    .stream(&declaration.name)
                    .await
                    .is_err_and(|e| e.is_not_found() || matches!(e, ApiError::Absent)) =>
            {
                (Plan::Core, None)
            }
            Some(plan) => (plan, None),
            None => {
                let own = Own { instance: &self.lasting.instance, db, serves: false };
                let denied = || stream.link.now().stream_denied;
                let client = &requests.link.client;
                let plan = plan(
                    &self.lasting.names,
                    client,
                    &api,
                    &declaration,
                    db.id(),
                    Some(own),
                    settings,
                    denied,
                )
                .await?;
                allowed(plan, &declaration, &api, settings.jetstream).await?
            }
        };
        if let Some(why) = forbidden {
            self.lasting.notices.raise("limits", why);
        }
        let shared = self.shared(requests, &stream.link, plan, &declaration, &api, &requests.stop);
        let behind = self.shared(stream, &stream.link, plan, &declaration, &api, &stream.stop);
        let consume = |declaration, stop: &CancellationToken| Consume {
            shared: Arc::clone(&behind),
            declaration,
            connection: stream.link.state.clone(),
            stop: stop.clone(),
        };
        let mut tasks = JoinSet::new();
        let empty = (plan == Plan::Empty).then(|| consume(declaration.clone().closed(), &requests.stop));
        let taken = match &empty {
            Some(consume) => consume.last().await.map_err(unready)?,
            None => 0,
        };
        let mut subscriptions = listen::subscribe(&shared, &mut tasks).await?;
        if self.plan.is_none() {
            // Once more: another one may have started at the same moment. Later no time is to be lost with it.
            let own = Own { instance: &shared.instance, db, serves: true };
            let running = peers::ours(&shared.names, &shared.client, db.id(), Some(own)).await?;
            if let Some(mode) = running.filter(|mode| *mode != shared.mode()) {
                return Err(ServeError::OtherMode { mode });
            }
        }
        let (first, mut over_stream) = (stream.all.is_empty(), JoinSet::new());
        if first && plan == Plan::Stream {
            over_stream.spawn(consume(declaration, &stream.stop).run().in_current_span());
        }
        if let Some(consume) = empty {
            // From here on the stream takes nothing more; what it took since we listen has come to us as well.
            consume.declare().await.map_err(unready)?;
            subscription::flush_subscriptions(&shared.client).await?;
            subscriptions.without(Overlap::read(&shared.api, &consume.declaration.name, taken).await);
            tasks.spawn(stream::close(consume).in_current_span());
        }
        subscriptions.serve(&shared, &mut tasks);
        tasks.spawn(peer_monitor::run(Arc::clone(&shared), tell.evict.clone()).in_current_span());
        micro::start(&shared, &mut tasks).await?;
        subscription::flush_subscriptions(&shared.client).await?;
        let wanted = settings.jetstream != JetStream::Off;
        permissions::look(&shared, wanted);
        tasks.spawn(permissions::retry(shared, stream.link.clone(), tell.renew.clone()).in_current_span());
        if !first {
            return Ok((plan, tasks, None));
        }
        watch(&behind, &mut over_stream, plan == Plan::Unoffered, wanted);
        Ok((plan, tasks, Some(over_stream)))
    }
}

/// Watches what may go wrong, over the connection that no peer's message can end.
fn watch<O: Operation, D: Store<O>>(
    shared: &Arc<Shared<O, D>>,
    tasks: &mut JoinSet<()>,
    unoffered: bool,
    wanted: bool,
) {
    tasks.spawn(config_monitor::run(Arc::clone(shared), unoffered).in_current_span());
    tasks.spawn(watch::over(Arc::clone(shared)).in_current_span());
    tasks.spawn(watch::progress(Arc::clone(shared)).in_current_span());
    tasks.spawn(file::watch(Arc::clone(shared)).in_current_span());
    tasks.spawn(payload::watch(Arc::clone(shared)).in_current_span());
    tasks.spawn(permissions::run(Arc::clone(shared), wanted).in_current_span());
}

/// How events are to be taken, if the service may start at all.
#[allow(clippy::too_many_arguments)]
pub(super) async fn plan<D: Instances>(
    names: &Names,
    client: &Client,
    api: &Api,
    declaration: &Declaration,
    database: &str,
    own: Option<Own<'_, D>>,
    settings: &Settings,
    denied: impl Fn() -> bool + Send + Sync,
) -> Result<Plan, ServeError> {
    // Side by side: where a namespace is listened to already, each takes its time.
    let (found, running) =
        tokio::join!(peers::other_kinds(names, client), peers::ours(names, client, database, own));
    match found {
        Err(neighbour @ ServeError::ForeignService { .. }) if settings.takeover => {
            tracing::warn!("taking over: {neighbour}");
        }
        found => found?,
    }
    declaration.plan(names, client, api, settings.jetstream, running?, denied).await
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
                 restart this service; or start it with {} if no stream is wanted",
                option("jetstream off")
            )),
        )),
    }
}
