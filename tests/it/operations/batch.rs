//! Operations on the subjects of bundles: among these there are no bundles.

use eitherway::nats::{NatsOptions, NatsService};
use eitherway::operation::{Definition, Done, Migration, Spec};
use eitherway::service::{JetStream, ServiceOptions, serve};
use eitherway::sql::{SqlService, SqliteOptions};
use eitherway::{Db, Stack};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::support::{NatsServer, Url, wait_until};

const TABLES: &[Migration] =
    &[Migration::new(10, "oven", "CREATE TABLE oven (op_id TEXT PRIMARY KEY, what TEXT)")];

/// Something is done to all that was baked at once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cool {
    what: String,
}

impl Definition for Cool {
    type Answer = Done;
    const SPEC: Spec = Spec::event("cool", "oven.batch.events");
    const STATEMENTS: &'static [&'static str] = &["INSERT INTO oven SELECT id, op ->> 'what' FROM new"];
}

/// How many have cooled.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cooled {}

impl Definition for Cooled {
    type Answer = i64;
    const SPEC: Spec = Spec::query("cooled", "oven.batch");
    const ANSWER: &'static str = "SELECT CAST(count(*) AS TEXT) FROM oven";
}

eitherway::operations! {
    /// What an oven can do.
    pub enum Oven -> OvenAnswer in "oven" with TABLES { Cool(Cool), Cooled(Cooled) }
}

async fn cool<S: Stack<Oven>>(db: &Db<S>, many: usize) {
    let all = (0..many).map(|n| db.call(Cool { what: n.to_string() }));
    assert!(join_all(all).await.into_iter().all(|cooled| cooled.is_ok()));
}

#[tokio::test]
async fn operations_on_the_subjects_of_bundles_are_served_with_a_stream_and_without() {
    for jetstream in [JetStream::Off, JetStream::On] {
        let folder = tempfile::tempdir().unwrap();
        let server = NatsServer::with_jetstream(&folder.path().join("stream")).await;
        let file = SqliteOptions::new(&folder.path().join("oven.db").display().to_string()).unwrap();
        let service = SqlService::<Oven>::open(&file).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        let options = ServiceOptions::default().jetstream(jetstream).bundles(true);
        let shutdown = async move {
            let _ = stopped.await;
        };
        let ready = move || ready.send(()).unwrap();
        let serving =
            tokio::spawn(serve(NatsOptions::new(server.url()), service.clone(), options, ready, shutdown));
        is_ready.await.unwrap();
        let nats = NatsService::<Oven>::connect(NatsOptions::new(server.url())).await.unwrap();
        nats.recognised().await;
        let db = Db::new(nats.clone());
        cool(&db, 50).await;
        wait_until("all have cooled", || async { db.call(Cooled {}).await.unwrap().answer == 50 }).await;
        assert_eq!(nats.inbox().bundles, 0);
        drop(stop);
        let served = serving.await.unwrap().unwrap();
        assert_eq!((served.refused, served.lost), (0, 0), "{jetstream:?}: {served:?}");
        service.close().await;
    }
}
