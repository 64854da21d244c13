//! Peers that publish as the Python bot does: no ids, no headers.

use super::*;

#[tokio::test]
async fn plain_publishes_are_kept_and_timed_by_the_moment_they_were_stored() {
    let w = Durable::new().await;
    w.serve().await.stop().await;
    let peer = Peer::connect(&w.server).await;
    let before = eitherway::clock::now();
    for n in 0..20 {
        peer.publish("rosey.db.message.log", format!(r#"{{"username":"python","message":"{n}"}}"#)).await;
    }
    peer.flush().await;
    let after = eitherway::clock::now();
    let _service = w.serve().await;
    w.emptied().await;
    let at = |f| format!("SELECT {f}(at) FROM recent_chat").leak() as &'static str;
    let (first, last) = (w.file.number(at("min")).await, w.file.number(at("max")).await);
    assert!(before <= first && last <= after, "{before} {first} {last} {after}");
    let lines = w.file.texts("SELECT message FROM recent_chat ORDER BY at, op_id").await;
    assert_eq!(lines.len(), 20);
}

#[tokio::test]
async fn a_peer_that_asks_for_an_answer_to_an_event_gets_the_streams_and_one_effect() {
    let w = Durable::new().await;
    let _service = w.serve().await;
    let peer = Peer::connect(&w.server).await;
    let answer = peer.request("rosey.db.user.joined", r#"{"username":"python"}"#).await;
    assert_eq!((answer.json()["stream"].as_str(), answer.json()["seq"].as_u64()), (Some("ROSEY"), Some(1)));
    let chat = peer.request("rosey.db.stats.recent_chat.get", "{}").await;
    assert_eq!((chat.header("Eitherway-Reply"), chat.body.as_str()), (Some("1"), "[]"));
    w.emptied().await;
    assert_eq!(w.file.number("SELECT count(*) FROM presence").await, 1);
}

/// What the Python bot sends, as its specification has it and as it really does.
const PYTHON: [(&str, &str); 13] = [
    ("user.joined", r#"{"username": "alice", "timestamp": 1700000000}"#),
    ("user.joined", r#"{"username": "bob"}"#),
    ("user.left", r#"{"username": "alice", "timestamp": 1700000060}"#),
    ("user.left", r#"{"username": "nobody"}"#),
    ("message.log", r#"{"username": "alice", "message": "gr\u00fc\u00df dich", "timestamp": 1700000030}"#),
    ("message.log", r#"{"username": "bob", "message": "hi"}"#),
    ("stats.user_count", r#"{"chat_count": 5, "connected_count": 7, "timestamp": 1700000000}"#),
    ("stats.user_count", r#"{"chat_count": 6, "connected_count": 6}"#),
    ("stats.high_water", r#"{"chat_count": 9, "connected_count": 12, "timestamp": 1700000000}"#),
    ("stats.high_water", r#"{"chat_count": 4, "connected_count": 0}"#),
    ("status.update", r#"{"status": "online", "details": "connected", "timestamp": 1700000000}"#),
    (
        "status.update",
        r#"{"status_data": {"bot_name": "Rosey", "bot_rank": 2.5, "bot_afk": 0, "channel_name": "room",
            "current_chat_users": 3, "current_connected_users": 4, "bot_start_time": 1700000000, "bot_connected": 1,
            "playlist_items": 12, "current_media_title": "a film", "current_media_duration": 5400}}"#,
    ),
    (
        "action.pm_command",
        r#"{"timestamp": 1700000000.5, "username": "alice", "command": "say", "args": "x", "result": "pending", "error": null}"#,
    ),
];

/// The Python bot beside ours, on one service.
async fn serves_the_python_bot(options: ServiceOptions) {
    let w = Durable::new().await;
    let service = w.try_serve(options).await.unwrap();
    let nats = w.client().await;
    let ours = nats_only(&nats);
    let peer = Peer::connect(&w.server).await;
    let id = ours.outbound_enqueue(None, "to the channel").await.unwrap();
    for (subject, payload) in PYTHON {
        peer.publish(&format!("rosey.db.{subject}"), payload).await;
        ours.message_log("rust", format!("beside {payload}")).await.unwrap();
    }
    let polled =
        peer.request("rosey.db.messages.outbound.get", r#"{"limit": 20, "max_retries": 3}"#).await.json();
    assert_eq!((&polled[0]["id"], &polled[0]["message"]), (&id.into(), &"to the channel".into()));
    for payload in
        [format!(r#"{{"message_id": {id}}}"#), format!(r#"{{"message_id": {id}, "timestamp": 1700000000}}"#)]
    {
        peer.publish("rosey.db.messages.outbound.mark_sent", payload).await;
    }
    peer.flush().await;
    wait_until("all of it is applied", || async {
        w.file.applied().await >= u64::try_from(2 * PYTHON.len() + 4).unwrap()
    })
    .await;
    let recent = peer.request("rosey.db.stats.recent_chat.get", r#"{"limit": 50}"#).await.json();
    let said = |name: &str| recent.as_array().unwrap().iter().filter(|line| line["username"] == name).count();
    assert_eq!((said("alice"), said("bob"), said("rust")), (1, 1, PYTHON.len()));
    let stats = peer.request("rosey.db.query.user_stats", r#"{"username": "alice"}"#).await.json();
    assert_eq!((&stats["total_time_connected"], &stats["total_chat_lines"]), (&60.into(), &1.into()));
    let channel = peer.request("rosey.db.query.channel_stats", "").await.json();
    assert_eq!((&channel["high_water_mark"]["users"], &channel["success"]), (&9.into(), &true.into()));
    assert_eq!(
        w.file
            .texts("SELECT status || ' ' || bot_name || ' ' || current_media_title FROM current_status")
            .await,
        ["online Rosey a film"]
    );
    assert_eq!(w.file.number("SELECT count(*) FROM user_count_history").await, 2);
    assert_eq!(w.file.number("SELECT count(*) FROM user_actions").await, 1);
    assert_eq!(w.file.number("SELECT sent FROM outbound_messages").await, 1);
    assert_eq!(w.file.dead_letters().await, 0);
    let served = service.stop().await;
    assert_eq!((served.refused, served.lost, served.failed), (0, 0, 0), "{served:?}");
}

#[tokio::test]
async fn the_python_bot_is_served_beside_ours_from_a_stream() {
    serves_the_python_bot(on()).await;
}

#[tokio::test]
async fn the_python_bot_is_served_beside_ours_without_a_stream() {
    serves_the_python_bot(off()).await;
}
