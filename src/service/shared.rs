//! What all tasks over one connection share.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_nats::{Client, Message};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bundle::Bundles;
use super::connection::Connection;
use super::counters::{Counters, Served};
use super::discovery::ProcessDiscovery;
use super::instance::Instance;
use super::link::Link;
use super::log_throttle::LogThrottle;
use super::notices::Notices;
use super::outage::Outage;
use super::progress::Progress;
use super::replies::{Replies, To};
use super::stream::{Api, Declaration};
use super::waiting::Capacity;
use super::work_limit::WorkLimit;
use crate::nats::Mode;
use crate::nats::bundle::Offer;
use crate::nats::names::Names;
use crate::operation::Operation;
use crate::store::Store;

/// What all tasks over one connection share.
pub(super) struct Shared<O, D> {
    /// The connection that they work over.
    pub(super) client: Client,
    /// The one for the stream: answers leave over it when that one has ended permanently.
    pub(super) spare: Client,
    pub(super) db: D,
    pub(super) operation: PhantomData<fn(O)>,
    pub(super) names: Arc<Names>,
    pub(super) counters: Arc<Counters>,
    /// JetStream, over the connection for the stream.
    pub(super) api: Api,
    /// The stream that events come from, if they do.
    pub(super) stream: Option<Declaration>,
    pub(super) in_flight: usize,
    pub(super) bundles: Bundles,
    /// What may be worked on at once beside other services of this process.
    pub(super) work_limit: WorkLimit,
    /// The other services of this process, if there may be some.
    pub(super) discovery: Option<ProcessDiscovery>,
    pub(super) replies: Replies,
    pub(super) instance: Arc<Instance>,
    /// Whether another kind of service may be there.
    pub(super) takeover: bool,
    /// Whether something answers beside us that must not: our clients are told.
    pub(super) foreign: AtomicBool,
    /// What waits on all subjects together.
    pub(super) room: Capacity,
    pub(super) notices: Arc<Notices>,
    pub(super) progress: Arc<Progress>,
    /// What is tried again while the database fails, over all connections.
    pub(super) outage: Arc<Outage>,
    pub(super) troubles: Arc<LogThrottle>,
    pub(super) connection: watch::Receiver<Connection>,
    pub(super) url: Arc<str>,
    /// The subscriptions that take requests, and the requests that were taken and are not done. Closed, so that it can be
    /// waited for at any time.
    pub(super) running: TaskTracker,
    /// Nothing more is to be taken.
    pub(super) stop: CancellationToken,
    /// The time for finishing is over.
    pub(super) give_up: CancellationToken,
}

impl<O, D> Shared<O, D> {
    pub(super) const fn mode(&self) -> Mode {
        if self.stream.is_some() { Mode::JetStream } else { Mode::Core }
    }

    /// The connection that these tasks work over.
    pub(super) fn link(&self) -> Link {
        Link { client: self.client.clone(), state: self.connection.clone(), url: Arc::clone(&self.url) }
    }

    /// Which bundles clients may send; none, where they do not arrive.
    pub(super) fn offer(&self) -> Option<Offer> {
        self.bundles.offer().filter(|_| !self.troubles.denials.subscribe(&self.names.bundles))
    }

    /// The connection for answers.
    pub(super) fn answering(&self) -> &Client {
        // Its events end with the client's own task.
        if self.connection.has_changed().is_ok() { &self.client } else { &self.spare }
    }

    /// The way to the sender of this, if there is one: a question from nowhere, and one that is to be answered where no
    /// inbox is, have none.
    pub(super) fn way_to(&self, question: &Message) -> Option<To> {
        self.replies.of(question).unwrap_or_else(|why| {
            self.troubles.not_inbox(&question.subject, &why);
            None
        })
    }
}

impl<O: Operation, D: Store<O>> Shared<O, D> {
    /// What was done of the operation `index`.
    pub(super) fn served(&self, index: usize) -> Served {
        Served { repeated: self.db.duplicates(index), ..self.counters.of(index).read() }
    }

    /// What was done of all.
    pub(super) fn total(&self) -> Served {
        total(&self.db, &self.counters, &self.troubles)
    }
}

/// What was done of all operations.
pub(super) fn total<O: Operation>(db: &impl Store<O>, counters: &Counters, troubles: &LogThrottle) -> Served {
    let all = Served { overruns: troubles.overruns(), ..Served::default() };
    let served = |index| Served { repeated: db.duplicates(index), ..counters.of(index).read() };
    (0..O::SPECS.len()).map(served).fold(all, Served::and)
}
