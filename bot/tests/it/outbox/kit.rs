//! An outbox behind two real paths, either of which can be taken away.

use std::sync::Arc;

use eitherway::nats::NatsService;
use eitherway::outbox::{OutboxOptions, OutboxService, Replayer};
use eitherway::stack::{BoxedStack, GuardedStore, StackBuilder, boxed};
use eitherway::{Ack, Cause, Code, Db, Via};
use futures_util::{StreamExt, stream};
use rosey::op::{Error, MessageLog, Op, Request, UserJoined};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::service_fn;

use crate::support::*;

/// The standard stack with an outbox. At first both paths are down.
pub(crate) struct World {
    pub(crate) server: NatsServer,
    pub(crate) nats: NatsService<Op>,
    pub(crate) direct: GuardedStore<Op>,
    pub(crate) file: DbFile,
    pub(crate) kept: OutboxFile,
    pub(crate) outbox: OutboxService<Op>,
    pub(crate) db: Db<BoxedStack<Op>>,
    pub(crate) replayer: Arc<Replayer<Op, BoxedStack<Op>>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        let kept = OutboxFile::new();
        let options = kept.options();
        Self::with(kept, &options).await
    }

    pub(crate) async fn with(kept: OutboxFile, options: &OutboxOptions) -> Self {
        let (server, file) = (NatsServer::down(), DbFile::new());
        let (nats, direct) = (nats(&server).await, GuardedStore::closed());
        direct.guard(nats.health());
        let outbox = OutboxService::open(options).await.unwrap();
        let built = StackBuilder::new().over(Some(nats.clone()), direct.clone(), Some(outbox.clone()));
        let replayer = Arc::new(Replayer::new(outbox.clone(), boxed(built.replay)));
        Self { server, nats, direct, file, kept, outbox, db: Db::new(boxed(built.stack)), replayer }
    }

    /// The path on the database returns.
    pub(crate) async fn provide(&self) {
        self.direct.provide(self.file.open().await);
    }

    /// Replays in the background until the answer is dropped.
    pub(crate) fn replay(&self) -> (watch::Sender<()>, JoinHandle<()>) {
        let (stop, mut stopped) = watch::channel(());
        let replayer = Arc::clone(&self.replayer);
        let task = tokio::spawn(async move {
            replayer
                .run(async move {
                    let _ = stopped.changed().await;
                })
                .await;
        });
        (stop, task)
    }

    pub(crate) async fn emptied(&self) {
        wait_until("the outbox is empty", || async { self.outbox.counts().waiting == 0 }).await;
    }
}

/// The `n`th event of a test: a join or a line, each of a user of its own.
pub(crate) fn event(n: u64) -> Request {
    let username = format!("user-{n}");
    if n.is_multiple_of(2) {
        Request::new(UserJoined { username })
    } else {
        Request::new(MessageLog { username, message: format!("line {n}") })
    }
}

/// Sends events, 256 at a time, and answers what became of each.
pub(crate) async fn send(db: &Db<BoxedStack<Op>>, events: Vec<Request>) -> Vec<Result<(Via, Ack), Error>> {
    let one = |request| async move { db.send(request).await.map(|reply| (reply.via, reply.ack)) };
    stream::iter(events).map(one).buffered(256).collect().await
}

/// Sends events that the outbox must keep, all of them.
pub(crate) async fn store(db: &Db<BoxedStack<Op>>, events: Vec<Request>) {
    for result in send(db, events).await {
        assert_eq!(result.unwrap(), (Via::OUTBOX, Ack::Stored));
    }
}

/// Events that a database refused, all of them, and that are set aside now.
pub(crate) async fn refused(kept: &OutboxFile, events: u64) -> (OutboxService<Op>, Vec<Request>) {
    let outbox = kept.open().await;
    let events: Vec<Request> = (0..events).map(event).collect();
    store(&Db::new(boxed(outbox.clone())), events.clone()).await;
    let refusing = service_fn(async |request: Request| {
        Err(Error::new(Cause::new(Code::INVALID, "not by this database"), request))
    });
    let round = Replayer::new(outbox.clone(), refusing).once().await;
    assert_eq!(round.refused, events.len() as u64);
    (outbox, events)
}

/// The verdict: sent, kept, applied once, twice, lost.
pub(crate) async fn verdict(file: &DbFile, sent: u64) {
    let applied = file.applied().await;
    eprintln!("sent {sent} · applied {applied} · lost {}", sent.saturating_sub(applied));
    assert_exactly_once(file, sent).await;
}
