//! A bot's side of the house with all three paths: NATS, the file, and an outbox that is replayed in the background.

use std::time::Duration;

use rosey::Db;
use rosey::nats::NatsService;
use rosey::op::Op;
use rosey::outbox::{OutboxService, Replayer};
use rosey::sql::SqlxService;
use rosey::stack::{Direct, StackBuilder, boxed};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{DbFile, LIMIT, OutboxFile, Over, Url, nats, wait_until};

pub(crate) struct Bot {
    pub(crate) nats: NatsService<Op>,
    pub(crate) db: Over,
    pub(crate) outbox: OutboxService<Op>,
    database: SqlxService<Op>,
    _kept: OutboxFile,
    /// The replay ends with it.
    replaying: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Bot {
    /// Between a server and a file. Returns when the service behind the server is recognised.
    pub(crate) async fn start(server: &impl Url, file: &DbFile) -> Self {
        let nats = nats(server).await;
        tokio::time::timeout(LIMIT, nats.recognised()).await.expect("the service is recognised");
        // A lock that lasts is to be an error soon.
        let mut options = file.options();
        options.busy_timeout = Duration::from_millis(100);
        let database = SqlxService::open(&options).await.unwrap();
        let direct = Direct::open(database.clone());
        direct.follow(nats.status(), |_| async { None });
        let kept = OutboxFile::new();
        let outbox = kept.open().await;
        let (stack, replay, circuits) =
            StackBuilder::new().build_with_outbox(nats.clone(), direct, outbox.clone());
        let replayer = Replayer::new(outbox.clone(), boxed(replay));
        circuits.follow(nats.status());
        replayer.follow(nats.status());
        let (replaying, mut stopped) = watch::channel(());
        let task = tokio::spawn(async move {
            let stop = async move { drop(stopped.changed().await) };
            replayer.run(stop).await;
        });
        Self { nats, db: Db::new(boxed(stack)), outbox, database, _kept: kept, replaying, task }
    }

    /// Waits until everything in the outbox has left.
    pub(crate) async fn emptied(&self) {
        wait_until("the outbox is empty", || async { self.outbox.counts().is_empty() }).await;
    }

    /// Waits until operations go over NATS.
    pub(crate) async fn over_nats(&self) {
        wait_until("over NATS", || async { self.nats.status().borrow().usable() }).await;
    }

    pub(crate) async fn stop(self) {
        drop(self.replaying);
        self.task.await.unwrap();
        self.outbox.close().await;
        self.database.close().await;
    }
}
