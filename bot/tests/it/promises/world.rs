//! A service on its stream in a process of its own, and ways to change that stream by hand.

use async_nats::jetstream::Context;
use serde_json::{Value, json};

use crate::support::*;

pub(crate) const JOINED: &str = "rosey.db.user.joined";

/// A server with JetStream, a service on its stream, and a peer that knows nothing of it.
pub(crate) struct World {
    pub(crate) server: NatsServer,
    pub(crate) file: DbFile,
    pub(crate) service: ServeProcess,
    pub(crate) peer: Peer,
    pub(crate) js: Context,
    _store: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on("").await
    }

    /// With more lines in the block `jetstream` of the server, and others behind it.
    pub(crate) async fn on(limits: &str) -> Self {
        Self::behind(limits, "", "").await
    }

    pub(crate) async fn behind(limits: &str, config: &str, user: &str) -> Self {
        let store = tempfile::tempdir().unwrap();
        let config = format!("jetstream {{ store_dir: {:?}, {limits} }}\n{config}", store.path().display());
        let (server, file) = (NatsServer::with_config(&config).await, DbFile::new());
        let service =
            ServeProcess::start_with(&As(user, &server), &file, &["--stream-ack-wait-ms", "3000"]).await;
        let peer = Peer::connect(&server).await;
        let js = async_nats::jetstream::new(peer.client.clone());
        Self { server, file, service, peer, js, _store: store }
    }

    pub(crate) async fn ask(&self, subject: &str, body: Value) -> Value {
        self.js.request(subject.to_owned(), &body).await.unwrap()
    }

    pub(crate) async fn stream(&self) -> Value {
        self.ask("STREAM.INFO.ROSEY", json!({})).await
    }

    pub(crate) async fn consumer(&self) -> Value {
        self.ask("CONSUMER.INFO.ROSEY.writer", json!({})).await
    }

    /// Changes settings of the stream by hand, as `nats stream edit` does.
    pub(crate) async fn edit_stream(&self, changes: Value) {
        let mut config = self.stream().await["config"].take();
        change(&mut config, changes);
        let answer = self.ask("STREAM.UPDATE.ROSEY", config).await;
        assert!(answer.get("error").is_none(), "{answer}");
    }

    pub(crate) async fn put_consumer(&self, changes: Value) {
        let mut config = self.consumer().await["config"].take();
        change(&mut config, changes);
        self.create_consumer(config).await;
    }

    pub(crate) async fn create_consumer(&self, config: Value) {
        let body = json!({"stream_name": "ROSEY", "config": config});
        let answer = self.ask("CONSUMER.DURABLE.CREATE.ROSEY.writer", body).await;
        assert!(answer.get("error").is_none(), "{answer}");
    }

    pub(crate) async fn pause(&self, until: &str) {
        let answer = self.ask("CONSUMER.PAUSE.ROSEY.writer", json!({"pause_until": until})).await;
        assert!(answer.get("error").is_none(), "{answer}");
    }

    pub(crate) async fn joined(&self, users: std::ops::Range<u32>) {
        for n in users {
            let stored = self.peer.request(JOINED, format!(r#"{{"username":"user{n}"}}"#)).await;
            assert_eq!(stored.json()["stream"], "ROSEY", "{stored:?}");
        }
    }

    pub(crate) async fn has_applied(&self, users: i64) {
        wait_until("all of them are applied", || async { self.users().await == users }).await;
        assert_eq!(self.file.dead_letters().await, 0);
    }

    pub(crate) async fn users(&self) -> i64 {
        self.file.number("SELECT count(DISTINCT username) FROM presence").await
    }

    pub(crate) async fn noticed(&self, words: &[&str]) -> String {
        noticed(&self.peer, words).await
    }

    /// Waits until nothing is in the way, in the ping's answer; and that the log knew the word.
    pub(crate) async fn over(&self, word: &str) {
        let over = || async { !now(&self.peer).await.iter().any(|notice| notice.contains(word)) };
        wait_until("it is over", over).await;
        assert!(self.service.log().contains(word), "{}", self.service.log());
    }
}

fn change(config: &mut Value, changes: Value) {
    for (name, value) in changes.as_object().unwrap() {
        config[name] = value.clone();
    }
}

pub(crate) async fn now(peer: &Peer) -> Vec<String> {
    let answer = ping(peer).await;
    answer["notices"].as_array().into_iter().flatten().map(|n| n.as_str().unwrap().to_owned()).collect()
}

/// Waits for a notice with these words, in the ping and in the statistics.
pub(crate) async fn noticed(peer: &Peer, words: &[&str]) -> String {
    let mut found = String::new();
    let holds = holds_within(LIMIT, || async {
        now(peer).await.into_iter().any(|notice| words.iter().all(|word| notice.contains(word)))
    });
    assert!(holds.await, "no notice of {words:?}: {:?}", now(peer).await);
    for notice in now(peer).await {
        if words.iter().all(|word| notice.contains(word)) {
            found = notice;
        }
    }
    let stats = peer.request("$SRV.STATS", "").await.json();
    let all = stats["data"]["notices"].as_array().unwrap();
    let word = |notice: &Value| notice.as_str().unwrap().contains(words[0]);
    assert!(all.iter().any(word), "{all:?}");
    found
}
