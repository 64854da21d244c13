//! `verify`, after another program has written into the file: what differs, whether anything is lost, what to do.

use super::folder::Folder;
use super::*;
use crate::support::*;

const SERVE: &str = "rosey serve --database-url sqlite://bot_data.db";
const VERIFY: &str = "rosey verify --database-url sqlite://bot_data.db";

/// A file that was taken over, and has seen some operations.
async fn taken_over() -> (NatsServer, Folder) {
    let (server, folder) = (NatsServer::start().await, Folder::made_by(&[H]).await);
    let service = folder.serve(SERVE, &server).await;
    let peer = Peer::connect(&server).await;
    for (subject, payload) in [
        ("rosey.db.user.joined", r#"{"username":"carol"}"#),
        ("rosey.db.message.log", r#"{"username":"carol","message":"hello"}"#),
        ("rosey.db.messages.outbound.enqueue", r#"{"content":"ours"}"#),
    ] {
        assert!(peer.request(subject, payload).await.refusal().is_none());
    }
    service.terminate_and_log().await;
    (server, folder)
}

fn verified(folder: &Folder) -> (Option<i32>, String) {
    let (code, text) = folder.done(VERIFY, None);
    assert!(!text.contains("Restore a backup"), "{text}");
    (code, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_a_python_peer_put_into_the_queue_itself_is_said_and_told_to_be_harmless() {
    let (server, folder) = taken_over().await;
    // as the older web page's `say` writes it
    folder.execute("INSERT INTO outbound_messages (timestamp, message) VALUES (NOW, 'by hand')").await;
    let (code, text) = verified(&folder);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("put messages into the queue: outbound_messages 11."), "{text}");
    assert!(text.contains("Nothing is lost") && text.contains("Nothing has to be done"), "{text}");
    let (_, json) = folder.done(&format!("{VERIFY} --json"), None);
    let json: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(json["advice"].as_array().unwrap().len(), 1, "{json}");

    // and it is true
    let service = folder.serve(SERVE, &server).await;
    let peer = Peer::connect(&server).await;
    let claimed = peer.request("rosey.db.messages.outbound.get", "{}").await.json();
    let said: Vec<_> = claimed.as_array().unwrap().iter().map(|m| m["message"].as_str().unwrap()).collect();
    assert_eq!(said.iter().filter(|said| **said == "by hand").count(), 1, "{claimed}");
    assert_eq!(
        peer.request("rosey.db.messages.outbound.mark_sent", r#"{"message_id":11}"#).await.refusal(),
        None
    );
    service.terminate_and_log().await;
    assert_eq!(folder.rows("SELECT '' || sent FROM outbound_messages WHERE id = 11").await, ["1"]);
    folder
        .execute("DELETE FROM outbound_marks WHERE message = 11; DELETE FROM outbound_messages WHERE id = 11")
        .await;
    let (_, text) = verified(&folder);
    assert!(text.contains("sent marks"), "a mark of ours is missed: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_whom_the_operator_deleted_is_named_with_the_way_back() {
    let (_server, folder) = taken_over().await;
    folder.execute("DELETE FROM user_stats WHERE username = 'carol'").await;
    let (code, text) = verified(&folder);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("deleted totals: user_stats carol."), "{text}");
    // the way back that it names
    folder.execute("INSERT INTO user_stats (username, first_seen, last_seen) VALUES ('carol', 0, 0)").await;
    let (_, text) = verified(&folder);
    assert!(text.contains("carol · total_chat_lines: found 0, expected 1"), "{text}");
    let mut statements = String::new();
    for line in text.lines().filter_map(|line| line.trim().strip_prefix("carol · ")) {
        let (column, rest) = line.split_once(": ").unwrap();
        let must = rest.split_once(", expected ").unwrap().1;
        statements.push_str(&format!("UPDATE user_stats SET {column} = '{must}' WHERE username = 'carol';"));
    }
    folder.execute(&statements).await;
    let (code, text) = verified(&folder);
    assert_eq!(code, Some(0), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_meddling_has_its_own_sentence() {
    let (_server, folder) = taken_over().await;
    for (meddling, said, undo) in [
        (
            "INSERT INTO user_actions (timestamp, username, action_type) VALUES (NOW, 'mod', 'ban')",
            "added rows: user_actions 2.",
            "DELETE FROM user_actions WHERE id = 2",
        ),
        (
            "INSERT INTO recent_chat (timestamp, username, message) VALUES (NOW, 'dora', 'by hand')",
            "added rows: recent_chat 5.",
            "DELETE FROM recent_chat WHERE id = 5",
        ),
        (
            "INSERT INTO user_stats (username, first_seen, last_seen) VALUES ('dora', NOW, NOW)",
            "added rows: user_stats dora.",
            "DELETE FROM user_stats WHERE username = 'dora'",
        ),
        (
            "UPDATE user_stats SET total_chat_lines = 7000 WHERE username = 'alice'",
            "changed values: user_stats alice.",
            "UPDATE user_stats SET total_chat_lines = 120 WHERE username = 'alice'",
        ),
        (
            "UPDATE channel_stats SET max_users = 1",
            "changed values: channel_stats channel.",
            "UPDATE channel_stats SET max_users = 41",
        ),
        (
            "DELETE FROM recent_chat WHERE username = 'carol'",
            "deleted what operations had brought: lines ",
            "",
        ),
    ] {
        folder.execute(meddling).await;
        let (code, text) = verified(&folder);
        assert_eq!(code, Some(1), "{meddling}: {text}");
        assert_eq!(
            text.matches("Another program").count(),
            1 + usize::from(undo.is_empty()),
            "{meddling}: {text}"
        );
        assert!(text.contains(said), "{meddling}: {text}");
        folder.execute(undo).await;
    }
}
