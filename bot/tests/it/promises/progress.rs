//! What is acknowledged and not applied is named, whatever holds it up; and what an operator changes by hand is noticed, put right
//! where nothing is lost by it, and named where it cannot be.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::world::{JOINED, World, now};
use crate::support::*;

#[tokio::test]
async fn events_are_applied_where_the_server_allows_small_requests_only() {
    let w = World::on("limits: { max_request_batch: 10 }").await;
    let mut asked = w.peer.listen("$JS.API.CONSUMER.MSG.NEXT.>").await;
    w.joined(0..60).await;
    w.has_applied(60).await;
    let mut requests = 0;
    while !silent(&mut asked, Duration::from_millis(300)).await {
        requests += 1;
    }
    assert!((1..=30).contains(&requests), "{requests} requests for 60 events, 10 at a time");
    assert_eq!(now(&w.peer).await, Vec::<String>::new());
}

#[tokio::test]
async fn requests_follow_the_consumers_limits_when_they_are_changed_by_hand() {
    for limit in
        [json!({"max_batch": 1}), json!({"max_expires": 1_000_000_000_u64}), json!({"max_bytes": 1_000_000})]
    {
        let w = World::new().await;
        w.put_consumer(limit).await;
        w.joined(0..20).await;
        w.has_applied(20).await;
    }
}

#[tokio::test]
async fn a_paused_consumer_is_named_with_what_waits_and_what_to_do() {
    let w = World::new().await;
    w.pause("2035-01-01T00:00:00Z").await;
    w.joined(0..3).await;
    let said = w.noticed(&["paused", "3 events"]).await;
    assert!(said.contains("nats consumer resume ROSEY writer"), "{said}");
    w.noticed(&["acknowledged and not applied"]).await;
    w.pause("0001-01-01T00:00:00Z").await;
    w.has_applied(3).await;
    w.over("paused").await;
    w.over("acknowledged and not applied").await;
}

#[tokio::test]
async fn a_database_that_is_held_is_why_what_is_acknowledged_is_not_applied() {
    let w = World::new().await;
    let held = w.file.hold().await;
    w.joined(0..3).await;
    let said = w.noticed(&["3 events", "acknowledged and not applied"]).await;
    assert!(said.contains("another process or connection holds the database"), "{said}");
    held.release().await;
    w.has_applied(3).await;
    w.over("acknowledged and not applied").await;
}

#[tokio::test]
async fn a_plain_publish_that_cannot_be_applied_is_named_without_a_stream_too() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start(&server, &file).await;
    let peer = Peer::connect(&server).await;
    let held = file.hold().await;
    peer.publish(JOINED, r#"{"username":"alice"}"#).await;
    // The ping is answered by the writer, which is held: the statistics are not.
    let stats = async || peer.request("$SRV.STATS", "").await.json()["data"]["notices"].to_string();
    wait_until("it is named", || async { stats().await.contains("1 message taken and not applied") }).await;
    assert!(stats().await.contains("another process or connection holds the database"), "{}", stats().await);
    held.release().await;
    wait_until("it is over", || async { stats().await == "[]" }).await;
    assert!(service.log().contains("1 message taken and not applied"), "{}", service.log());
    assert_eq!(file.applied().await, 1);
}

#[tokio::test]
async fn a_request_for_more_that_the_server_denies_is_named_with_the_permission() {
    let config = r#"
        authorization { users: [
            { user: service, password: x, permissions: { publish: { deny: "$JS.API.CONSUMER.MSG.NEXT.>" } } }
            { user: peer, password: x }
        ] }
        no_auth_user: peer"#;
    let w = World::behind("", config, "service").await;
    let said =
        w.noticed(&["does not let this service publish to \"$JS.API.CONSUMER.MSG.NEXT.ROSEY.writer\""]).await;
    assert!(said.contains("acknowledged, and not applied") && said.contains("allow"), "{said}");
    w.joined(0..2).await;
    w.noticed(&["2 events", "acknowledged and not applied", "MSG.NEXT"]).await;
}

#[tokio::test]
async fn a_setting_that_no_server_takes_back_is_named() {
    let w = World::new().await;
    w.edit_stream(json!({"deny_delete": true})).await;
    w.noticed(&["deny_delete"]).await;
    w.edit_stream(json!({"discard": "old"})).await;
    wait_until("the rest is put right all the same", || async {
        w.stream().await["config"]["discard"] == "new"
    })
    .await;
    w.edit_stream(json!({"sealed": true})).await;
    let said = w.noticed(&["sealed"]).await;
    assert!(said.contains("delete"), "{said}");
}

#[tokio::test]
async fn a_payload_that_the_consumer_left_out_is_fetched_and_nothing_is_buried_empty() {
    let w = World::new().await;
    w.service.freeze();
    w.put_consumer(json!({"headers_only": true})).await;
    w.joined(0..50).await;
    w.service.thaw();
    w.has_applied(50).await;
}

