//! The course of one namespace: waits to be asked for, opens its store, serves, and closes it when no client needs it any more.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message};
use tokio::sync::oneshot;
use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;
use tower::Layer;

use super::host::{Asked, Host};
use super::pending_messages::{self, PendingMessages};
use super::shared_connection::SharedSubscriptions;
use crate::client::Stack;
use crate::nats::names::Names;
use crate::nats::stored;
use crate::operation::Operation;
use crate::service::counters::{Counters, Served};
use crate::service::options::{ServeError, ServiceOptions};
use crate::service::replies::Replies;
use crate::service::waiting::Capacity;
use crate::service::{Part, check, peers, serve_within};
use crate::store::{Store, Stores};

/// The pause before one that cannot be served is tried again, first and longest.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often it is looked whether the stream of one that is not open holds something.
const LOOK: Duration = Duration::from_secs(5);
/// For how long one that opens keeps others from beginning to. What takes longer than that waits for a lock, not for this machine.
const TURN: Duration = Duration::from_millis(300);
/// After how long without use one is closed where there are too many.
const PRESSED: Duration = Duration::from_secs(5);

/// One namespace.
pub(super) struct Lifecycle<O, S, L> {
    host: Arc<Host<O, S, L>>,
    names: Arc<Names>,
    replies: Replies,
    /// Cancelled when it is not to be served any more.
    stop: CancellationToken,
    pending: PendingMessages,
    total: Served,
}

/// How serving ended.
enum Ended {
    /// It was told to stop.
    Stopped,
    /// No client needs it.
    Idle,
}

