//! A bot's side of the house with all three paths: NATS, the file, and an outbox that is replayed in the background.

use std::time::Duration;

use eitherway::Runtime;
use eitherway::nats::NatsService;
use eitherway::outbox::OutboxService;
use rosey::op::Op;

use super::{DbFile, LIMIT, OutboxFile, Over, Url, nats, wait_until};

pub(crate) struct Bot {
    pub(crate) nats: NatsService<Op>,
    pub(crate) db: Over,
    pub(crate) outbox: OutboxService<Op>,
    runtime: Runtime<Op>,
    _kept: OutboxFile,
}

impl Bot {
    /// Between a server and a file. Returns when the service behind the server is recognised.
    pub(crate) async fn start(server: &impl Url, file: &DbFile) -> Self {
        let nats = nats(server).await;
        tokio::time::timeout(LIMIT, nats.recognised()).await.expect("the service is recognised");
        // A lock that lasts is to be an error soon.
        let options = file.options().busy_timeout(Duration::from_millis(100));
        let kept = OutboxFile::new();
        let outbox = kept.open().await;
        let builder = Runtime::builder().nats(nats.clone()).store(options).outbox(outbox.clone());
        let runtime = builder.build().await.unwrap().boxed();
        Self { nats, db: runtime.client(), outbox, runtime, _kept: kept }
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
        self.runtime.shutdown(LIMIT).await;
    }
}
