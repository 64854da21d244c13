//! How often a payload and an answer are written, and how often they are not.

use std::sync::atomic::{AtomicUsize, Ordering};

use allocation_counter::measure;
use async_nats::HeaderMap;
use eitherway::nats::{NatsOptions, NatsService};
use eitherway::operation::{Definition, Done, Migration, Operation, Spec};
use eitherway::outbox::{OutboxOptions, OutboxService};
use eitherway::service::{ServiceOptions, serve};
use eitherway::sql::{SqlService, SqliteOptions};
use eitherway::stack::{GuardedStore, NO_PATH, StackBuilder, boxed};
use eitherway::{Db, Received, Request, Via};
use serde::{Deserialize, Serialize, Serializer};
use tower::ServiceExt;

use super::shop::{Everything, Fixture, Shop, ShopClient};
use crate::support::{LIMIT, NatsServer, Peer, Url};

static WRITTEN: AtomicUsize = AtomicUsize::new(0);

#[allow(clippy::ptr_arg)] // as serde calls it
fn counted<S: Serializer>(text: &String, to: S) -> Result<S::Ok, S::Error> {
    WRITTEN.fetch_add(1, Ordering::SeqCst);
    to.serialize_str(text)
}

/// A note that counts how often it is written as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub struct Note {
    #[serde(serialize_with = "counted")]
    text: String,
}

impl Definition for Note {
    type Answer = Done;
    const SPEC: Spec = Spec::event("note", "notes.note");
    const STATEMENTS: &'static [&'static str] = &["INSERT INTO notes SELECT id, op ->> 'text' FROM new"];
}

/// The first note, in a form of its own.
#[derive(Debug, Serialize, Deserialize)]
pub struct First {}

impl Definition for First {
    type Answer = serde_json::Value;
    const SPEC: Spec = Spec::query("first", "notes.first");
    const ANSWER: &'static str =
        "SELECT '{ \"z\": ' || json_quote(text) || ', \"a\" : 1.50 }' FROM notes LIMIT 1";
}

const TABLES: &[Migration] =
    &[Migration::new(10, "notes", "CREATE TABLE notes (id TEXT PRIMARY KEY, text TEXT NOT NULL)")];

// Without a name of its own: `eitherway.db`.
eitherway::operations! {
    /// Notes.
    pub enum Notes -> NotesAnswer with TABLES { Note(Note), First(First) }
}

fn note() -> Request<Notes> {
    Request::new(Note { text: "hi".into() })
}

async fn open(dir: &tempfile::TempDir) -> SqlService<Notes> {
    let path = dir.path().join("notes.db");
    SqlService::open(&SqliteOptions::new(path.to_str().unwrap()).unwrap()).await.unwrap()
}

#[tokio::test]
async fn an_event_is_encoded_once_for_all_paths_and_once_for_the_ledger_of_the_service() {
    let (server, dir) = (NatsServer::start().await, tempfile::tempdir().unwrap());
    let peer = Peer::connect(&server).await;
    // A service that is recognised and does not listen to events; a database that is closed; an outbox.
    let mut headers = HeaderMap::new();
    headers.insert("Eitherway-Reply", "1");
    headers.insert("Eitherway-Database", "x");
    let ping = peer.answer("eitherway.db.ping", headers, "{}").await;
    let nats = NatsService::<Notes>::connect(NatsOptions::new(server.url())).await.unwrap();
    tokio::time::timeout(LIMIT, nats.recognised()).await.expect("recognised");
    let closed = open(&dir).await;
    closed.close().await;
    let outbox = OutboxService::open(&OutboxOptions::new(dir.path().join("outbox"))).await.unwrap();
    let stack = StackBuilder::new().over(Some(nats), GuardedStore::open(closed), Some(outbox)).stack;
    let reply = Db::new(boxed(stack)).send(note()).await.unwrap();
    assert_eq!((reply.via, WRITTEN.swap(0, Ordering::SeqCst)), (Via::OUTBOX, 1));
    // And a real one.
    ping.abort();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let (database, at) = (open(&dir).await, NatsOptions::new(server.url()));
    let ready = move || ready.send(()).unwrap();
    tokio::spawn(serve(at.clone(), database, ServiceOptions::default(), ready, std::future::pending()));
    tokio::time::timeout(LIMIT, is_ready).await.expect("it starts").unwrap();
    let nats = NatsService::<Notes>::connect(at).await.unwrap();
    tokio::time::timeout(LIMIT, nats.recognised()).await.expect("recognised");
    let db = Db::new(boxed(StackBuilder::new().over(Some(nats), GuardedStore::closed(), NO_PATH).stack));
    assert_eq!(db.send(note()).await.unwrap().via, Via::NATS);
    assert_eq!(WRITTEN.load(Ordering::SeqCst), 2);
    // What the database says goes to the socket as it is.
    let said = peer.request("notes.first", "").await;
    assert_eq!(said.body, r#"{ "z": "hi", "a" : 1.50 }"#);
    assert_eq!(db.call(First {}).await.unwrap().answer["a"], 1.5);
}

#[test]
fn forwarding_a_long_answer_allocates_no_more_often_than_forwarding_a_short_one() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let f = runtime.block_on(Fixture::new());
    let stock = |things: std::ops::Range<usize>| {
        runtime.block_on(async {
            for n in things {
                f.db.stock(format!("thing {n}"), 1).await.unwrap();
            }
        });
    };
    let once = || {
        let request = Request::<Shop>::new(Everything {}).with_received(Received::now());
        let reply = runtime.block_on(f.service.clone().oneshot(request)).unwrap();
        Shop::encode_answer(reply.answer).unwrap()
    };
    // SQLite's own thread is not counted. How often it is waited for varies.
    let least = || (0..10).map(|_| measure(|| drop(once())).count_total).min().unwrap();
    stock(0..2);
    let short = least();
    stock(2..300);
    let long = least();
    assert!(once().len() > 3000 && long <= short + 5, "{short} for 2 entries, {long} for 300");
}
