//! Our side: the standard stack over a server and a file, and callers that load it and count.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use eitherway::nats::{NatsOptions, NatsService};
use eitherway::stack::{BoxedStack, Direct, NO_PATH, StackBuilder, boxed};
use eitherway::{Db, Error, Stack, Via};
use rosey::op::{GetChannelStats, MessageLog, Op, OutboundEnqueue, UserJoined};
use tokio::task::JoinSet;

use super::{DbFile, Url, wait_until};

/// A client over one path or both.
pub(crate) type Over = Db<BoxedStack<Op>>;

/// A path over NATS. Returns at once, whoever is there.
pub(crate) async fn nats(server: &impl Url) -> NatsService<Op> {
    NatsService::connect(NatsOptions::new(server.url())).await.unwrap()
}

/// The direct path to a file, following what the service on NATS says of its database.
pub(crate) async fn direct(file: &DbFile, nats: &NatsService<Op>) -> Direct<Op> {
    let direct = Direct::open(file.open().await);
    direct.guard(nats.health());
    direct
}

/// The standard stack over both paths.
pub(crate) async fn stack(nats: &NatsService<Op>, file: &DbFile) -> Over {
    let direct = direct(file, nats).await;
    Db::new(boxed(StackBuilder::new().over(Some(nats.clone()), direct, NO_PATH).stack))
}

/// The standard stack with nothing behind NATS.
pub(crate) fn nats_only(nats: &NatsService<Op>) -> Over {
    Db::new(boxed(StackBuilder::new().over(Some(nats.clone()), Direct::closed(), NO_PATH).stack))
}

/// The standard stack on the file alone.
pub(crate) async fn db_only(file: &DbFile) -> Over {
    Db::new(boxed(StackBuilder::new().over(NO_PATH, file.open().await, NO_PATH).stack))
}

/// What callers have seen.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) nats: AtomicU64,
    pub(crate) db: AtomicU64,
    pub(crate) outbox: AtomicU64,
    slowest: AtomicU64,
    /// Events, calls and queries that were sent.
    kinds: [AtomicU64; 3],
    /// By the text of the error.
    pub(crate) errors: std::sync::Mutex<BTreeMap<String, u64>>,
}

impl Tally {
    pub(crate) fn by_nats(&self) -> u64 {
        self.nats.load(Ordering::Acquire)
    }

    pub(crate) fn by_db(&self) -> u64 {
        self.db.load(Ordering::Acquire)
    }

    pub(crate) fn by_outbox(&self) -> u64 {
        self.outbox.load(Ordering::Acquire)
    }

    /// How many events, calls and queries were sent.
    pub(crate) fn kinds(&self) -> [u64; 3] {
        [0, 1, 2].map(|kind| self.kinds[kind].load(Ordering::Acquire))
    }

    pub(crate) fn slowest(&self) -> Duration {
        Duration::from_micros(self.slowest.load(Ordering::Acquire))
    }
}

/// Callers that send joins and lines, each of them once, until they are told to stop.
pub(crate) struct Load {
    pub(crate) tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    callers: JoinSet<u64>,
}

/// One operation, the next in a row; its kind, and what became of it.
async fn next<S: Stack<Op>>(
    db: &Db<S>,
    mix: u64,
    user: &str,
    caller: u64,
    n: u64,
) -> (usize, Result<Via, Error<Op>>) {
    let name = format!("{user}-{caller}-{n}");
    match n % mix {
        0 => (0, db.call(UserJoined { username: name }).await.map(|reply| reply.via)),
        1 => {
            let message = format!("line {n} of {caller}");
            (0, db.call(MessageLog { username: name, message }).await.map(|reply| reply.via))
        }
        2 => {
            let content = format!("message {n} of {caller}");
            (1, db.call(OutboundEnqueue { username: None, content }).await.map(|reply| reply.via))
        }
        _ => (2, db.call(GetChannelStats {}).await.map(|reply| reply.via)),
    }
}

impl Load {
    /// Of events alone.
    pub(crate) fn start<S: Stack<Op>>(db: &Db<S>, callers: u64) -> Self {
        Self::of(2, db, callers)
    }

    /// Of events, calls and queries.
    pub(crate) fn mixed<S: Stack<Op>>(db: &Db<S>, callers: u64) -> Self {
        Self::of(4, db, callers)
    }

