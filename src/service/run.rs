//! The course of a service: over two connections, each made anew when it has ended permanently.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bundle::Bundles;
use super::connection::Carries;
use super::link::Link;
use super::listening::Listening;
use super::options::Settings;
use super::outage::Outage;
use super::stream::{Api, Declaration, Plan};
use super::tasks::{Earlier, Tasks};
use super::{Counters, Instance, LogThrottle, Mode, Notices, Part, Progress, Replies, ServeError, Shared};
use crate::nats::NatsOptions;
use crate::nats::names::Names;
use crate::operation::Operation;
use crate::store::Store;

/// What outlives a connection.
pub(super) struct ServiceState {
    pub(super) counters: Arc<Counters>,
    pub(super) notices: Arc<Notices>,
    pub(super) listening: Arc<Listening>,
    pub(super) troubles: Arc<LogThrottle>,
    pub(super) instance: Arc<Instance>,
    pub(super) progress: Arc<Progress>,
    pub(super) outage: Arc<Outage>,
    pub(super) replies: Replies,
    pub(super) names: Arc<Names>,
    pub(super) bundles: Bundles,
    pub(super) part: Part,
}

/// A service.
pub(super) struct Run<O, D> {
    pub(super) nats: NatsOptions,
    pub(super) db: D,
    operation: PhantomData<fn(O)>,
    pub(super) settings: Settings,
    pub(super) lasting: ServiceState,
    /// How events are taken: known after the first start, and the same from then on.
    pub(super) plan: Option<Plan>,
    /// What listens until the next connection does.
    replaced: Option<Tasks>,
    earlier: Earlier,
}

/// Why listening ended.
enum Ended {
    /// It was told to.
    Stopped,
    /// Another connection is needed, for requests or for both.
    Reconnect(Carries),
}

/// What the tasks over one connection tell of the whole service.
#[derive(Clone)]
pub(super) struct Tell {
    /// This instance must stop, and why.
    pub(super) evict: mpsc::Sender<ServeError>,
    /// What was denied is allowed now, over this connection.
    pub(super) renew: mpsc::Sender<Carries>,
}

impl<O: Operation, D: Store<O>> Run<O, D> {
    pub(super) fn new(nats: NatsOptions, db: D, settings: Settings, lasting: ServiceState) -> Self {
        Self {
            nats,
            db,
            operation: PhantomData,
            settings,
            lasting,
            plan: None,
            replaced: None,
            earlier: Earlier::default(),
        }
    }

