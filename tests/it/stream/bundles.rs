//! Bundles of events in a stream: stored with one acknowledgement, applied one by one.

use async_nats::HeaderMap;

use super::*;

const STORED: &str = "rosey.db.batch.events";

fn entry(name: &str, id: &str, payload: &str) -> String {
    let (at, size) = (Head::now().occurred_at, payload.len());
    format!("{}\n{payload}\n", serde_json::json!({"name": name, "id": id, "at": at, "size": size}))
}

/// Whether clients are told that the stream takes bundles.
async fn are_stored(peer: &Peer) -> bool {
    peer.request("rosey.db.ping", "").await.json()["bundles"]["stream"] == true
}

async fn lines(nats: &eitherway::nats::NatsService<Op>, many: usize) {
    let db = nats_only(nats);
    let lines = (0..many).map(|n| db.message_log("alice", format!("line {n}")));
    join_all(lines).await.into_iter().for_each(|sent| sent.unwrap());
}

#[tokio::test]
async fn events_that_wait_are_stored_together_and_a_poisonous_one_is_set_aside_alone() {
    let w = Durable::new().await;
    let _service = w.serve().await;
    let peer = Peer::connect(&w.server).await;
    wait_until("the stream takes bundles", || are_stored(&peer)).await;
    let nats = w.client().await;
    // Told with the next ping.
    let mut bundles = peer.listen(STORED).await;
    let sent = async {
        loop {
            lines(&nats, 100).await;
            peer.flush().await;
            if tokio::time::timeout(Duration::from_millis(50), next(&mut bundles)).await.is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, sent).await.expect("bundles are sent");
    nats.applied(LIMIT).await.unwrap();
    let before = w.file.number("SELECT count(*) FROM recent_chat").await;
    assert!(before > 0 && before % 100 == 0, "{before}");
    let newer = entry("user_waved", "newer", r#"{"username":"alice"}"#);
    let bundle = [
        entry("message_log", "one", r#"{"username":"alice","message":"hi"}"#),
        entry("message_log", "poison", r#"{"username":"alice"}"#),
        entry("user_stats", "query", r#"{"username":"alice"}"#),
        newer.clone(),
        entry("message_log", "two", r#"{"username":"alice","message":"ho"}"#),
    ];
    for _ in 0..2 {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Stream", "ROSEY");
        let stored = peer.request_with(STORED, headers, bundle.concat()).await;
        assert!(stored.json()["seq"].is_number(), "{stored:?}");
    }
    w.emptied().await;
    assert_eq!(w.file.number("SELECT count(*) FROM recent_chat").await, before + 2, "each once");
    let letters = w.file.texts("SELECT DISTINCT subject || ' ' || (headers ->> 'Eitherway-Operation-Id') FROM dead_letters ORDER BY 1").await;
    let unnamed = ["rosey.db.batch.events newer", "rosey.db.batch.events query"];
    assert_eq!(letters, [&unnamed[..], &["rosey.db.message.log poison"]].concat());
    // With all that a version needs which knows it.
    let letter = "SELECT DISTINCT code || ' ' || CAST(payload AS TEXT) FROM dead_letters WHERE headers ->> 'Eitherway-Operation-Id' = 'newer'";
    assert_eq!(w.file.texts(letter).await, [format!("unknown_operation {newer}")]);
}

#[tokio::test]
async fn the_stream_takes_no_bundles_beside_an_older_instance_and_nothing_is_lost() {
    let w = Durable::new().await;
    let new = w.serve().await;
    let peer = Peer::connect(&w.server).await;
    wait_until("the stream takes bundles", || are_stored(&peer)).await;
    let nats = w.client().await;
    let sending = {
        let nats = nats.clone();
        tokio::spawn(async move {
            for _ in 0..40 {
                lines(&nats, 25).await;
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
        })
    };
    let old = w.try_serve(on().bundles(false)).await.unwrap();
    let with = || async {
        let stream = w.context().await.get_stream("ROSEY").await.unwrap();
        stream.cached_info().config.subjects.iter().any(|subject| subject.as_str() == STORED)
    };
    wait_until("the older one has taken the subject away", || async { !with().await }).await;
    sending.await.unwrap();
    old.stop().await;
    wait_until("the stream takes bundles again", with).await;
    lines(&nats, 100).await;
    nats.applied(LIMIT).await.unwrap();
    w.emptied().await;
    assert_eq!(w.file.number("SELECT count(*) FROM recent_chat").await, 40 * 25 + 100);
    assert_eq!(w.file.dead_letters().await, 0);
    new.stop().await;
    w.file.assert_clean().await;
}