    /// Of events alone, with users of its own beside another load.
    pub(crate) fn named<S: Stack<Op>>(name: &'static str, db: &Db<S>, callers: u64) -> Self {
        Self::begin(name, 2, db, callers)
    }

    fn of<S: Stack<Op>>(mix: u64, db: &Db<S>, callers: u64) -> Self {
        Self::begin("user", mix, db, callers)
    }

    fn begin<S: Stack<Op>>(name: &'static str, mix: u64, db: &Db<S>, callers: u64) -> Self {
        let (tally, stop) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
        let mut set = JoinSet::new();
        for caller in 0..callers {
            let (db, tally, stop) = (db.clone(), Arc::clone(&tally), Arc::clone(&stop));
            set.spawn(async move {
                let mut sent = 0;
                while !stop.load(Ordering::Acquire) {
                    let begun = Instant::now();
                    let (kind, result) = next(&db, mix, name, caller, sent).await;
                    tally.kinds[kind].fetch_add(1, Ordering::AcqRel);
                    let micros = u64::try_from(begun.elapsed().as_micros()).unwrap();
                    tally.slowest.fetch_max(micros, Ordering::AcqRel);
                    match result {
                        Ok(Via::DB) => drop(tally.db.fetch_add(1, Ordering::AcqRel)),
                        Ok(Via::OUTBOX) => drop(tally.outbox.fetch_add(1, Ordering::AcqRel)),
                        Ok(_) => drop(tally.nats.fetch_add(1, Ordering::AcqRel)),
                        Err(e) => {
                            *tally.errors.lock().unwrap().entry(e.to_string()).or_default() += 1;
                            // What is refused at once never waits, and would keep everybody else from running.
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    }
                    sent += 1;
                }
                sent
            });
        }
        Self { tally, stop, callers: set }
    }

    /// Waits until NATS has served this many more.
    pub(crate) async fn served_by_nats(&self, more: u64) {
        let from = self.tally.by_nats();
        wait_until("served over NATS", || async { self.tally.by_nats() >= from + more }).await;
    }

    /// Waits until the database has served this many more.
    pub(crate) async fn served_by_db(&self, more: u64) {
        let from = self.tally.by_db();
        wait_until("served by the database", || async { self.tally.by_db() >= from + more }).await;
    }

    /// Waits until the outbox has taken this many more.
    pub(crate) async fn taken_by_outbox(&self, more: u64) {
        let from = self.tally.by_outbox();
        wait_until("taken by the outbox", || async { self.tally.by_outbox() >= from + more }).await;
    }

    /// Lets every caller finish what it has begun. Returns how many operations were sent.
    pub(crate) async fn finish(&mut self) -> u64 {
        self.stop.store(true, Ordering::Release);
        let mut sent = 0;
        while let Some(caller) = self.callers.join_next().await {
            sent += caller.unwrap();
        }
        sent
    }

    /// The verdict on the callers' side: every call was served.
    pub(crate) fn assert_all_served(&self, sent: u64) {
        assert_eq!(*self.tally.errors.lock().unwrap(), BTreeMap::new(), "every call is served");
        assert_eq!(self.tally.by_nats() + self.tally.by_db() + self.tally.by_outbox(), sent);
    }
}

/// The verdict on the database's side: everything sent is there, and there once.
pub(crate) async fn assert_exactly_once(file: &DbFile, sent: u64) {
    assert_exactly_once_with(file, sent, 0).await;
}

/// The same for events and calls.
pub(crate) async fn assert_exactly_once_with(file: &DbFile, sent: u64, calls: u64) {
    let count = async |sql| u64::try_from(file.number(sql).await).unwrap();
    assert_eq!(file.applied().await, sent + calls, "sent = applied");
    assert_eq!(count("SELECT count(*) FROM outbound_messages").await, calls, "one message a call");
    let (joins, lines) =
        (count("SELECT count(*) FROM presence").await, count("SELECT count(*) FROM recent_chat").await);
    assert_eq!(joins + lines, sent, "one effect each");
    assert_eq!(count("SELECT count(DISTINCT username) FROM presence").await, joins, "no join twice");
    assert_eq!(
        count("SELECT count(DISTINCT username || message) FROM recent_chat").await,
        lines,
        "no line twice"
    );
    assert_eq!(
        count("SELECT coalesce(sum(total_chat_lines), 0) FROM user_stats").await,
        lines,
        "every line counted once"
    );
    file.assert_verified().await;
}
