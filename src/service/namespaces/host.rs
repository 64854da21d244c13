//! What all namespaces of a process share.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Message;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::options::Namespaces;
use super::states::States;
use crate::nats::NatsOptions;
use crate::service::discovery::ProcessDiscovery;
use crate::service::link::Link;
use crate::service::waiting::Pool;
use crate::service::work_limit::Total;

/// How many open their stores at the same moment.
const TURNS: usize = 8;

/// What all of them share.
pub(super) struct Host<O, S, L> {
    pub(super) nats: NatsOptions,
    pub(super) stores: S,
    pub(super) options: Namespaces<L>,
    pub(super) pool: Arc<Pool>,
    pub(super) work_limit: Total,
    pub(super) discovery: ProcessDiscovery,
    pub(super) turns: Semaphore,
    pub(super) states: Arc<States>,
    open: Arc<Semaphore>,
    /// When one could not be opened because too many were.
    pressed: Mutex<Option<Instant>>,
    pub(super) links: watch::Receiver<Link>,
    operation: PhantomData<fn(O)>,
}

/// By whom a namespace is asked for when it comes into being.
pub(super) enum Asked {
    ByNobody,
    By(Box<Message>),
}

impl<O, S, L> Host<O, S, L> {
    pub(super) fn new(
        nats: NatsOptions,
        stores: S,
        options: Namespaces<L>,
        (states, discovery): (Arc<States>, ProcessDiscovery),
        links: watch::Receiver<Link>,
    ) -> Self {
        Self {
            nats,
            stores,
            work_limit: Total::new(options.in_flight, options.most_open),
            discovery,
            pool: Arc::new(Pool::new(options.bytes, options.most_open)),
            turns: Semaphore::new(TURNS),
            states,
            open: Arc::new(Semaphore::new(options.most_open)),
            pressed: Mutex::default(),
            links,
            options,
            operation: PhantomData,
        }
    }

    /// A place among the open ones, if there is one.
    pub(super) fn permit(&self) -> Option<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.open).try_acquire_owned().ok();
        if permit.is_none() {
            *self.pressed.lock() = Some(Instant::now());
        }
        permit
    }

    /// After how long one is idle; sooner, where another one has just found no place.
    pub(super) fn idle(&self, pressed: Duration) -> Duration {
        let last = *self.pressed.lock();
        if last.is_some_and(|at| at.elapsed() < pressed) {
            self.options.idle.min(pressed)
        } else {
            self.options.idle
        }
    }
}
