//! The list of namespaces: which there are, and the course of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use tokio::sync::oneshot;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time;
use tokio_util::sync::CancellationToken;
use tower::Layer;
use tracing::Instrument;

use super::host::{Asked, Host};
use super::lifecycle::Lifecycle;
use super::options::Namespaces;
use super::shared_connection::{SharedConnection, SharedSubscriptions};
use super::states::{self, States};
use crate::client::Stack;
use crate::namespace::Namespace;
use crate::nats::NatsOptions;
use crate::nats::names::Names;
use crate::operation::Operation;
use crate::service::counters::Served;
use crate::service::discovery::InfoCollector;
use crate::service::options::ServeError;
use crate::service::replies::Replies;
use crate::store::Stores;

/// How often it is looked which namespaces there are.
const LIST: Duration = Duration::from_secs(1);
/// How long that may take, on a disk that hangs.
const SLOW: Duration = Duration::from_secs(5);
/// One that is missing so often in a row is not served any more: a file that is exchanged is missing for a moment.
const MISSING: u32 = 3;
/// The same of one that was never there: what was asked for could not be created.
const NEVER: u32 = 60;
/// The longest name of a namespace that is created when it is asked for, in tokens.
const TOKENS: usize = 4;

/// One that is served.
struct Known {
    task: Id,
    stop: CancellationToken,
    listed: bool,
    missing: u32,
}

