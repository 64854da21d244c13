//! What the Python bot asks its file, in our words: each query answers texts, one a row. `NOW` is the time.

/// Both generations.
pub(crate) const BOTH: &[&str] = &[
    // one user, the ten who said most, how many there are, who is here
    "SELECT json_array(username, first_seen, last_seen, total_chat_lines, total_time_connected, current_session_start)
     FROM user_stats WHERE username = 'alice'",
    "SELECT json_array(username, total_chat_lines) FROM user_stats ORDER BY total_chat_lines DESC LIMIT 10",
    "SELECT json_array(count(*)) FROM user_stats",
    "SELECT json_array(username, current_session_start) FROM user_stats
     WHERE current_session_start IS NOT NULL ORDER BY username",
    // the newest lines, oldest first
    "SELECT json_array(timestamp, username, message) FROM (
         SELECT * FROM recent_chat ORDER BY timestamp DESC, id DESC LIMIT 50) ORDER BY timestamp, id",
    "SELECT json_array(id, timestamp, username, action_type, details) FROM user_actions ORDER BY timestamp DESC",
];

/// Both, but not on what `alembic upgrade 000_initial` made.
pub(crate) const WHERE_IT_WORKED: &[&str] = &[
    "SELECT json_array(max_users, max_users_timestamp) FROM channel_stats WHERE id = 1",
    "SELECT json_array(max_connected, max_connected_timestamp, last_updated) FROM channel_stats WHERE id = 1",
    "SELECT json_array(timestamp, chat_users, connected_users) FROM user_count_history
     WHERE timestamp >= NOW - 86400 ORDER BY timestamp",
    "SELECT json_array(last_updated, bot_name, bot_rank, bot_afk, channel_name, current_chat_users,
                       current_connected_users, playlist_items, current_media_title, current_media_duration,
                       bot_start_time, bot_connected)
     FROM current_status WHERE id = 1",
];

/// The newest.
pub(crate) const H: &[&str] = &[
    "SELECT json_array(status, current_users, connected_users) FROM current_status WHERE id = 1",
    "SELECT json_array(id, timestamp, message, retry_count, error_message) FROM outbound_messages
     WHERE sent = 0 AND retry_count < 3 AND (retry_count = 0 OR timestamp + (1 << retry_count) * 60 <= NOW)
     ORDER BY timestamp LIMIT 50",
    "SELECT json_array(id, sent_timestamp, error_message) FROM outbound_messages WHERE sent = 1 ORDER BY id",
    "SELECT json_array(token, description, is_active) FROM api_tokens WHERE is_active = 1",
];

/// The older one.
pub(crate) const S4: &[&str] = &[
    "SELECT json_array(id, timestamp, message, retry_count, last_error) FROM outbound_messages
     WHERE sent = 0 AND retry_count < 3 AND (retry_count = 0 OR timestamp + (1 << retry_count) * 60 <= NOW)
     ORDER BY timestamp LIMIT 50",
    "SELECT json_array(id, sent_timestamp, last_error) FROM outbound_messages WHERE sent = 1 ORDER BY id",
    "SELECT json_array(token, description, revoked) FROM api_tokens WHERE revoked = 0",
];
