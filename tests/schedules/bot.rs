//! A bot's side: the standard stack with an outbox and its replay, over a network that fails.

use std::sync::Arc;
use std::time::Duration;

use rosey::Db;
use rosey::nats::{NatsOptions, NatsService};
use rosey::op::Op;
use rosey::operation::Kind;
use rosey::outbox::{OutboxService, Replayer};
use rosey::sql::{SqliteOptions, SqlxService};
use rosey::stack::{BoxedStack, Circuits, Direct, StackBuilder, boxed};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::support::{DbFile, OutboxFile, Proxy, Url};

pub(crate) struct Bot {
    pub(crate) nats: NatsService<Op>,
    pub(crate) db: Db<BoxedStack<Op>>,
    pub(crate) outbox: OutboxService<Op>,
    database: SqlxService<Op>,
    stop: oneshot::Sender<()>,
    replay: JoinHandle<()>,
    _kept: OutboxFile,
}

impl Bot {
    pub(crate) async fn start(proxy: &Proxy, file: &DbFile) -> Self {
        let nats = NatsService::connect(NatsOptions::new(proxy.url())).await.unwrap();
        // As patient as a bot is: here whoever finds the lock taken may fail, and the outbox takes over.
        let database = SqlxService::open(&SqliteOptions::new(&file.url()).unwrap()).await.unwrap();
        let direct = Direct::open(database.clone());
        direct.follow(nats.status(), |_| async { None });
        let kept = OutboxFile::new();
        let outbox = kept.open().await;
        let (stack, replay, circuits) =
            StackBuilder::new().build_with_outbox(nats.clone(), direct, outbox.clone());
        let replayer = Replayer::new(outbox.clone(), boxed(replay));
        follow(&nats, circuits, replayer.wake());
        let (stop, stopped) = oneshot::channel();
        let replay = tokio::spawn(async move {
            let stopped = async {
                // Dropped without a word: the test has failed already.
                let _ = stopped.await;
            };
            replayer.run(stopped).await;
        });
        Self { nats, db: Db::new(boxed(stack)), outbox, database, stop, replay, _kept: kept }
    }

    /// Waits until nothing is in the outbox any more and everything that the stream has taken is applied.
    pub(crate) async fn settled(&self, limit: Duration) {
        let emptied = async {
            let mut counts = self.outbox.watch();
            // The sender lives as long as the outbox.
            let _ = counts.wait_for(|counts| counts.waiting == 0).await;
        };
        let emptied = tokio::time::timeout(limit, emptied).await;
        assert!(emptied.is_ok(), "after {limit:?} still in the outbox: {:?}", self.outbox.counts());
        assert!(self.outbox.counts().is_empty(), "nothing is set aside: {:?}", self.outbox.counts());
        self.nats.all_applied(limit).await.unwrap();
    }

    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        self.replay.await.unwrap();
        self.outbox.close().await;
        self.database.close().await;
    }
}

/// Who is found again is tried at once.
fn follow(nats: &NatsService<Op>, circuits: Circuits, wake: Arc<Notify>) {
    let mut status = nats.status();
    tokio::spawn(async move {
        while status.changed().await.is_ok() {
            for kind in [Kind::Event, Kind::Query] {
                if status.borrow().takes(kind) {
                    circuits.of(kind).set_healthy(true);
                }
            }
            if status.borrow().takes(Kind::Event) {
                wake.notify_one();
            }
        }
    });
}
