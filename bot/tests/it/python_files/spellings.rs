//! Users of the Python bot whose names differ in case alone.

use super::*;

/// Alice once more, who has also been in the channel since the same second; and another one of two.
const TWICE: &str = "
    INSERT INTO user_stats (username, first_seen, last_seen, total_chat_lines, total_time_connected, current_session_start) VALUES
        ('ALICE', NOW - 950000, NOW - 100, 5, 60, NOW - 600), ('MÜßIG 💤', NOW - 9000, NOW - 8000, 2, 40, NULL);
    INSERT INTO recent_chat (timestamp, username, message) VALUES (NOW - 450, 'ALICE', 'shouted');
    INSERT INTO user_actions (timestamp, username, action_type, details) VALUES (NOW - 50, 'ALICE', 'pm_command', 'cmd=stats');";

#[tokio::test]
async fn users_whose_names_differ_in_case_alone_are_one_with_everything_that_they_had() {
    for script in [H, S4] {
        let file = PythonFile::made_by(&[script, TWICE]).await;
        let now = file.now;
        for _ in 0..2 {
            let (service, db) = taken_over(&file).await;
            let alice = db.user_stats("Alice").await.unwrap().unwrap();
            assert_eq!(
                (alice.username.as_str(), alice.total_chat_lines),
                ("ALICE", Some(125)),
                "as written last"
            );
            assert_eq!((alice.first_seen, alice.last_seen), (Some(now - 950_000), Some(now - 100)));
            assert_eq!(
                (alice.total_time_connected, alice.current_session_start),
                (Some(7260), Some(now - 600))
            );
            let idle = db.user_stats("müßig 💤").await.unwrap().unwrap();
            assert_eq!(idle.current_session_start, Some(now - 1000));
            let channel = db.channel_stats().await.unwrap();
            assert_eq!(channel.total_users_seen, 4);
            let top: Vec<_> =
                channel.top_chatters.iter().map(|c| (c.username.as_str(), c.chat_lines)).collect();
            assert_eq!(top[..3], [("ALICE", 125), ("bob", 45), ("bert", 7)]);
            let said = SearchChat { username: Some("aLice".into()), limit: 9, ..SearchChat::default() };
            let said = db.chat(said).await.unwrap();
            assert_eq!(
                said.iter().map(|line| line.username.as_str()).collect::<Vec<_>>(),
                ["alice", "ALICE"]
            );
            // What the Python bot reads of its log is as it was.
            let lines = file.rows("SELECT username FROM recent_chat ORDER BY id").await;
            assert_eq!(lines, ["alice", "bob", "[server]", "ALICE"]);
            adds_up(&file).await;
            service.close().await;
        }
    }
}
