//! Every derived column that another program changes.

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::*;

/// The check, the row's key, how to find it, and its columns, each with another value.
type Row = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const ROWS: [Row; 9] = [
    (
        "user_stats",
        "alice",
        "username = 'alice'",
        &[
            ("first_seen", "1"),
            ("last_seen", "1"),
            ("total_chat_lines", "100"),
            ("total_time_connected", "100"),
            ("connected_ms", "29999"),
            ("last_line", "NULL"),
            ("current_session_start", "NULL"),
        ],
    ),
    ("user_stats", "bob", "username = 'bob'", &[("current_session_start", "1"), ("last_seen", "1700000081")]),
    (
        "channel_stats",
        "channel",
        "id = 1",
        &[
            ("max_users", "4"),
            ("max_users_timestamp", "NULL"),
            ("max_connected", "0"),
            ("max_connected_timestamp", "1"),
            ("last_updated", "0"),
            ("users_seen", "9"),
            ("tenth_chatter", "9"),
        ],
    ),
    ("top_chatters", "poet", "username = 'poet'", &[("lines", "9")]),
    (
        "current_status",
        "status",
        "id = 1",
        &[
            ("last_updated", "0"),
            ("status", "'offline'"),
            ("details", "'7'"),
            ("bot_name", "'1000.0'"),
            ("bot_rank", "2"),
            ("bot_afk", "0"),
            ("channel_name", "NULL"),
            ("current_chat_users", "0"),
            ("current_connected_users", "0"),
            ("playlist_items", "0"),
            ("current_media_title", "'12'"),
            ("current_media_duration", "193"),
            ("bot_start_time", "NULL"),
            ("bot_connected", "0"),
        ],
    ),
    ("recent_chat", "2", "id = 2", &[("timestamp", "1")]),
    // sent
    (
        "outbound_messages",
        "1",
        "id = 1",
        &[
            ("timestamp", "1"),
            ("sent", "0"),
            ("sent_timestamp", "NULL"),
            ("delivered_at", "NULL"),
            ("failed_at", "5"),
            ("error_message", "'x'"),
            ("last_attempt", "0"),
            ("retry_count", "1"),
        ],
    ),
    // failed twice, and waits
    (
        "outbound_messages",
        "2",
        "id = 2",
        &[
            ("sent", "1"),
            ("retry_count", "0"),
            ("error_message", "'busier'"),
            ("last_attempt", "NULL"),
            ("error_at", "5"),
            ("error_id", "'x'"),
        ],
    ),
    // given up
    (
        "outbound_messages",
        "3",
        "id = 3",
        &[("failed_at", "NULL"), ("error_message", "NULL"), ("sent_timestamp", "1")],
    ),
];

/// Columns that say what happened, or for whom they are kept: nothing to derive them from.
const GIVEN: [(&str, &[&str]); 4] = [
    // How the name was written last, also of lines that are gone.
    ("user_stats", &["username", "named"]),
    ("channel_stats", &["id"]),
    ("current_status", &["id", "current_users", "connected_users"]),
    (
        "outbound_messages",
        &[
            "id",
            "message",
            "op_id",
            "username",
            "name",
            "sender",
            "sender_name",
            "private",
            "at",
            "lease_id",
            "lease_at",
            "lease_until",
            "origin_retries",
        ],
    ),
];

#[tokio::test]
async fn every_derived_column_that_is_changed_by_hand_is_named() {
    let file = full().await;
    let mut other = file.connect().await;
    for (table, key, row, columns) in ROWS {
        for (column, value) in columns {
            let stood = value_of(&mut other, table, column, row).await;
            set(&mut other, table, column, row, value).await;
            let stands = value_of(&mut other, table, column, row).await;
            assert_ne!(stands, stood, "{table}.{column}: the case changes nothing");
            let expected = Finding {
                check: table,
                row: key.to_owned(),
                column: (*column).to_owned(),
                actual: stands,
                expected: stood.clone(),
            };
            let verdict = file.verdict().await;
            assert_eq!(verdict.findings, [expected], "{table}.{column}");
            assert_eq!(verdict.wrong.into_iter().collect::<Vec<_>>(), [(table, 1)]);
            let quoted = stood.map_or_else(|| "NULL".to_owned(), |text| format!("'{text}'"));
            set(&mut other, table, column, row, &quoted).await;
        }
    }
    file.assert_clean().await;
}

/// A column that is new stands in one of the two lists above.
#[tokio::test]
async fn no_column_is_forgotten() {
    let file = full().await;
    let mut other = file.connect().await;
    for (table, given) in GIVEN {
        let all: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info($1)")
            .bind(table)
            .fetch_all(&mut other)
            .await
            .unwrap();
        let changed: BTreeSet<_> = ROWS
            .iter()
            .filter(|row| row.0 == table)
            .flat_map(|row| row.3)
            .map(|(column, _)| *column)
            .collect();
        let known: BTreeSet<_> = given.iter().copied().chain(changed).collect();
        assert_eq!(known, all.iter().map(String::as_str).collect(), "{table}");
    }
    other.close().await.unwrap();
}

async fn set(other: &mut SqliteConnection, table: &str, column: &str, row: &str, value: &str) {
    let sql = format!("UPDATE {table} SET {column} = {value} WHERE {row}");
    let done = sqlx::query(AssertSqlSafe(sql)).execute(other).await.unwrap();
    assert_eq!(done.rows_affected(), 1, "{table}.{column}");
}

async fn value_of(other: &mut SqliteConnection, table: &str, column: &str, row: &str) -> Option<String> {
    let sql = format!("SELECT CAST({column} AS TEXT) FROM {table} WHERE {row}");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(other).await.unwrap()
}
