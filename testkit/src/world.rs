//! All parts of a system, and what is done to them.

use eitherway::operation::Persist;
use eitherway::service::{JetStream, ServiceOptions};

use crate::{Client, DbFile, DbService, Load, NatsServer, Sent, Verdict};

/// Callers of a load, and how many operations each part of an outage lasts.
const CALLERS: u64 = 8;
const OPERATIONS: u64 = 100;

/// A server, the database service on a file, and a client that has recognised it. Dropped, all of it ends at once.
#[derive(Debug)]
pub struct World<O: Persist> {
    /// The client. Above the rest, because it is to end first.
    pub client: Client<O>,
    /// The database service, in a task of the test.
    pub service: DbService<O>,
    /// The server.
    pub server: NatsServer,
    /// The database.
    pub file: DbFile<O>,
    _store: tempfile::TempDir,
}

impl<O: Persist> World<O> {
    /// Without JetStream: what the service acknowledges is in the database.
    pub async fn start() -> Self {
        Self::with(JetStream::Off).await
    }

    /// With JetStream: events are acknowledged when the stream has them.
    pub async fn with_jetstream() -> Self {
        Self::with(JetStream::On).await
    }

    async fn with(jetstream: JetStream) -> Self {
        let (store, file) = (tempfile::tempdir().unwrap(), DbFile::new());
        let server = match jetstream {
            JetStream::Off => NatsServer::start().await,
            _ => NatsServer::with_jetstream(store.path()).await,
        };
        let options = ServiceOptions::default().jetstream(jetstream);
        let service = DbService::try_start(&server, &file, options).await.unwrap();
        let client = Client::start(&server, &file).await;
        Self { client, service, server, file, _store: store }
    }

    /// A load during which the server is killed, and comes back: 8 callers, of whom NATS serves 100 operations, then the
    /// database 100, then NATS 100 again, at least. For `op` see [`Load::start`].
    pub async fn server_killed<M: Into<O>>(
        &mut self,
        op: impl Fn(u64, u64) -> M + Clone + Send + 'static,
    ) -> Sent {
        let mut load = Load::start(&self.client.db, CALLERS, op);
        load.served_by_nats(OPERATIONS).await;
        self.server.kill();
        load.served_by_db(OPERATIONS).await;
        self.server.restart().await;
        load.served_by_nats(OPERATIONS).await;
        load.finish().await
    }

    /// The same for a server that is frozen, and thawed: what it held back still arrives.
    pub async fn server_frozen<M: Into<O>>(
        &mut self,
        op: impl Fn(u64, u64) -> M + Clone + Send + 'static,
    ) -> Sent {
        let mut load = Load::start(&self.client.db, CALLERS, op);
        load.served_by_nats(OPERATIONS).await;
        self.server.freeze();
        load.served_by_db(OPERATIONS).await;
        self.server.thaw();
        load.served_by_nats(OPERATIONS).await;
        load.finish().await
    }

    /// Waits until nothing is on its way, ends client and service, and counts. `effects` is a query that returns a row for each
    /// effect, with the id of its operation as text: `SELECT op_id FROM orders`. The connection is the test's own.
    pub async fn verdict(self, sent: &Sent, effects: &'static str) -> Verdict {
        let Self { client, service, server, file, _store } = self;
        client.over_nats().await;
        client.emptied().await;
        client.all_applied().await;
        client.stop().await;
        service.stop().await;
        drop(server);
        file.assert_clean().await;
        let effects = file.texts(effects).await;
        let [accepted, failed] = [&sent.accepted, &sent.failed].map(|ids| ids.iter().map(String::as_str));
        Verdict::of(accepted, failed, effects)
    }
}