impl<O, S, L> Lifecycle<O, S, L>
where
    O: Operation,
    S: Stores<O>,
    L: Layer<S::Store, Service: Stack<O>> + Clone + Send + Sync + 'static,
{
    pub(super) fn new(
        host: Arc<Host<O, S, L>>,
        names: Names,
        stop: CancellationToken,
    ) -> Result<Self, ServeError> {
        let replies = Replies::new::<O>(&names, &host.options.service.settings.reply_prefixes)?;
        let pending =
            PendingMessages::new(Capacity::new(pending_messages::MOST, Some(Arc::clone(&host.pool))));
        Ok(Self { host, names: Arc::new(names), replies, stop, pending, total: Served::default() })
    }

    /// Runs until it is told to stop; what was done. `first`: by whom it is asked for already. `heard` is told when it can be asked for.
    pub(super) async fn run(mut self, first: Asked, heard: oneshot::Sender<()>) -> Served {
        let mut subscriptions = SharedSubscriptions::to(&self.host.links, &self.names).await;
        subscriptions.flush_subscriptions().await;
        drop(heard);
        let mut asked = match first {
            Asked::ByNobody => false,
            Asked::By(message) => self.pending.keep(*message).is_none(),
        };
        let mut pause = AGAIN.0;
        while asked || self.is_asked_for(&mut subscriptions).await {
            asked = false;
            let begun = Instant::now();
            match self.open_and_serve(&mut subscriptions).await {
                Ok(Ended::Stopped) => break,
                Ok(Ended::Idle) => {
                    pause = AGAIN.0;
                    tracing::info!("no client needs it: closed; it is opened again on the next request");
                }
                Err(why) => {
                    if begun.elapsed() > AGAIN.1 {
                        pause = AGAIN.0;
                    }
                    tracing::error!("not served, retrying in {pause:?}: {why}");
                    self.host.states.fails(&self.names.namespace, &why);
                    if !self.refuse_for(pause, &mut subscriptions, &why).await {
                        break;
                    }
                    pause = (pause * 2).min(AGAIN.1);
                }
            }
            self.pending.stream_is_there(None);
        }
        self.host.states.leaves(&self.names.namespace);
        let (client, why) = (subscriptions.link().client, "this service is stopping");
        for message in subscriptions.stop_listening().await {
            self.hold(message, &client).await;
        }
        self.total =
            self.total.and(self.pending.refuse_all::<O>((&self.names, &self.replies, &client), why).await);
        self.total
    }

    /// Waits for a request; false if it is told to stop.
    async fn is_asked_for(&mut self, subscriptions: &mut SharedSubscriptions) -> bool {
        let mut look = LOOK.mul_f64(0.1);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return false,
                message = subscriptions.next() => {
                    if self.pending.is_asked_by(&self.names, &message) && self.pending.keep(message).is_none() {
                        return true;
                    }
                }
                () = time::sleep(look) => {
                    if self.waits_in_the_stream(subscriptions).await == Some(true) {
                        return true;
                    }
                    look = LOOK;
                }
            }
        }
    }

    /// Whether the stream of this namespace holds something; none if there is no stream.
    async fn waits_in_the_stream(&self, subscriptions: &SharedSubscriptions) -> Option<bool> {
        if !subscriptions.link().now().up {
            return None;
        }
        let info = subscriptions.api().stream(&self.names.stream).await.ok()?;
        let ours = stored::tagged_database(&self.names.service, info.description()).is_some();
        Some(ours && !info.state.has_applied(info.state.last()))
    }

    /// Refuses what comes, for this long; or leaves all of it to another process, as long as one serves. False if it is told to stop.
    async fn refuse_for(
        &mut self,
        pause: Duration,
        subscriptions: &mut SharedSubscriptions,
        why: &str,
    ) -> bool {
        let client = subscriptions.link().client;
        let until = Instant::now() + pause;
        if peers::is_served(&self.names, &client).await {
            return self.go_idle(subscriptions).await;
        }
        let served = self.pending.refuse_all::<O>((&self.names, &self.replies, &client), why).await;
        self.total = self.total.and(served);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return false,
                () = time::sleep_until(until) => return true,
                message = subscriptions.next() => {
                    let to = (&*self.names, &self.replies, &client);
                    self.total = self.total.and(self.pending.refuse::<O>(to, &message, why).await);
                }
            }
        }
    }

    /// Leaves the namespace to the other process that serves it, also what has come here until now; returns when there is none any
    /// more, or false if it is told to stop.
    async fn go_idle(&mut self, subscriptions: &mut SharedSubscriptions) -> bool {
        tracing::info!("another process serves this namespace, and gets its requests");
        for message in subscriptions.stop_listening().await {
            let client = subscriptions.link().client;
            self.hold(message, &client).await;
        }
        let stored = subscriptions.api().stream(&self.names.stream).await.is_ok();
        self.pending.forward(&self.names, &subscriptions.link().client, stored).await;
        loop {
            if time::timeout(AGAIN.0, self.stop.cancelled()).await.is_ok() {
                return false;
            }
            let link = subscriptions.link();
            // Who is not heard is not absent where there is no connection.
            if link.now().up && !peers::is_served(&self.names, &link.client).await {
                subscriptions.listen().await;
                return true;
            }
        }
    }

    /// Opens the store while what comes is held.
    async fn open(&mut self, subscriptions: &mut SharedSubscriptions) -> Option<Result<S::Store, String>> {
        let (host, names) = (Arc::clone(&self.host), Arc::clone(&self.names));
        let opening = async {
            let permit = host.turns.acquire().await;
            let opening = open::<O, S, L>(&host, &names);
            let mut opening = std::pin::pin!(opening);
            match time::timeout(TURN, opening.as_mut()).await {
                Ok(opened) => opened,
                Err(_) => {
                    drop(permit);
                    opening.await
                }
            }
        };
        let mut opening = std::pin::pin!(opening);
        let (api, stream) = (subscriptions.api(), self.names.stream.clone());
        // What it says may be too late for what came before it; never the other way round.
        let looking = async { api.stream(&stream).await.is_ok() };
        let mut looking = std::pin::pin!(looking);
        let mut looked = false;
        let opened = loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                stored = looking.as_mut(), if !looked => {
                    looked = true;
                    self.pending.stream_is_there(Some(stored));
                }
                opened = opening.as_mut(), if looked => break opened,
                message = subscriptions.next() => {
                    let client = subscriptions.link().client;
                    self.hold(message, &client).await;
                }
            }
        };
        Some(opened)
    }

    /// Holds a message until the namespace is open, or refuses it.
    async fn hold(&mut self, message: Message, client: &Client) {
        if self.pending.is_asked_by(&self.names, &message)
            && let Some(message) = self.pending.keep(message)
        {
            let why = "more is sent than is held while the namespace opens";
            let to = (&*self.names, &self.replies, client);
            self.total = self.total.and(self.pending.refuse::<O>(to, &message, why).await);
        }
    }

    async fn open_and_serve(&mut self, subscriptions: &mut SharedSubscriptions) -> Result<Ended, String> {
        let host = Arc::clone(&self.host);
        let Some(_permit) = host.permit() else {
            return Err(format!(
                "{} namespaces are open, as many as may be at the same time: allow more, or let them close sooner",
                host.options.most_open
            ));
        };
        let Some(opened) = self.open(subscriptions).await else { return Ok(Ended::Stopped) };
        let store = opened?;
        let ended = self.serve(&store, subscriptions).await;
        if ended.is_err() && !subscriptions.listens() {
            subscriptions.listen().await;
        }
        store.close().await;
        ended
    }

    async fn serve(
        &mut self,
        store: &S::Store,
        subscriptions: &mut SharedSubscriptions,
    ) -> Result<Ended, String> {
        let host = Arc::clone(&self.host);
        let counters = Arc::new(Counters::new(O::SPECS.len()));
        let finish = CancellationToken::new();
        let (ready, mut is_ready) = oneshot::channel::<()>();
        let nats = host.nats.clone().namespace(self.names.namespace.clone());
        let part = Part {
            room: Capacity::new(host.options.service.settings.bytes, Some(Arc::clone(&host.pool))),
            work_limit: host.work_limit.part(),
            discovery: Some(host.discovery.clone()),
        };
        let serving = serve_within::<O, _, _>(
            nats,
            store.clone(),
            host.options.service.clone().namespace(self.names.namespace.clone()),
            (Arc::clone(&counters), part),
            move || {
                let _ = ready.send(());
            },
            finish.clone().cancelled_owned(),
        );
        let mut serving = std::pin::pin!(serving);
        let (mut last, mut since, mut serves, mut ended) = (0, Instant::now(), false, None);
        let mut look = time::interval((host.options.idle / 8).clamp(LOOK / 50, LOOK));
        let served = loop {
            tokio::select! {
                biased;
                served = serving.as_mut() => break served,
                () = self.stop.cancelled(), if !matches!(ended, Some(Ended::Stopped)) => {
                    ended = Some(Ended::Stopped);
                    finish.cancel();
                }
                Ok(()) = &mut is_ready, if !serves => {
                    (serves, since) = (true, Instant::now());
                    host.states.opens(&self.names.namespace);
                    // Both have listened until now, and each message has come to one of them.
                    let client = subscriptions.link().client;
                    for message in subscriptions.stop_listening().await {
                        self.hold(message, &client).await;
                    }
                    let stored = subscriptions.api().stream(&self.names.stream).await.is_ok();
                    self.pending.forward(&self.names, &subscriptions.link().client, stored).await;
                }
                message = subscriptions.next(), if !serves => {
                    let client = subscriptions.link().client;
                    self.hold(message, &client).await;
                }
                _ = look.tick(), if serves && ended.is_none() => {
                    let now = counters.wanted();
                    if now != last {
                        (last, since) = (now, Instant::now());
                    } else if since.elapsed() >= host.idle(PRESSED)
                        && self.waits_in_the_stream(subscriptions).await != Some(true)
                    {
                        // From here on it can be asked for again; what comes to the service until it stops is done by it.
                        subscriptions.listen().await;
                        subscriptions.flush_subscriptions().await;
                        ended = Some(Ended::Idle);
                        finish.cancel();
                    }
                }
            }
        };
        if serves {
            host.states.closes();
        }
        match served {
            Ok(served) => self.total = self.total.and(served),
            Err(e) => {
                self.total = (0..O::SPECS.len()).map(|n| counters.of(n).read()).fold(self.total, Served::and);
                return Err(e.to_string());
            }
        }
        Ok(ended.unwrap_or(Ended::Stopped))
    }
}

/// Opens the store of a namespace. Where it would come into being, not beside something that keeps its service from starting.
async fn open<O, S, L>(host: &Host<O, S, L>, names: &Names) -> Result<S::Store, String>
where
    O: Operation,
    S: Stores<O>,
    L: Clone + Send + Sync,
{
    let namespace = &names.namespace;
    if host.stores.is_to_come(namespace).await {
        let options =
            ServiceOptions { settings: host.options.service.settings.clone(), ..ServiceOptions::default() };
        let nats = host.nats.clone();
        let asked =
            check::check::<O>(nats, &options.namespace(namespace.clone()), std::future::pending()).await;
        match asked {
            // Another one on the same file may have been quicker to create it, or to take it over.
            Err(refused) if host.stores.is_to_come(namespace).await => return Err(refused.to_string()),
            _ => {}
        }
    }
    host.stores.open(namespace).await
}
