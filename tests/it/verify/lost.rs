//! Rows that are gone, and rows that no operation made.

use sqlx::AssertSqlSafe;

use super::*;

/// Copies of one file that has seen everything.
async fn copy(of: &DbFile) -> DbFile {
    let file = DbFile::new();
    std::fs::copy(of.path(), file.path()).unwrap();
    file
}

async fn changed(full: &DbFile, sql: &str) -> Vec<Finding> {
    let file = copy(full).await;
    let mut other = file.connect().await;
    let done = sqlx::query(AssertSqlSafe(sql)).execute(&mut other).await.unwrap();
    assert_eq!(done.rows_affected(), 1, "{sql}");
    file.verdict().await.findings
}

#[tokio::test]
async fn an_effect_that_is_lost_while_its_operation_is_in_the_ledger_is_found() {
    let full = full().await;
    // the table, which row, the check that must miss it, and the operation
    for (table, row, check, id) in [
        ("presence", "username = 'alice' AND joined = 1 AND at = 1700000020000", "joins", "id"),
        // it closed nothing: the totals are right without it
        ("presence", "username = 'ghost'", "leaves", "id"),
        ("recent_chat", "username = 'poet'", "lines", "op_id"),
        ("server_lines", "username = 'server'", "lines", "op_id"),
        ("user_count_history", "chat_users = 3", "user counts", "op_id"),
        ("user_actions", "username = 'mod'", "commands", "op_id"),
        ("outbound_messages", "id = 6", "enqueued messages", "op_id"),
        ("outbound_messages", "id = 7", "tells", "op_id"),
        ("outbound_marks", "message = 8", "taken back", "op_id"),
        ("channel_quotes", "username = 'poet'", "quotes", "op_id"),
        ("outbound_marks", "message = 1", "sent marks", "op_id"),
        ("outbound_marks", "message = 2 AND error = 'busier'", "failure marks", "op_id"),
    ] {
        let mut other = full.connect().await;
        let id: String = sqlx::query_scalar(AssertSqlSafe(format!("SELECT {id} FROM {table} WHERE {row}")))
            .fetch_one(&mut other)
            .await
            .unwrap();
        let findings = changed(&full, &format!("DELETE FROM {table} WHERE {row}")).await;
        let missed = of(&findings, check);
        assert_eq!(missed.len(), 1, "{table}: {findings:#?}");
        assert_eq!((missed[0].row.as_str(), missed[0].actual.as_deref()), (id.as_str(), None), "{table}");
        assert!(missed[0].expected.is_some(), "{table}");
    }
}

#[tokio::test]
async fn a_row_of_totals_that_is_lost_is_found() {
    let full = full().await;
    for (sql, check, row) in [
        ("DELETE FROM user_stats WHERE username = 'poet'", "user_stats", "poet"),
        ("DELETE FROM channel_stats", "channel_stats", "channel"),
        ("DELETE FROM current_status", "current_status", "status"),
    ] {
        let findings = changed(&full, sql).await;
        let missed = of(&findings, check);
        assert!(!missed.is_empty() && missed.len() == findings.len(), "{sql}: {findings:#?}");
        assert!(missed.iter().all(|finding| finding.row == row && finding.actual.is_none()), "{findings:#?}");
    }
}

#[tokio::test]
async fn a_row_that_another_program_inserted_is_named() {
    let full = full().await;
    for (table, columns) in [
        ("recent_chat", "(id, timestamp, username, message) VALUES (99, 1700000001, 'alice', 'by hand')"),
        (
            "user_actions",
            "(id, timestamp, username, action_type) VALUES (99, 1700000001, 'mod', 'pm_command')",
        ),
        ("user_count_history", "(id, timestamp, chat_users, connected_users) VALUES (99, 1700000001, 1, 1)"),
        ("outbound_messages", "(id, timestamp, message) VALUES (99, 1700000001, 'by hand')"),
        ("user_stats", "(username, first_seen, last_seen) VALUES ('99', 1700000001, 1700000001)"),
        (
            "kv",
            "kv_entries (plugin, key, value, at, id) VALUES ('quiz', '99', '7', 1700000001000, 'by hand')",
        ),
    ] {
        let into = if columns.starts_with('(') { format!("{table} {columns}") } else { columns.to_owned() };
        let findings = changed(&full, &format!("INSERT INTO {into}")).await;
        assert!(!findings.is_empty(), "{table}");
        assert!(
            findings.iter().all(|f| (f.check, f.row.as_str()) == (table, "99")),
            "{table}: {findings:#?}"
        );
    }
}

#[tokio::test]
async fn what_is_left_of_somebody_who_was_forgotten_is_found() {
    let full = full().await;
    for row in [
        "recent_chat (timestamp, username, message, at, op_id) VALUES (1700000001, 'eve', 'x', 1700000001000, 'x')",
        "presence (username, at, id, joined) VALUES ('eve', 1700000001000, 'x', 0)",
        "outbound_messages (timestamp, message, username, at, op_id) VALUES (1700000001, 'x', 'eve', 1700000001000, 'x')",
        "outbound_messages (timestamp, message, username, sender, at, op_id)
         VALUES (1700000001, 'x', 'bob', 'eve', 1700000001000, 'x')",
        "channel_quotes (op_id, at, username, message) VALUES ('x', 1700000001000, 'eve', 'x')",
        "channel_quotes (op_id, at, username, message, added_by) VALUES ('x', 1700000001000, 'bob', 'x', 'eve')",
        "user_actions (timestamp, username, action_type, op_id) VALUES (1700000001, 'eve', 'pm_command', 'x')",
    ] {
        let findings = changed(&full, &format!("INSERT INTO {row}")).await;
        let left = of(&findings, "forgotten");
        assert_eq!(left.len(), 1, "{row}: {findings:#?}");
        assert_eq!((left[0].row.as_str(), left[0].actual.as_deref()), ("eve", Some("x")), "{row}");
    }
}

#[tokio::test]
async fn of_many_wrong_values_a_hundred_are_told_and_all_are_counted() {
    let file = copy(&full().await).await;
    file.execute(
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 250)
         INSERT INTO user_actions (timestamp, username, action_type) SELECT n, 'mod', 'by hand' FROM n",
    )
    .await;
    let verdict = file.verdict().await;
    assert_eq!((verdict.wrong["user_actions"], verdict.findings.len()), (250, 100));
}

#[tokio::test]
async fn a_page_that_is_damaged_is_found_whatever_views_the_file_has() {
    let file = copy(&full().await).await;
    file.execute("PRAGMA writable_schema = ON; DELETE FROM sqlite_master WHERE name = 'outbound_over'").await;
    let find = async || {
        let verdict = eitherway::sql::verify::<Op>(&file.options(), |_| {}).await.unwrap();
        assert!(!of(&verdict.findings, "file").is_empty(), "{verdict:#?}");
    };
    find().await;
    // A view by whose name SQLite itself does not see it any more.
    let views = (0..1000).map(|n| format!("view{n}"));
    for view in views {
        let mut connection = file.connect().await;
        let create = format!("CREATE VIEW {view} AS SELECT 1");
        sqlx::query(sqlx::AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
        if file.texts("PRAGMA integrity_check").await == ["ok"] {
            return find().await;
        }
        let drop = format!("DROP VIEW {view}");
        sqlx::query(sqlx::AssertSqlSafe(drop)).execute(&mut connection).await.unwrap();
    }
    panic!("SQLite sees it always");
}