#[tokio::test]
async fn events_that_are_purged_or_deleted_before_they_are_applied_are_counted() {
    let w = World::new().await;
    w.pause("2035-01-01T00:00:00Z").await;
    w.joined(0..7).await;
    w.noticed(&["paused", "7 events"]).await;
    w.ask("STREAM.PURGE.ROSEY", json!({"keep": 2})).await;
    w.noticed(&["5 events", "without being applied"]).await;
    w.ask("STREAM.DELETE.ROSEY", json!({})).await;
    w.noticed(&["2 events", "without being applied"]).await;
    wait_until("the stream is declared again", || async { w.stream().await.get("error").is_none() }).await;
    w.joined(10..13).await;
    w.has_applied(3).await;
    assert!(w.service.log().contains("5 events that the stream"), "{}", w.service.log());
}

/// Answers each request for more with the next one of these refusals, as a server would: beside the server, over a plain
/// connection. Returns when all were used.
async fn refuse(server: &NatsServer, refusals: &[&str]) {
    let address = server.url().replace("nats://", "");
    let mut connection = BufReader::new(TcpStream::connect(address).await.unwrap());
    let hello = "CONNECT {\"verbose\":false,\"headers\":true,\"echo\":false}\r\nSUB $JS.API.CONSUMER.MSG.NEXT.> 1\r\n";
    connection.write_all(hello.as_bytes()).await.unwrap();
    let mut refusals = refusals.iter();
    loop {
        let mut line = String::new();
        assert!(connection.read_line(&mut line).await.unwrap() > 0, "the server has ended the connection");
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["PING"] => connection.write_all(b"PONG\r\n").await.unwrap(),
            ["MSG", _, _, reply, _] => {
                let Some(refusal) = refusals.next() else { return };
                let head = format!("NATS/1.0 {refusal}\r\n\r\n");
                let size = head.len();
                let message = format!("HPUB {reply} {size} {size}\r\n{head}\r\n");
                connection.write_all(message.as_bytes()).await.unwrap();
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_request_for_more_that_is_refused_is_not_repeated_at_once_whatever_the_refusal_says() {
    let mut w = World::new().await;
    w.service.begin_again();
    let refusals = [
        "409 Something New",
        "409 Something New",
        "400 Bad Request",
        "404 No Messages",
        "408 Request Timeout",
        "409 Exceeded MaxWaiting",
        "409 Exceeded MaxRequestBatch of 10",
        "409 Message Size Exceeds MaxBytes",
        "409 Consumer Deleted",
        "409 Leadership Change",
        "423 Nats-Wrong-Pin-Id",
        "503",
    ];
    let begun = std::time::Instant::now();
    tokio::time::timeout(LIMIT, refuse(&w.server, &refusals)).await.expect("it asks again");
    // Two in a second: some six seconds for twelve of them.
    assert!(begun.elapsed() > Duration::from_secs(4), "{:?}", begun.elapsed());
    w.service.serves().await;
    w.joined(0..20).await;
    w.has_applied(20).await;
}

#[tokio::test]
async fn what_cannot_be_acknowledged_is_named_with_the_permission() {
    let config = r#"
        authorization { users: [
            { user: service, password: x, permissions: { publish: { deny: "$JS.ACK.>" } } }
            { user: peer, password: x }
        ] }
        no_auth_user: peer"#;
    let w = World::behind("", config, "service").await;
    w.joined(0..2).await;
    w.noticed(&["does not let this service publish to \"$JS.ACK.>\""]).await;
    w.noticed(&["2 events", "acknowledged and not applied", "publish to \"$JS.ACK.>\""]).await;
}

#[tokio::test]
async fn a_limit_set_by_hand_that_drops_waiting_events_is_undone_and_what_went_is_counted() {
    let w = World::new().await;
    w.pause("2035-01-01T00:00:00Z").await;
    w.joined(0..9).await;
    w.noticed(&["paused", "9 events"]).await;
    w.edit_stream(json!({"discard": "old", "max_msgs": 4})).await;
    w.noticed(&["5 events", "without being applied"]).await;
    w.noticed(&["settings of the stream", "max_msgs"]).await;
    // What was put right has not ended the pause.
    w.joined(20..30).await;
    assert_eq!(w.users().await, 0);
    w.pause("0001-01-01T00:00:00Z").await;
    w.has_applied(14).await;
}

#[tokio::test]
async fn a_pause_is_kept_when_the_consumer_is_put_right() {
    let w = World::new().await;
    w.pause("2035-01-01T00:00:00Z").await;
    w.joined(0..3).await;
    w.put_consumer(json!({"max_deliver": 3})).await;
    w.noticed(&["settings of the consumer", "max_deliver"]).await;
    w.noticed(&["paused", "3 events"]).await;
    assert_eq!(w.consumer().await["paused"], true);
}

#[tokio::test]
async fn a_stream_that_is_sealed_with_events_in_it_is_applied_all_the_same() {
    let w = World::new().await;
    w.pause("2035-01-01T00:00:00Z").await;
    w.joined(0..3).await;
    w.edit_stream(json!({"sealed": true})).await;
    w.pause("0001-01-01T00:00:00Z").await;
    w.has_applied(3).await;
    w.noticed(&["sealed"]).await;
}
