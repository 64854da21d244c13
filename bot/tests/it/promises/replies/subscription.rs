//! What the one subscription to all subjects takes along.

use super::*;

#[tokio::test]
async fn an_operation_that_does_not_exist_is_refused_at_once_and_a_flood_of_them_leaves_no_trace_but_a_number()
 {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start_with(&server, &file, &["--jetstream", "off"]).await;
    let peer = Peer::connect(&server).await;
    for subject in
        ["rosey.db.kv.take", "rosey.db.row.quotes.insert", "rosey.db.foo", "rosey.db.user", "rosey.db.PING"]
    {
        let said = peer.request(subject, "{}").await;
        assert_eq!(said.refusal(), Some(501), "{subject}: {said:?}");
        assert_eq!(said.json()["code"], "unknown_operation", "{subject}");
    }
    for n in 0..2_000 {
        peer.publish(&format!("rosey.db.kv.set.{n}"), "{}").await;
    }
    wait_until("they are counted", || async { stats(&peer).await["data"]["unknown"] == 2_005 }).await;
    assert_eq!(peer.request("rosey.db.ping", "").await.json()["unknown"], 2_005);
    assert_eq!((file.applied().await, file.dead_letters().await), (0, 0));
    let log = service.terminate_and_log().await;
    let lines = log.lines().filter(|line| line.contains("unknown operation")).count();
    assert!((1..=10).contains(&lines), "named, and not for each of them:\n{log}");
}

#[tokio::test]
async fn each_request_is_answered_once_also_beside_an_instance_that_listens_to_each_subject_by_itself() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start_with(&server, &file, &["--jetstream", "off"]).await;
    let peer = Peer::connect(&server).await;
    let older = Peer::connect(&server).await;
    let subject = "rosey.db.user.joined";
    let mut taken = older.client.queue_subscribe(subject, "rosey.db".to_owned()).await.unwrap();
    older.flush().await;
    let client = older.client.clone();
    tokio::spawn(async move {
        let mut headers = HeaderMap::new();
        headers.insert("Eitherway-Reply", "1");
        while let Some(message) = taken.next().await {
            let reply = message.reply.unwrap();
            client.publish_with_headers(reply, headers.clone(), r#"{"older":true}"#.into()).await.unwrap();
        }
    });
    let inbox = peer.client.new_inbox();
    let mut answers = peer.listen(&format!("{inbox}.>")).await;
    let asked =
        [subject, "rosey.db.ping", "rosey.db.who", "rosey.db.applied", "rosey.db.query.channel_stats"];
    for n in 0..200 {
        for (place, subject) in asked.iter().enumerate() {
            let reply = format!("{inbox}.{place}.{n}");
            let payload = if place == 0 { format!(r#"{{"username":"u{n}"}}"#) } else { String::new() };
            peer.client.publish_with_reply(*subject, reply, payload.into()).await.unwrap();
        }
    }
    let (mut seen, mut by_older) = (BTreeSet::new(), 0);
    for _ in 0..200 * asked.len() {
        let answer = next(&mut answers).await;
        by_older += u64::from(answer.payload.starts_with(br#"{"older""#));
        assert!(seen.insert(answer.subject.to_string()), "answered twice: {}", answer.subject);
    }
    assert!(silent(&mut answers, Duration::from_millis(50)).await, "and not once more");
    assert!((1..200).contains(&by_older), "both have their share: {by_older}");
    assert_eq!(file.applied().await, 200 - by_older);
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test]
async fn questions_are_answered_while_thousands_of_events_wait_for_a_locked_database() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start_with(&server, &file, &["--jetstream", "off"]).await;
    let peer = Peer::connect(&server).await;
    let held = file.hold().await;
    let mut raw = BytesPeer::connect(&server);
    for n in 0..5_000 {
        raw.publish("rosey.db.user.joined", b"", format!(r#"{{"username":"u{n}"}}"#).as_bytes());
    }
    raw.flush();
    for _ in 0..20 {
        assert_eq!(peer.request("rosey.db.stats.recent_chat.get", "{}").await.body, "[]");
    }
    held.release().await;
    wait_until("all events are applied", || async { file.applied().await == 5_000 }).await;
    assert_eq!(service.terminate().await, Some(0));
}
