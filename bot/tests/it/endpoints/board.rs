//! What the board says of the operations themselves: how long they take, and what became of the last ones.

use std::io::Write;

use serde_json::{Value, json};

use super::{Endpoints, chat, serve};
use crate::support::*;
use eitherway_testkit::Peer;

/// The last operations that the board tells of.
async fn last(endpoints: &Endpoints) -> Vec<Value> {
    endpoints.status().await["board"]["last"].as_array().unwrap().clone()
}

/// Waits until one of them is of this kind and went this way.
async fn tells(endpoints: &Endpoints, operation: &str, path: Value) -> Value {
    let found = || async {
        let last = last(endpoints).await;
        last.into_iter().find(|ended| ended["operation"] == operation && ended["path"] == path)
    };
    let is_told = || async { found().await.is_some() };
    assert!(holds_within(LIMIT, is_told).await, "{operation} by {path}: {:#?}", last(endpoints).await);
    found().await.unwrap()
}

async fn latency(endpoints: &Endpoints) -> Value {
    let status = endpoints.status().await;
    let tiles = status["board"]["tiles"].as_array().unwrap();
    tiles.iter().find(|tile| tile["name"] == "Latency").unwrap().clone()
}

#[tokio::test]
async fn the_last_operations_are_told_with_their_path_and_the_id_in_the_ledger_and_those_that_failed_too() {
    let (file, dir) = (DbFile::new(), tempfile::tempdir().unwrap());
    let url = file.url();
    let (mut bot, endpoints) = chat("bot", dir.path(), &["--no-nats", "--database-url", &url]).await;
    endpoints.are_ready().await;
    let mut input = bot.input();
    let mut say = || {
        writeln!(input, "{}", json!({"event": "message", "user": "alice", "content": "hello"})).unwrap();
    };
    say();
    let ended = tells(&endpoints, "message_log", json!("db")).await;
    let id = ended["id"].as_str().unwrap();
    let ledger = file.texts("SELECT id FROM ledger").await;
    assert_eq!(ledger.iter().filter(|known| *known == id).count(), 1, "{ended}: {ledger:?}");
    let is_known = || async { latency(&endpoints).await["note"].as_str().unwrap().contains("99 %") };
    wait_until("it is told how long that took", is_known).await;
    let lock = file.hold().await;
    say();
    tells(&endpoints, "message_log", json!("outbox")).await;
    // It asks by itself whether there is something to say.
    let failed = tells(&endpoints, "outbound_get", Value::Null).await;
    assert!(failed["said"].as_str().unwrap().starts_with("failed: "), "{failed}");
    lock.release().await;
    let answered = last(&endpoints).await.into_iter().filter(|ended| ended["path"] != Value::Null);
    assert!(
        answered.into_iter().all(|ended| ended["operation"] != "outbound_get"),
        "they would leave no room"
    );
}

#[tokio::test]
async fn a_service_tells_how_long_it_takes_for_an_operation() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (_process, endpoints) = serve(&server, &file, &["--jetstream", "off"]).await;
    endpoints.are_ready().await;
    assert_eq!(latency(&endpoints).await["note"], "none in ten minutes");
    Peer::connect(&server).await.request("rosey.db.user.joined", r#"{"username":"alice"}"#).await;
    wait_until("it is told", || async { latency(&endpoints).await["note"] != "none in ten minutes" }).await;
}
