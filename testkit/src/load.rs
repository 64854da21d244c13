//! Callers that put a load on a client, and what they have seen.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eitherway::operation::{Kind, Operation};
use eitherway::{Db, Request, Stack, Via};
use tokio::task::JoinSet;

use crate::wait_until;

/// What callers have seen so far.
#[derive(Debug, Default)]
pub struct Tally {
    nats: AtomicU64,
    db: AtomicU64,
    outbox: AtomicU64,
    /// In microseconds.
    slowest: AtomicU64,
    kinds: [AtomicU64; 3],
    errors: Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    /// How many operations were served over NATS, or another bus.
    pub fn by_nats(&self) -> u64 {
        self.nats.load(Ordering::Acquire)
    }

    /// How many the database has served.
    pub fn by_db(&self) -> u64 {
        self.db.load(Ordering::Acquire)
    }

    /// How many events the outbox has taken.
    pub fn by_outbox(&self) -> u64 {
        self.outbox.load(Ordering::Acquire)
    }

    /// How many events, calls and queries were sent.
    pub fn kinds(&self) -> [u64; 3] {
        [0, 1, 2].map(|kind| self.kinds[kind].load(Ordering::Acquire))
    }

    /// The longest that a caller has waited.
    pub fn slowest(&self) -> Duration {
        Duration::from_micros(self.slowest.load(Ordering::Acquire))
    }

    /// How often each error was returned, by its text.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.errors.lock().unwrap().clone()
    }

    fn count(&self, kind: Kind, waited: Duration, result: Result<Via, String>) {
        let kind = match kind {
            Kind::Event => 0,
            Kind::Call => 1,
            Kind::Query => 2,
        };
        self.kinds[kind].fetch_add(1, Ordering::AcqRel);
        self.slowest.fetch_max(waited.as_micros().try_into().unwrap(), Ordering::AcqRel);
        let path = match result {
            Ok(Via::DB) => &self.db,
            Ok(Via::OUTBOX) => &self.outbox,
            Ok(_) => &self.nats,
            Err(text) => {
                *self.errors.lock().unwrap().entry(text).or_default() += 1;
                return;
            }
        };
        path.fetch_add(1, Ordering::AcqRel);
    }
}

/// What a load has sent: the ids of what changes something.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// Operations that were accepted by a path.
    pub accepted: Vec<String>,
    /// Operations that failed: what became of them is unknown.
    pub failed: Vec<String>,
    /// How often each error was returned, by its text; those of queries too.
    pub errors: BTreeMap<String, u64>,
    /// All operations, queries too.
    pub all: u64,
}

impl Sent {
    /// # Panics
    /// An operation has failed; with the errors.
    pub fn assert_all_served(&self) {
        assert_eq!(self.errors, BTreeMap::new(), "every operation is served");
    }

    fn add(&mut self, other: Self) {
        self.accepted.extend(other.accepted);
        self.failed.extend(other.failed);
        self.all += other.all;
    }
}

/// Callers that send operations one after the other, each of them once, until they are told to stop. Dropped, they stop at
/// once.
#[derive(Debug)]
pub struct Load {
    /// What they have seen.
    pub tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    callers: JoinSet<Sent>,
}

impl Load {
    /// Starts this many callers, each in a task of its own. `op` makes the operation of a caller, by the number of the caller and
    /// a number that grows from 0: two numbers that together stand for one operation.
    pub fn start<O, S, M>(
        db: &Db<S>,
        callers: u64,
        op: impl Fn(u64, u64) -> M + Clone + Send + 'static,
    ) -> Self
    where
        O: Operation,
        S: Stack<O>,
        M: Into<O>,
    {
        let (tally, stop) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
        let mut set = JoinSet::new();
        for caller in 0..callers {
            let (db, op) = (db.clone(), op.clone());
            set.spawn(call(db, move |n| op(caller, n).into(), Arc::clone(&tally), Arc::clone(&stop)));
        }
        Self { tally, stop, callers: set }
    }

    /// Waits until NATS has served this many more. Cancel safe.
    pub async fn served_by_nats(&self, more: u64) {
        let from = self.tally.by_nats();
        wait_until("served over NATS", || async { self.tally.by_nats() >= from + more }).await;
    }

    /// Waits until the database has served this many more. Cancel safe.
    pub async fn served_by_db(&self, more: u64) {
        let from = self.tally.by_db();
        wait_until("served by the database", || async { self.tally.by_db() >= from + more }).await;
    }

    /// Waits until the outbox has taken this many more. Cancel safe.
    pub async fn taken_by_outbox(&self, more: u64) {
        let from = self.tally.by_outbox();
        wait_until("taken by the outbox", || async { self.tally.by_outbox() >= from + more }).await;
    }

    /// Lets every caller finish what it has begun.
    pub async fn finish(&mut self) -> Sent {
        self.stop.store(true, Ordering::Release);
        let mut sent = Sent::default();
        while let Some(caller) = self.callers.join_next().await {
            sent.add(caller.unwrap());
        }
        sent.errors = self.tally.errors();
        sent
    }
}

/// One caller.
async fn call<O: Operation, S: Stack<O>>(
    db: Db<S>,
    op: impl Fn(u64) -> O,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
) -> Sent {
    let mut sent = Sent::default();
    while !stop.load(Ordering::Acquire) {
        let request = Request::<O>::new(op(sent.all));
        let (id, spec) = (request.head.id.to_string(), request.op.spec());
        let begun = Instant::now();
        let result = db.send(request).await.map(|reply| reply.via).map_err(|e| e.to_string());
        let failed = result.is_err();
        tally.count(spec.kind, begun.elapsed(), result);
        if spec.writes() {
            if failed { &mut sent.failed } else { &mut sent.accepted }.push(id);
        }
        sent.all += 1;
        if failed {
            // What is refused at once never waits, and would keep all other callers from running.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    sent
}
