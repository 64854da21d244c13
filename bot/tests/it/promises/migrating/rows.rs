//! What the log says of rows and tables, and what becomes of those that should not be.

use super::folder::Folder;
use super::*;
use crate::support::*;

const SERVE: &str = "rosey serve --database-url sqlite://bot_data.db";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_says_what_was_found_kept_set_aside_and_put_right() {
    let server = NatsServer::start().await;
    for (scripts, said) in [
        (
            &[H][..],
            &[
                "of its newest generation; found api_tokens 1 row, channel_stats 1 row",
                "user_stats 4 of 4",
                "took_ms=",
            ][..],
        ),
        (
            &[S4, HOSTILE],
            &[
                "of its older generation; found",
                "user_stats 14 of 17",
                "set aside whole",
                "current_status_before_rosey",
                "rows had values that their columns cannot have (channel_stats 1, current_status 1, outbound_messages ",
                "`rosey dead list`",
            ],
        ),
        (
            &[ALEMBIC_000],
            &[
                "as `alembic upgrade` makes it",
                "channel_stats_before_rosey",
                "outbound_messages_before_rosey",
                "user_stats 2 of 2",
            ],
        ),
        (
            &[
                H,
                "INSERT INTO user_stats SELECT upper(username), first_seen, last_seen, 1, 1, NULL FROM user_stats WHERE username = 'bob'",
            ],
            &[
                "what is merged: spellings 1, people 1, users 1, joins and leaves 0, lines 0, messages 0",
                "user_stats 4 of 5",
            ],
        ),
        (
            &["CREATE TABLE user_stats (username TEXT PRIMARY KEY, lines INTEGER)"],
            &["taking over", "user_stats_before_rosey"],
        ),
    ] {
        let folder = Folder::made_by(scripts).await;
        let log = folder.serve(SERVE, &server).await.terminate_and_log().await;
        for words in said {
            assert!(log.contains(words), "{words:?} is not in\n{log}");
        }
        assert!(
            log.lines().filter(|line| !line.contains(" INFO ")).all(|line| line.starts_with("stopped: ")),
            "{log}"
        );
        // twice is once
        let log = folder.serve(SERVE, &server).await.terminate_and_log().await;
        assert!(
            !log.contains("taking over") && !log.contains("took over") && !log.contains("aside"),
            "{log}"
        );
        assert_eq!(folder.done("rosey verify --database-url sqlite://bot_data.db", None).0, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_says_it_as_json_too() {
    let (server, folder) = (NatsServer::start().await, Folder::made_by(&[S4, HOSTILE]).await);
    let log = folder.serve(&format!("{SERVE} --log-format json"), &server).await.terminate_and_log().await;
    let lines: Vec<serde_json::Value> =
        log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let message = |line: &serde_json::Value, begin: &str| {
        line["message"].as_str().is_some_and(|message| message.starts_with(begin))
    };
    for begin in
        ["taking over bot_data.db: ", "took over bot_data.db: ", "set aside whole", "16 rows had values"]
    {
        assert_eq!(lines.iter().filter(|line| message(line, begin)).count(), 1, "{begin}: {log}");
    }
    assert!(lines.iter().any(|line| message(line, "took over") && line["took_ms"].is_u64()), "{log}");
}

/// Names without letters, names with what no operation may carry, texts of a megabyte, times of another kind.
const ODD: &str = "
    INSERT INTO user_stats (username, first_seen, last_seen, total_chat_lines, total_time_connected) VALUES
        ('', NOW, NOW, 1, 1), ('nul' || char(0) || 'in it', NOW, NOW, 1, 1), (' ', NOW, NOW, 1, 1),
        (printf('%.2000000c', 'x'), NOW, NOW, 1, 1),
        ('millis', NOW * 1000, NOW * 1000, 1, 1), ('iso', '2024-05-06T07:08:09Z', '2024-05-06 07:08:09', 1, 1);
    INSERT INTO recent_chat (timestamp, username, message) VALUES
        (NOW - 5, '', 'no name'), (NOW - 4, 'nul' || char(0), char(0)), (NOW - 3, 'long', printf('%.2000000c', 'x')),
        (NOW * 1000, 'millis', 'in milliseconds'), ('2024-05-06T07:08:09Z', 'iso', 'a text');
    INSERT INTO user_count_history (timestamp, chat_users, connected_users) VALUES
        (NOW * 1000, 1, 1), ('2024-05-06T07:08:09Z', 1, 1);
    INSERT INTO user_actions (timestamp, username, action_type, details) VALUES
        (NOW * 1000, '', '', char(0)), ('2024-05-06T07:08:09Z', char(0), 'x', printf('%.2000000c', 'x'));
    INSERT INTO outbound_messages (timestamp, message, sent) VALUES
        (NOW * 1000, 'in milliseconds', 0), ('2024-05-06T07:08:09Z', char(0), 0), (NOW, printf('%.2000000c', 'x'), 0), (NOW, '', 0);";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_no_operation_could_have_made_stop_neither_the_take_over_nor_the_service() {
    for script in [H, S4] {
        let (server, folder) = (NatsServer::start().await, Folder::made_by(&[script, ODD]).await);
        let service = folder.serve(SERVE, &server).await;
        assert_eq!(folder.done("rosey verify --database-url sqlite://bot_data.db", None).0, Some(0));
        let peer = Peer::connect(&server).await;
        let stats = peer.request("rosey.db.query.channel_stats", "{}").await.json();
        assert_eq!(stats["total_users_seen"], 4 + 5, "all but the name that no answer can carry: {stats}");
        for (user, since) in [("millis", folder.now), ("iso", 1_714_979_289)] {
            let payload = format!(r#"{{"username":"{user}"}}"#);
            let known = peer.request("rosey.db.query.user_stats", payload).await.json();
            assert_eq!(
                (&known["first_seen"], &known["last_seen"]),
                (&since.into(), &since.into()),
                "{known}"
            );
        }
        let lines = peer.request("rosey.db.stats.recent_chat.get", r#"{"limit":50}"#).await.json();
        let said =
            |user: &str| lines.as_array().unwrap().iter().find(|line| line["username"] == user).cloned();
        assert_eq!(said("millis").unwrap()["timestamp"], folder.now);
        assert_eq!(said("iso").unwrap()["timestamp"], 1_714_979_289);
        assert_eq!(said("long").unwrap()["message"].as_str().unwrap().len(), 65536);
        let known = peer.request("rosey.db.query.user_stats", r#"{"username":"iso"}"#).await.json();
        assert_eq!((&known["found"], &known["total_chat_lines"]), (&true.into(), &1.into()), "{known}");
        // what waits is handed out as far as it fits into an answer
        let claimed = peer.request("rosey.db.messages.outbound.get", "{}").await;
        assert!(claimed.refusal().is_none(), "{claimed:?}");
        let log = service.terminate_and_log().await;
        assert!(log.contains("rows had values") && !log.contains("WARN") && !log.contains("ERROR"), "{log}");
        // what was cut is kept whole
        let kept = "SELECT subject FROM dead_letters WHERE code = 'too_large' AND length(payload) >= 2000000 ORDER BY 1";
        assert_eq!(folder.rows(kept).await, ["outbound_messages", "recent_chat", "user_stats"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_channel_itself_is_no_user_and_its_lines_are_counted_and_not_kept() {
    let said_before = "UPDATE user_stats SET username = '[server]' WHERE username = 'bob'";
    let (server, folder) = (NatsServer::start().await, Folder::made_by(&[H, said_before]).await);
    let service = folder.serve(SERVE, &server).await;
    let peer = Peer::connect(&server).await;
    let stats = peer.request("rosey.db.query.channel_stats", "{}").await.json();
    assert_eq!(stats["total_users_seen"], 3, "alice, bert and müßig: {stats}");
    for name in ["[server]", "server", "SERVER", "[Server]", "servers"] {
        let line = format!(r#"{{"username":"{name}","message":"said by {name}"}}"#);
        assert!(peer.request("rosey.db.message.log", line).await.refusal().is_none());
    }
    let stats = peer.request("rosey.db.query.channel_stats", "{}").await.json();
    assert_eq!(stats["total_users_seen"], 4, "and servers: {stats}");
    let top: Vec<_> =
        stats["top_chatters"].as_array().unwrap().iter().map(|c| c["username"].clone()).collect();
    assert_eq!(top, ["alice", "bert", "servers"], "{stats}");
    let known = peer.request("rosey.db.query.user_stats", r#"{"username":"[server]"}"#).await.json();
    assert_eq!(known["total_chat_lines"], 47, "{known}");
    let lines = peer.request("rosey.db.stats.recent_chat.get", "{}").await.json();
    let said: Vec<_> = lines.as_array().unwrap().iter().map(|line| line["message"].clone()).collect();
    assert_eq!(said, ["first", "second, in the same second", "third", "said by servers"], "{lines}");
    service.terminate_and_log().await;
    assert_eq!(folder.done("rosey verify --database-url sqlite://bot_data.db", None).0, Some(0));
}
