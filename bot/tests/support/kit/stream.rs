//! A world with a stream: a server with JetStream whose files outlive it, and ways to look at the stream that are not
//! the code under test.

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{self, Context};
use eitherway::nats::NatsService;
use eitherway::service::{JetStream, ServeError, ServiceOptions};
use rosey::op::Op;

use eitherway_testkit::{NatsServer, Peer, wait_until};

use super::{DbFile, DbService};

/// A server with JetStream, and a file. No service yet.
pub(crate) struct Durable {
    pub(crate) server: NatsServer,
    pub(crate) file: DbFile,
    pub(crate) store: tempfile::TempDir,
}

impl Durable {
    pub(crate) async fn new() -> Self {
        let store = tempfile::tempdir().unwrap();
        let server = NatsServer::with_jetstream(store.path()).await;
        Self { server, file: DbFile::new(), store }
    }

    /// A service on the stream.
    pub(crate) async fn serve(&self) -> DbService {
        self.try_serve(on()).await.unwrap()
    }

    pub(crate) async fn try_serve(&self, options: ServiceOptions) -> Result<DbService, ServeError> {
        DbService::try_start(&self.server, &self.file, options).await
    }

    /// A client that has recognised the service and its stream.
    pub(crate) async fn client(&self) -> NatsService<Op> {
        super::recognised(&self.server).await
    }

    pub(crate) async fn context(&self) -> Context {
        jetstream::new(Peer::connect(&self.server).await.client)
    }

    /// How many messages the stream holds; none, if it is not there.
    pub(crate) async fn stored(&self) -> Option<u64> {
        let stream = self.context().await.get_stream("ROSEY").await.ok()?;
        Some(stream.cached_info().state.messages)
    }

    pub(crate) async fn consumer(&self) -> PullConsumer {
        self.context().await.get_consumer_from_stream("writer", "ROSEY").await.unwrap()
    }

    /// Waits until everything in the stream is applied.
    pub(crate) async fn emptied(&self) {
        wait_until("the stream is empty", || async { self.stored().await == Some(0) }).await;
    }
}

/// With a stream, and a wait for a word that is short enough for a test to see what follows.
pub(crate) fn on() -> ServiceOptions {
    ServiceOptions::default().jetstream(JetStream::On).ack_wait(Duration::from_secs(2)).bundles(true)
}

pub(crate) fn off() -> ServiceOptions {
    ServiceOptions::default().jetstream(JetStream::Off).bundles(true)
}
