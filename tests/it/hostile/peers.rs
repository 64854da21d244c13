//! Peers that speak NATS and do not know the protocol.

use super::*;

#[tokio::test]
async fn a_plain_publish_of_garbage_is_kept_announced_and_passed_over() {
    let w = World::new().await;
    let mut notices = w.peer.listen("rosey.dlq.>").await;
    let (mut writes, mut sent) = (0, 0);
    for spec in Op::SPECS {
        for payload in ["{", "[1]", "\0", "null"] {
            w.peer.publish(spec.subject, payload).await;
            writes += u64::from(spec.writes());
        }
        w.peer.publish(spec.subject, good(spec)).await;
        // A claim without a reply subject would only keep its messages from others: it is refused, too.
        writes += u64::from(spec.writes() && spec.answer_is_list());
        sent += u64::from(spec.writes() && !spec.answer_is_list());
    }
    wait_until("all garbage is kept", || async { w.file.dead_letters().await == writes }).await;
    wait_until("all good messages are applied", || async { w.file.applied().await >= sent }).await;
    for _ in 0..writes {
        let notice = next(&mut notices).await;
        let name = notice.subject.as_str().strip_prefix("rosey.dlq.").unwrap();
        let told: serde_json::Value = serde_json::from_slice(&notice.payload).unwrap();
        let spec = Op::SPECS.iter().find(|spec| spec.name == name).unwrap();
        assert_eq!((&told["subject"], &told["code"]), (&json!(spec.subject), &json!("invalid")));
        assert!(told["reason"].as_str().is_some_and(|reason| !reason.is_empty()));
    }
    let served = w.service.stop().await;
    assert_eq!((served.buried, served.lost), (writes, 0), "{served:?}");
}

#[tokio::test]
async fn a_peer_that_knows_nothing_of_us_is_served() {
    let w = World::new().await;
    w.peer.publish("rosey.db.user.joined", r#"{"username":"alice"}"#).await;
    wait_until("alice is here", || async { w.file.applied().await == 1 }).await;
    assert_eq!(w.file.texts("SELECT username FROM user_stats_now").await, ["alice"]);
    let waiting = w.peer.request("rosey.db.messages.outbound.get", r#"{"limit":20,"max_retries":3}"#).await;
    assert_eq!((waiting.refusal(), waiting.body.as_str()), (None, "[]"));
    w.peer.request("rosey.db.messages.outbound.enqueue", r#"{"content":"to all"}"#).await;
    let waiting = w.peer.request("rosey.db.messages.outbound.get", "").await.json();
    assert_eq!((&waiting[0]["message"], &waiting[0]["retry_count"]), (&json!("to all"), &json!(0)));
    w.peer
        .publish("rosey.db.messages.outbound.mark_sent", format!(r#"{{"message_id":{}}}"#, waiting[0]["id"]))
        .await;
    wait_until("it is marked", || async {
        w.file.number("SELECT count(*) FROM outbound_messages WHERE sent").await == 1
    })
    .await;
}

/// The wire as bytes, for what a well-behaved client cannot say.
#[tokio::test]
async fn headers_that_no_client_would_send_do_not_stop_the_service() {
    let w = World::new().await;
    let url = w.server.url();
    let mut raw = std::net::TcpStream::connect(url.trim_start_matches("nats://")).unwrap();
    raw.set_read_timeout(Some(LIMIT)).unwrap();
    raw.write_all(b"CONNECT {\"verbose\":false,\"headers\":true}\r\n").unwrap();
    let body = br#"{"username":"raw"}"#;
    let mut messages = 0;
    for headers in [
        &b"NATS/1.0\r\nNats-Msg-Id: \x01\x02\r\n\r\n"[..],
        b"NATS/1.0\r\nNats-Msg-Id:\r\n\r\n",
        b"NATS/1.0\r\nNats-Msg-Id: a\r\nNats-Msg-Id: b\r\n\r\n",
        b"NATS/1.0\r\nEitherway-Occurred-At: \x00\r\n\r\n",
        b"NATS/1.0\r\n\r\n",
        b"NATS/1.0 999 What\r\n\r\n",
    ] {
        let head = format!("HPUB rosey.db.user.joined {} {}\r\n", headers.len(), headers.len() + body.len());
        raw.write_all(&[head.as_bytes(), headers, body, b"\r\n"].concat()).unwrap();
        messages += 1;
    }
    raw.write_all(b"PING\r\n").unwrap();
    let mut seen = String::new();
    while !seen.contains("PONG") {
        let mut some = [0; 4096];
        let n = raw.read(&mut some).unwrap();
        assert!(n > 0, "the server closed: {seen}");
        seen.push_str(&String::from_utf8_lossy(&some[..n]));
    }
    wait_until("each is applied or kept", || async {
        w.file.applied().await + w.file.dead_letters().await == messages
    })
    .await;
    let said = w.peer.request("rosey.db.user.joined", r#"{"username":"next"}"#).await;
    assert_eq!(said.body, "{}");
    assert!(w.service.stop().await.lost == 0);
}
