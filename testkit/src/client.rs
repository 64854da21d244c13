//! A client of a test with all three paths.

use std::time::Duration;

use eitherway::nats::{NatsOptions, NatsService};
use eitherway::operation::Persist;
use eitherway::outbox::OutboxService;
use eitherway::runtime::StorePath;
use eitherway::stack::{BoxedStack, StackBuilder};
use eitherway::{Db, Runtime};

use crate::{DbFile, LIMIT, OutboxFile, Url, wait_until};

/// A client over NATS, the file, and an outbox that is replayed in the background. Dropped without [`stop`](Self::stop), it
/// ends at once.
#[derive(Debug)]
pub struct Client<O: Persist> {
    /// The path over NATS.
    pub nats: NatsService<O>,
    /// The typed client over all paths.
    pub db: Db<BoxedStack<O>>,
    /// The outbox, whose file is removed with the client.
    pub outbox: OutboxService<O>,
    runtime: Runtime<O>,
    _kept: OutboxFile<O>,
}

impl<O: Persist> Client<O> {
    /// Between a server and a file. Returns when the service behind the server is recognised.
    pub async fn start(server: &impl Url, file: &DbFile<O>) -> Self {
        Self::start_with(server, file, StackBuilder::new()).await
    }

    /// The same with a stack of your own.
    pub async fn start_with(server: &impl Url, file: &DbFile<O>, stack: StackBuilder) -> Self {
        // A lock that lasts is to be an error soon.
        Self::with(server, file.options().busy_timeout(Duration::from_millis(100)), stack).await
    }

    /// The same between a server and any store, such as the address of a database on PostgreSQL.
    pub async fn over(server: &impl Url, store: impl Into<StorePath<O>>) -> Self {
        Self::with(server, store, StackBuilder::new()).await
    }

    async fn with(server: &impl Url, store: impl Into<StorePath<O>>, stack: StackBuilder) -> Self {
        let nats = NatsService::connect(NatsOptions::new(server.url())).await.unwrap();
        tokio::time::timeout(LIMIT, nats.recognised()).await.expect("the service is recognised");
        let kept = OutboxFile::new();
        let outbox = kept.open().await;
        let builder = Runtime::builder().nats(nats.clone()).store(store).stack(stack).outbox(outbox.clone());
        let runtime = builder.build().await.unwrap().boxed();
        Self { nats, db: runtime.client(), outbox, runtime, _kept: kept }
    }

    /// Waits until everything in the outbox has left. Cancel safe.
    pub async fn emptied(&self) {
        wait_until("the outbox is empty", || async { self.outbox.counts().is_empty() }).await;
    }

    /// Waits until operations go over NATS. Cancel safe.
    pub async fn over_nats(&self) {
        wait_until("over NATS", || async { self.nats.status().borrow().usable() }).await;
    }

    /// Waits until what was stored in the stream is applied. Cancel safe.
    pub async fn all_applied(&self) {
        self.nats.all_applied(LIMIT).await.expect("what was stored is applied");
    }

    /// Waits for what is in flight, and closes the files.
    pub async fn stop(self) {
        self.runtime.shutdown(LIMIT).await;
    }
}
