//! Moving from the Python bot: the steps of `docs/migrating.md` as they stand there, and what they promise.

#[path = "migrating/folder.rs"]
mod folder;
#[path = "migrating/half_way.rs"]
mod half_way;
#[path = "migrating/refused.rs"]
mod refused;
#[path = "migrating/rows.rs"]
mod rows;
#[path = "migrating/steps.rs"]
mod steps;
#[path = "migrating/verify.rs"]
mod verify;

const H: &str = include_str!("../python_files/h.sql");
const S4: &str = include_str!("../python_files/s4.sql");
const HOSTILE: &str = include_str!("../python_files/hostile.sql");
const ALEMBIC_000: &str = include_str!("../python_files/alembic_000.sql");

/// What a bot leaves in a hundred days, on top of the fixtures: `NOW` is the time of the test.
const HUNDRED_DAYS: &str = "
    CREATE TEMP TABLE n AS WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 200) SELECT n FROM n;
    INSERT INTO user_stats (username, first_seen, last_seen, total_chat_lines, total_time_connected, current_session_start)
    SELECT 'user' || n, NOW - n * 43200, NOW - n * 1000, n, n * 60, iif(n % 20 = 0, NOW - n * 1000, NULL) FROM n;
    INSERT INTO user_count_history (timestamp, chat_users, connected_users) SELECT NOW - n * 43200, n, n + 1 FROM n;
    INSERT INTO user_actions (timestamp, username, action_type, details)
    SELECT NOW - n * 43200, 'user' || n, 'pm_command', 'cmd=stats' FROM n;
    INSERT INTO recent_chat (timestamp, username, message) SELECT NOW - n * 2000, 'user' || n, 'line ' || n FROM n;
    INSERT INTO outbound_messages (timestamp, sent_timestamp, message, sent, retry_count)
    SELECT NOW - n * 43200, NOW - n * 43200 + 5, 'sent ' || n, 1, 0 FROM n;
    DROP TABLE n;";

/// What the Python bot asks of its tables, in columns that both generations have; each answers one text a row.
const HISTORY: [&str; 6] = [
    "SELECT json_array(username, first_seen, last_seen, total_chat_lines, total_time_connected, current_session_start)
     FROM user_stats ORDER BY username",
    "SELECT json_array(timestamp, username, message) FROM recent_chat ORDER BY id",
    "SELECT json_array(timestamp, chat_users, connected_users) FROM user_count_history ORDER BY id",
    "SELECT json_array(timestamp, username, action_type, details) FROM user_actions ORDER BY id",
    "SELECT json_array(id, timestamp, sent_timestamp, message, sent, retry_count) FROM outbound_messages ORDER BY id",
    "SELECT json_array(token, description) FROM api_tokens ORDER BY token",
];
