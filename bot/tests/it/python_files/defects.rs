//! Files with tables or rows that no bot could use.

use super::*;

#[tokio::test]
async fn of_a_file_that_is_in_order_no_table_is_set_aside() {
    let aside = "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB '*_before_rosey'";
    let file = PythonFile::made_by(&[H]).await;
    taken_over(&file).await;
    assert_eq!(file.rows(aside).await, [""; 0]);
    // the older generation's status lacks what the newest one has
    let file = PythonFile::made_by(&[S4]).await;
    taken_over(&file).await;
    assert_eq!(file.rows(aside).await, ["current_status_before_rosey"]);
}

#[tokio::test]
async fn tables_that_no_bot_could_use_are_set_aside_with_their_rows() {
    let file = PythonFile::made_by(&[ALEMBIC_000]).await;
    let (_service, db) = taken_over(&file).await;
    for (table, rows) in
        [("channel_stats", 1), ("user_count_history", 1), ("current_status", 2), ("outbound_messages", 1)]
    {
        assert_eq!(file.number(&format!("SELECT count(*) FROM {table}_before_rosey")).await, rows, "{table}");
    }
    assert_eq!(file.number("SELECT stat_value FROM channel_stats_before_rosey").await, 41);
    assert_eq!(db.outbound_channel_messages(50).await.unwrap(), [], "what waited in vain is not said now");
    // what worked, works, and what did not does now
    assert_eq!(db.user_stats("alice").await.unwrap().unwrap().total_chat_lines, Some(120));
    assert_eq!(db.recent_chat(50).await.unwrap().len(), 2);
    db.user_left("alice").await.unwrap();
    db.user_joined("a new one").await.unwrap();
    db.user_count(1, 2).await.unwrap();
    db.high_water(5, Some(6)).await.unwrap();
    db.status_update(serde_json::from_str(r#"{"status":"online"}"#).unwrap()).await.unwrap();
    assert_eq!(db.channel_stats().await.unwrap().high_water_connected.users, 6);
    assert_eq!(file.rows("SELECT status FROM current_status").await, ["online"]);
    adds_up(&file).await;
    assert_eq!(
        file.number("SELECT count(*) FROM user_stats_before_rosey").await,
        2,
        "they were numbered there"
    );
    assert_eq!(
        file.rows(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB '*_before_rosey' ORDER BY name"
        )
        .await,
        [
            "channel_stats_before_rosey",
            "current_status_before_rosey",
            "outbound_messages_before_rosey",
            "user_count_history_before_rosey",
            "user_stats_before_rosey"
        ]
    );
}

#[tokio::test]
async fn a_table_that_lacks_a_column_or_has_a_rule_of_its_own_keeps_what_can_be_read() {
    let file = PythonFile::made_by(&[S4, ALEMBIC_HALF]).await;
    let (_service, db) = taken_over(&file).await;
    let channel = db.channel_stats().await.unwrap();
    assert_eq!((channel.high_water_mark.users, channel.high_water_connected.users), (41, 0));
    assert_eq!(
        file.rows("SELECT json_array(id, last_updated - NOW, status, connected_users) FROM current_status")
            .await,
        [r#"[1,-10,"online",4]"#]
    );
    assert_eq!(
        file.rows("SELECT json_array(id, sent, sent_timestamp - NOW, last_error, error_message) FROM outbound_messages").await,
        [r#"[3,0,null,null,null]"#, r#"[4,1,-200,"no such channel","no such channel"]"#]
    );
    // twice the same text: the rule that forbade it is gone
    db.outbound_enqueue(None, "new").await.unwrap();
    assert_eq!(db.outbound_channel_messages(50).await.unwrap().len(), 2);
    assert_eq!(file.rows("SELECT message FROM waiting").await, ["new", "new"], "the operator's view");
    assert_eq!(file.rows("SELECT mood FROM current_status_before_rosey ORDER BY id").await, ["fine", "odd"]);
    adds_up(&file).await;
}

#[tokio::test]
async fn a_file_whose_single_rows_were_never_needed_gets_them() {
    let empty = "DELETE FROM channel_stats; DELETE FROM current_status";
    for script in [H, S4] {
        let file = PythonFile::made_by(&[script, empty]).await;
        let (_service, db) = taken_over(&file).await;
        assert_eq!(db.channel_stats().await.unwrap().high_water_mark.users, 0);
        assert_eq!(db.open_sessions().await.unwrap().len(), 2);
    }
    // and one that has never known how many are connected
    let file = PythonFile::made_by(&[H, "UPDATE channel_stats SET max_connected = NULL"]).await;
    let (_service, db) = taken_over(&file).await;
    assert_eq!(db.channel_stats().await.unwrap().high_water_connected.users, 0);
    db.high_water(1, Some(3)).await.unwrap();
    assert_eq!(db.channel_stats().await.unwrap().high_water_connected.users, 3);
}

#[tokio::test]
async fn rows_that_should_not_be_neither_stop_the_taking_over_nor_break_an_answer() {
    let file = PythonFile::made_by(&[S4, HOSTILE]).await;
    let (_service, db) = taken_over(&file).await;
    adds_up(&file).await;
    let now = file.now;

    for name in ["words", "future", "all future", "unseen", "negative", "empty", "fractions", "huge"] {
        let user = db.user_stats(name).await.unwrap().unwrap();
        assert!(user.total_chat_lines >= Some(0) && user.total_time_connected >= Some(0), "{user:?}");
        db.message_log(name, "hello").await.unwrap();
        let more = db.user_stats(name).await.unwrap().unwrap();
        assert_eq!(more.total_chat_lines, user.total_chat_lines.map(|lines| lines + 1));
        // an impossible beginning is no reason to credit decades
        db.user_left(name).await.unwrap();
        let left = db.user_stats(name).await.unwrap().unwrap();
        let credited = left.total_time_connected.unwrap() - user.total_time_connected.unwrap();
        assert!((0..=200).contains(&credited), "{name}: {credited}");
        assert_eq!(left.current_session_start, None, "{name}");
    }
    let fractions = db.user_stats("fractions").await.unwrap().unwrap();
    assert_eq!((fractions.first_seen, fractions.total_chat_lines), (Some(now - 101), Some(3)));

    let long = "x".repeat(300);
    let sessions = db.open_sessions().await.unwrap();
    assert!(sessions.iter().any(|s| s.username == long), "{sessions:?}");
    let channel = db.channel_stats().await.unwrap();
    assert_eq!(channel.total_users_seen, 4 + 10, "those without a name are no users");
    assert_eq!((channel.high_water_mark.users, channel.high_water_mark.timestamp), (0, None));
    db.high_water(2, Some(3)).await.unwrap();
    let channel = db.channel_stats().await.unwrap();
    assert_eq!((channel.high_water_mark.users, channel.high_water_connected.users), (2, 3));

    let counts = db.user_count_history(1).await.unwrap();
    let counts: Vec<_> =
        counts.iter().map(|c| (c.timestamp - now, c.chat_users, c.connected_users)).collect();
    assert_eq!(counts[counts.len() - 3..], [(-30, 0, 0), (-20, 5, 2), (-10, -3, 1)]);
    assert!(db.recent_chat(50).await.unwrap().iter().any(|line| line.message == "no time"));

    let claimed = db.outbound_channel_messages(50).await.unwrap();
    let claimed: Vec<_> = claimed.iter().map(|m| m.id).collect();
    assert_eq!(claimed, [30, 3, 9, 34, 31], "as old as can be known");
    db.outbound_mark_failed(32, "late", false).await.unwrap();
    assert_eq!(file.number("SELECT sent FROM outbound_messages WHERE id = 32").await, 1, "it was sent");

    assert!(
        db.open_sessions().await.unwrap().iter().all(|s| s.watched_until <= eitherway::clock::now() / 1000)
    );
    adds_up(&file).await;

    // what was put right is kept as it was
    let letters = file.rows("SELECT subject || ': ' || CAST(payload AS TEXT) FROM dead_letters").await;
    let kept = |text: &str| letters.iter().filter(|letter| letter.contains(text)).count();
    assert_eq!(kept("user_stats: NULL"), 2, "{letters:?}");
    assert_eq!(kept("user_stats: X'00FF'"), 1);
    assert_eq!(kept("'words', 'abc', 'def', 'ghi', 'jkl', 'mno'"), 1);
    assert_eq!(kept("channel_stats: 1, 'abc', 'def'"), 1);
    assert_eq!(kept("outbound_messages: "), 3, "{letters:?}");
    assert_eq!(kept("'empty'"), 0, "nothing was lost there");
}