/// Serves the namespaces of `stores` until `shutdown`; then each finishes what it took, as [`serve`](crate::service::serve) does.
///
/// A namespace is **asked for** by a request, a client's ping, or a message that waits in its stream. What has come is held while
/// its store opens, and served then. A store is **closed** when no client has asked for `idle`: what was taken is committed and
/// answered first, the file and its locks are given back, and the next request opens it again.
///
/// A store that does not open, or a service that must not start there, is tried again for as long as it is asked for, with a pause of 1 s
/// that grows to 30 s. Requests are refused with the reason meanwhile (`unavailable`, so that clients take another path); what a
/// stream holds waits.
///
/// `ready` is called once, when all that are listed can be asked for. Waits for a server for as long as that takes.
///
/// # Errors
/// An address or credentials that cannot be read, or a prefix of reply subjects that cannot be answered to.
pub async fn serve_namespaces<O, S, L>(
    nats: NatsOptions,
    stores: S,
    options: Namespaces<L>,
    ready: impl FnOnce() + Send,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Served, ServeError>
where
    O: Operation,
    S: Stores<O>,
    L: Layer<S::Store, Service: Stack<O>> + Clone + Send + Sync + 'static,
{
    let plain = Names::new::<O>(&Namespace::none())?;
    let replies = Replies::new::<O>(&plain, &options.service.settings.reply_prefixes)?;
    let connection = SharedConnection::open(nats.clone()).await?;
    let _registration = options.service.settings.monitor.register(connection.observed());
    let states = Arc::new(States::default());
    let (collector, discovery) = InfoCollector::new(states.open());
    let host = Arc::new(Host::new(nats, stores, options, (states, discovery), connection.links()));
    let mut list = List::new(Arc::clone(&host));
    let mut shutdown = std::pin::pin!(shutdown);
    let mut keep = std::pin::pin!(connection.keep());
    let begun = async {
        host.links.borrow().clone().connected().await;
        list.look().await;
        list.listen().await;
    };
    let stopped = tokio::select! {
        () = begun => false,
        () = keep.as_mut() => false,
        () = shutdown.as_mut() => true,
    };
    if !stopped {
        let creates = if host.stores.creates() { pings::<O>() } else { Vec::new() };
        let mut new = SharedSubscriptions::open(&host.links, creates, format!("{}.new", O::SERVICE)).await;
        let introductions = states::tell(Arc::clone(&host.states), plain.micro, replies, &host.links);
        let mut introductions = std::pin::pin!(introductions);
        let mut asked = std::pin::pin!(collector.ask(host.links.clone()));
        let (idle, count) = (host.options.idle, list.known.len());
        tracing::info!(
            "serving {count} namespaces, each opened on its first request, and closed when no client needs it for {idle:?}"
        );
        ready();
        let mut look = time::interval(LIST);
        loop {
            tokio::select! {
                () = shutdown.as_mut() => break,
                () = keep.as_mut() => {}
                () = introductions.as_mut() => {}
                () = asked.as_mut() => {}
                _ = look.tick() => list.look().await,
                message = new.next() => list.create(message),
                Some(ended) = list.all.join_next_with_id() => list.ended(ended),
            }
        }
    }
    let total = list.finish().await;
    connection.close().await;
    Ok(total)
}

/// Where clients ask for a sign of life, in any namespace.
fn pings<O: Operation>() -> Vec<String> {
    (1..=TOKENS).map(|tokens| format!("{}{}.ping", "*.".repeat(tokens), O::SERVICE)).collect()
}

/// The namespaces that are served.
struct List<O, S, L> {
    host: Arc<Host<O, S, L>>,
    known: BTreeMap<Namespace, Known>,
    all: JoinSet<Served>,
    /// Of those that began and cannot be asked for yet.
    begun: Vec<oneshot::Receiver<()>>,
    /// What was said already.
    said: BTreeMap<Namespace, String>,
    full: bool,
    total: Served,
}

impl<O, S, L> List<O, S, L>
where
    O: Operation,
    S: Stores<O>,
    L: Layer<S::Store, Service: Stack<O>> + Clone + Send + Sync + 'static,
{
    fn new(host: Arc<Host<O, S, L>>) -> Self {
        Self {
            host,
            known: BTreeMap::new(),
            all: JoinSet::new(),
            begun: Vec::new(),
            said: BTreeMap::new(),
            full: false,
            total: Served::default(),
        }
    }

    /// Looks which there are: begins those that are new, and ends those that are gone.
    async fn look(&mut self) {
        self.begun.clear();
        let listed = match time::timeout(SLOW, self.host.stores.list()).await {
            Ok(Ok(listed)) => listed,
            Ok(Err(why)) => return self.say(&Namespace::none(), why),
            Err(_) => {
                let why = format!("which namespaces there are is not told within {SLOW:?}");
                return self.say(&Namespace::none(), why);
            }
        };
        self.said.remove(&Namespace::none());
        for known in self.known.values_mut() {
            known.missing += 1;
        }
        for namespace in listed {
            match self.known.get_mut(&namespace) {
                Some(known) => (known.listed, known.missing) = (true, 0),
                None => self.begin(&namespace, Asked::ByNobody),
            }
        }
        for (namespace, known) in &self.known {
            let most = if known.listed { MISSING } else { NEVER };
            if known.missing >= most && !known.stop.is_cancelled() {
                known.stop.cancel();
                tracing::warn!(namespace = namespace.as_str(), "the namespace is gone; no longer served");
            }
        }
        self.host.states.are(self.known.len());
    }

    /// Begins to serve one, if there may be one more.
    fn begin(&mut self, namespace: &Namespace, asked: Asked) {
        if self.known.len() >= self.host.options.most {
            if !std::mem::replace(&mut self.full, true) {
                let most = self.host.options.most;
                tracing::error!(
                    namespace = namespace.as_str(),
                    "not served, nor any more beside it: {most} namespaces are served, as many as may be"
                );
            }
            return;
        }
        let stop = CancellationToken::new();
        let names = Names::new::<O>(namespace).map_err(ServeError::from);
        let lifecycle =
            match names.and_then(|names| Lifecycle::new(Arc::clone(&self.host), names, stop.clone())) {
                Ok(lifecycle) => lifecycle,
                Err(e) => return self.say(namespace, e.to_string()),
            };
        let listed = matches!(asked, Asked::ByNobody);
        let (heard, listens) = oneshot::channel();
        let task = self.all.spawn(lifecycle.run(asked, heard).instrument(namespace.span())).id();
        self.begun.push(listens);
        self.known.insert(namespace.clone(), Known { task, stop, listed, missing: 0 });
    }

    /// Waits until all that have begun can be asked for.
    async fn listen(&mut self) {
        for listens in std::mem::take(&mut self.begun) {
            let _ = listens.await;
        }
    }

    /// A client asks for a sign of life: perhaps of a namespace that is not there yet.
    fn create(&mut self, message: Message) {
        let name = message.subject.strip_suffix(".ping").and_then(|name| name.strip_suffix(O::SERVICE));
        let name = name.and_then(|name| name.strip_suffix('.'));
        let Some(Ok(namespace)) = name.map(Namespace::new) else { return };
        if !self.known.contains_key(&namespace) && !self.said.contains_key(&namespace) {
            self.begin(&namespace, Asked::By(Box::new(message)));
        }
    }

    fn ended(&mut self, ended: Result<(Id, Served), JoinError>) {
        let task = match ended {
            Ok((task, served)) => {
                self.total = self.total.and(served);
                task
            }
            Err(error) => {
                tracing::error!("the task of a namespace failed; restarting it: {error}");
                error.id()
            }
        };
        self.known.retain(|_, known| known.task != task);
        self.full = false;
    }

    /// Says what is wrong with one, once for as long as it is so; with all, if it is none.
    fn say(&mut self, namespace: &Namespace, why: String) {
        // What peers ask for does not pile up.
        if self.said.len() < self.host.options.most && self.said.get(namespace) != Some(&why) {
            namespace.span().in_scope(|| tracing::error!("not served: {why}"));
            self.said.insert(namespace.clone(), why);
        }
    }

    async fn finish(mut self) -> Served {
        for known in self.known.values() {
            known.stop.cancel();
        }
        while let Some(ended) = self.all.join_next_with_id().await {
            self.ended(ended);
        }
        self.total
    }
}
