//! The canonical content of a database: without surrogate ids, leases, and the ledger's own times and batches.

use eitherway::sql::SqlService;
use rosey::op::Op;
use serde_json::Value;

/// One JSON array a row, the table's name first.
pub(crate) type Dump = Vec<Value>;

pub(super) const CONTENT: &str = "
    SELECT json_array('user_stats', username, first_seen, last_seen, total_chat_lines, total_time_connected,
                      current_session_start, connected_ms, last_line, named)
    FROM user_stats_now
    UNION ALL SELECT json_array('user_baseline', username, first_seen, last_line, last_session, chat_lines,
                                connected_ms, folded_at, folded_id)
    FROM user_baseline
    UNION ALL SELECT json_array('server_lines', op_id, at, username) FROM server_lines
    UNION ALL SELECT json_array('high_water', kind, count, at) FROM high_water
    UNION ALL SELECT json_array('presence', username, at, id, joined, name) FROM presence
    UNION ALL SELECT json_array('recent_chat', op_id, at, timestamp, username, message, person) FROM recent_chat
    UNION ALL SELECT json_array('user_count_history', op_id, timestamp, chat_users, connected_users)
    FROM user_count_history
    UNION ALL SELECT json_array('channel_stats', id, max_users, max_users_timestamp, max_connected,
                                max_connected_timestamp, last_updated)
    FROM channel_stats
    UNION ALL SELECT json_array('current_status', id, last_updated, status, details, bot_name, bot_rank, bot_afk,
                                channel_name, current_chat_users, current_connected_users, playlist_items,
                                current_media_title, current_media_duration, bot_start_time, bot_connected,
                                current_users, connected_users)
    FROM current_status
    UNION ALL SELECT json_array('status_fields', field, at, id, value) FROM status_fields
    UNION ALL SELECT json_array('user_actions', op_id, timestamp, username, action_type, details, person)
    FROM user_actions
    UNION ALL SELECT json_array('outbound_messages', op_id, at, timestamp, username, sender, private, message, sent,
                                sent_timestamp, delivered_at, failed_at, retry_count, last_attempt, error_at,
                                error_id, error_message, name, sender_name)
    FROM outbound_messages
    UNION ALL SELECT json_array('outbound_marks', m.op_id, o.op_id, m.at, m.kind, m.error)
    FROM outbound_marks m LEFT JOIN outbound_messages o ON o.id = m.message
    UNION ALL SELECT json_array('ledger', l.id, l.operation, l.hash, l.occurred_at, o.op_id)
    FROM ledger l LEFT JOIN outbound_messages o
         ON l.operation IN ('outbound_enqueue', 'tell') AND o.id = l.answer ->> 'id'
    WHERE l.operation NOT IN ('outbound_get', 'lead') -- a claim is a lease: who got which depends on who came first
    UNION ALL SELECT json_array('channel_quotes', op_id, at, username, message, added_by, name, added_by_name)
    FROM channel_quotes
    UNION ALL SELECT json_array('kv_entries', plugin, key, json(value), at, id, ends) FROM kv_entries
    UNION ALL SELECT json_array('forgotten', username, at, id) FROM forgotten
    UNION ALL SELECT json_array('dead_letters', id, reason) FROM dead_letters";

pub(crate) async fn of(service: &SqlService<Op>) -> Dump {
    let rows: Vec<String> = sqlx::query_scalar(CONTENT).fetch_all(service.readers().unwrap()).await.unwrap();
    rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}

/// The rows that only one of them has, for people; none, if they are the same.
pub(crate) fn difference(expected: &[Value], found: &[Value]) -> Option<String> {
    let sorted = |rows: &[Value]| {
        let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
        rows.sort_unstable();
        rows
    };
    let (mut expected, mut found) = (sorted(expected), sorted(found));
    // Each row takes its equal out of the other side, so that a row that is there twice shows.
    expected.retain(|row| match found.iter().position(|other| other == row) {
        Some(place) => {
            found.remove(place);
            false
        }
        None => true,
    });
    if expected.is_empty() && found.is_empty() {
        return None;
    }
    let lines =
        |sign: &str, rows: &[String]| rows.iter().map(|row| format!("  {sign} {row}\n")).collect::<String>();
    Some(format!(
        "the database is not what the history makes (- the model, + the database):\n{}{}",
        lines("-", &expected),
        lines("+", &found)
    ))
}