    /// Serves until `shutdown`, and finishes what was taken.
    pub(super) async fn until(
        mut self,
        ready: &mut Option<impl FnOnce() + Send>,
        mut shutdown: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<(), ServeError> {
        loop {
            let link = self.open(Carries::Stream).await?;
            let mut stream = Tasks::over(link, self.earlier.give_up.clone());
            let ended = loop {
                match self.listen(&mut stream, ready, shutdown.as_mut()).await {
                    Ok(Ended::Reconnect(Carries::Requests)) => {}
                    Ok(Ended::Reconnect(Carries::Stream)) => break None,
                    Ok(Ended::Stopped) => break Some(Ok(())),
                    Err(e) => break Some(Err(e)),
                }
            };
            if let Some(ended) = ended {
                self.replaced.take().into_iter().for_each(|tasks| self.earlier.add(tasks));
                self.earlier.finish(stream, self.settings.grace).await;
                self.lasting.troubles.flush();
                return ended;
            }
            self.earlier.add(stream);
        }
    }

    async fn open(&self, carries: Carries) -> Result<Link, ServeError> {
        Ok(Link::open(self.nats.clone(), carries, &self.lasting.troubles).await?)
    }

    /// Serves over one connection for requests.
    async fn listen(
        &mut self,
        stream: &mut Tasks,
        ready: &mut Option<impl FnOnce() + Send>,
        mut shutdown: Pin<&mut (impl Future<Output = ()> + Send)>,
    ) -> Result<Ended, ServeError> {
        let mut requests = Tasks::over(self.open(Carries::Requests).await?, self.earlier.give_up.clone());
        let troubles = Arc::clone(&self.lasting.troubles);
        let (evict, mut evicted) = mpsc::channel(1);
        let (renew, mut renewals) = mpsc::channel(2);
        let links = [requests.link.clone(), stream.link.clone()];
        let ended = async {
            tokio::select! {
                () = links[0].ended(&troubles) => Carries::Requests,
                () = links[1].ended(&troubles) => Carries::Stream,
            }
        };
        let mut ended = std::pin::pin!(ended);
        let begun = tokio::select! {
            begun = self.begin(&mut requests, stream, Tell { evict, renew }) => begun?,
            carries = ended.as_mut() => return Ok(Ended::Reconnect(carries)),
            () = &mut shutdown => return Ok(Ended::Stopped),
        };
        if !begun {
            return Ok(Ended::Reconnect(Carries::Stream));
        }
        self.replaced.take().into_iter().for_each(|tasks| self.earlier.add(tasks));
        for carries in [Carries::Requests, Carries::Stream] {
            troubles.denials.listening(carries);
        }
        // Where the server denies everything, that is a notice, and serving begins with the first subject that it allows. Events
        // come from a stream all the same.
        let serves_nothing =
            self.mode() == Mode::Core && troubles.denials.deny_everything(&self.lasting.names, Mode::Core);
        let _listening = (!serves_nothing).then(|| self.lasting.listening.begin(self.mode(), &links));
        if !serves_nothing && let Some(ready) = ready.take() {
            let mode = self.mode().as_str();
            let (url, database, file) = (&*requests.link.url, self.db.id(), self.db.shown());
            tracing::info!(url, mode, database, file, "serving");
            ready();
        }
        let over = tokio::select! {
            () = &mut shutdown => Ok(Ended::Stopped),
            carries = ended => Ok(Ended::Reconnect(carries)),
            Some(carries) = renewals.recv() => {
                tracing::info!("the NATS server allows the denied subjects now; listening on them");
                if carries == Carries::Requests {
                    // The old subscriptions serve until the new ones stand.
                    self.replaced = Some(requests);
                    return Ok(Ended::Reconnect(carries));
                }
                Ok(Ended::Reconnect(carries))
            }
            Some(error) = evicted.recv() => {
                tracing::error!("{error}");
                Err(error)
            }
        };
        if !matches!(over, Ok(Ended::Reconnect(_))) {
            tracing::info!("shutting down: draining in-flight requests");
        }
        if !matches!(over, Ok(Ended::Reconnect(Carries::Requests))) {
            stream.stop.cancel();
        }
        self.earlier.add(requests);
        over
    }

    /// What the tasks over one connection share.
    pub(super) fn shared(
        &self,
        tasks: &Tasks,
        spare: &Link,
        plan: Plan,
        declaration: &Declaration,
        api: &Api,
        stop: &CancellationToken,
    ) -> Arc<Shared<O, D>> {
        let ServiceState {
            counters,
            notices,
            troubles,
            instance,
            progress,
            outage,
            replies,
            names,
            part,
            ..
        } = &self.lasting;
        let running = TaskTracker::new();
        running.close();
        Arc::new(Shared {
            client: tasks.link.client.clone(),
            spare: spare.client.clone(),
            db: self.db.clone(),
            operation: PhantomData,
            names: Arc::clone(names),
            counters: Arc::clone(counters),
            api: api.clone(),
            stream: matches!(plan, Plan::Stream).then(|| declaration.clone()),
            in_flight: self.settings.in_flight,
            bundles: self.lasting.bundles.clone(),
            work_limit: part.work_limit.clone(),
            discovery: part.discovery.clone(),
            replies: replies.clone(),
            instance: Arc::clone(instance),
            takeover: self.settings.takeover,
            foreign: AtomicBool::new(false),
            room: part.room.clone(),
            notices: Arc::clone(notices),
            progress: Arc::clone(progress),
            outage: Arc::clone(outage),
            troubles: Arc::clone(troubles),
            connection: tasks.link.state.clone(),
            url: Arc::clone(&tasks.link.url),
            running,
            stop: stop.clone(),
            give_up: tasks.give_up.clone(),
        })
    }
}
