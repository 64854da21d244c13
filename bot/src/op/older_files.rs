//! What files of the Python bot need before its tables are taken over: migrations 9, 10 and 11.
//!
//! 9: times that are in milliseconds, or written out (`2024-05-06 07:08:09`), are brought to unix seconds.
//! 10: a table that Rosey cannot work with is set aside under the name `…_before_rosey`, whole, and what can be read
//! of it is copied into a table as it should be. 11: values that are not what their column says are put right, and
//! what stood there is kept as a dead letter. The tables themselves come with migration 12, where there are none.

use eitherway::operation::Migration;

/// Whether a table of the Python bot is there. A file that is Rosey's already is left alone.
macro_rules! there {
    ($table:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '",
            $table,
            "') ",
            "AND NOT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'presence')"
        )
    };
}

/// Whether a table is there and does not do, because of one of these:
/// - a column is missing that our statements name;
/// - a column must be filled, has no default, and is not one that our statements fill;
/// - a column must be filled that our statements clear;
/// - its key is not `key`, or, if that is `id`, SQLite does not number the rows;
/// - something else must be unique.
macro_rules! unfit {
    ($table:literal, key $key:literal, needs $needs:literal, fills $fills:literal, clears $clears:literal) => {
        concat!(
            there!($table),
            " AND (EXISTS (SELECT value FROM json_each('",
            $needs,
            "') ",
            "EXCEPT SELECT name FROM pragma_table_info('",
            $table,
            "')) ",
            "OR EXISTS (SELECT 1 FROM pragma_table_info('",
            $table,
            "') WHERE \"notnull\" AND NOT pk ",
            "AND dflt_value IS NULL AND name NOT IN (SELECT value FROM json_each('",
            $fills,
            "'))) ",
            "OR EXISTS (SELECT 1 FROM pragma_table_info('",
            $table,
            "') WHERE \"notnull\" ",
            "AND name IN (SELECT value FROM json_each('",
            $clears,
            "'))) ",
            "OR (SELECT group_concat(name) FROM pragma_table_info('",
            $table,
            "') WHERE pk) IS NOT '",
            $key,
            "' ",
            "OR EXISTS (SELECT 1 FROM pragma_table_info('",
            $table,
            "') ",
            "WHERE pk AND name = 'id' AND upper(type) <> 'INTEGER') ",
            "OR EXISTS (SELECT 1 FROM pragma_index_list('",
            $table,
            "') WHERE \"unique\" AND origin <> 'pk'))"
        )
    };
}

/// A column of times in another form. What is no such time stays as it is, for migration 11.
macro_rules! times {
    ($($name:ident: $table:literal, $column:literal;)+) => {
        $(pub(super) const $name: Migration = Migration::new(
            9,
            "times in milliseconds, or written out",
            concat!(
                "UPDATE ", $table, " SET ", $column, " = CASE typeof(", $column, ") ",
                "WHEN 'text' THEN unixepoch(", $column, ") ELSE CAST(", $column, " / 1000 AS INTEGER) END ",
                "WHERE (typeof(", $column, ") IN ('integer', 'real') ",
                "AND ", $column, " BETWEEN 100000000000 AND 99999999999999) ",
                "OR (typeof(", $column, ") = 'text' AND ", $column, " GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' ",
                "AND unixepoch(", $column, ") IS NOT NULL);"
            ),
        )
        .only_if(concat!(
            "SELECT ", there!($table), " AND EXISTS (SELECT 1 FROM pragma_table_info('", $table, "') WHERE name = '",
            $column, "')"
        ));)+
    };
}

times! {
    FIRST_SEEN: "user_stats", "first_seen";
    LAST_SEEN: "user_stats", "last_seen";
    SESSION_START: "user_stats", "current_session_start";
    SAID: "recent_chat", "timestamp";
    COUNTED: "user_count_history", "timestamp";
    ACTED: "user_actions", "timestamp";
    QUEUED: "outbound_messages", "timestamp";
    SENT: "outbound_messages", "sent_timestamp";
    MOST_USERS: "channel_stats", "max_users_timestamp";
    MOST_CONNECTED: "channel_stats", "max_connected_timestamp";
    CHANNEL_UPDATED: "channel_stats", "last_updated";
    STATUS_UPDATED: "current_status", "last_updated";
}

macro_rules! aside {
    ($table:literal, $unfit:expr) => {
        Migration::new(
            10,
            "what the Python bot's tables lack",
            include_str!(concat!("../../migrations/sqlite/0010_", $table, ".sql")),
        )
        .only_if(concat!("SELECT ", $unfit))
    };
}

macro_rules! mend {
    ($file:literal, $if:expr) => {
        Migration::new(
            11,
            "what the Python bot's rows lack",
            include_str!(concat!("../../migrations/sqlite/0011_", $file, ".sql")),
        )
        .only_if(concat!("SELECT ", $if))
    };
}

pub(super) const USER_STATS: Migration = aside!(
    "user_stats",
    unfit!("user_stats", key "username",
        needs r#"["username", "first_seen", "last_seen", "total_chat_lines", "total_time_connected", "current_session_start"]"#,
        fills r#"["username", "first_seen", "last_seen"]"#,
        clears r#"["current_session_start"]"#)
)
.tells(GENERATION);

/// Whose file it is: by what each generation calls the queue's columns.
const GENERATION: &str = "
    SELECT CASE
        WHEN EXISTS (SELECT 1 FROM pragma_table_info('outbound_messages') WHERE name = 'sent_at')
            THEN 'a file of the Python bot, as `alembic upgrade` makes it'
        WHEN EXISTS (SELECT 1 FROM pragma_table_info('outbound_messages') WHERE name = 'last_error')
            THEN 'a file of the Python bot, of its older generation' || half
        WHEN EXISTS (SELECT 1 FROM pragma_table_info('outbound_messages') WHERE name = 'error_message')
            THEN 'a file of the Python bot, of its newest generation' || half
        WHEN EXISTS (SELECT 1 FROM pragma_table_info('user_stats') WHERE name = 'total_chat_lines')
            THEN 'a file of the Python bot, of a generation that is not known here'
    END
    FROM (SELECT iif(EXISTS (SELECT 1 FROM pragma_table_info('alembic_version')), ', with changes by alembic', '') AS half)";

pub(super) const USER_ACTIONS: Migration = aside!(
    "user_actions",
    unfit!("user_actions", key "id",
        needs r#"["id", "timestamp", "username", "action_type", "details"]"#,
        fills r#"["timestamp", "username", "action_type", "details"]"#,
        clears "[]")
);

pub(super) const CHANNEL_STATS: Migration = aside!(
    "channel_stats",
    unfit!("channel_stats", key "id",
        needs r#"["id", "max_users", "max_users_timestamp", "max_connected", "max_connected_timestamp", "last_updated"]"#,
        fills r#"["max_users", "max_connected", "last_updated"]"#,
        clears r#"["max_users_timestamp", "max_connected_timestamp"]"#)
);

pub(super) const USER_COUNT_HISTORY: Migration = aside!(
    "user_count_history",
    unfit!("user_count_history", key "id",
        needs r#"["id", "timestamp", "chat_users", "connected_users"]"#,
        fills r#"["timestamp", "chat_users", "connected_users"]"#,
        clears "[]")
);

pub(super) const RECENT_CHAT: Migration = aside!(
    "recent_chat",
    unfit!("recent_chat", key "id",
        needs r#"["id", "timestamp", "username", "message"]"#,
        fills r#"["timestamp", "username", "message"]"#,
        clears "[]")
);

pub(super) const CURRENT_STATUS: Migration = aside!(
    "current_status",
    unfit!("current_status", key "id",
        needs r#"["id", "last_updated", "status", "bot_name", "bot_rank", "bot_afk", "channel_name", "current_chat_users", "current_connected_users", "playlist_items", "current_media_title", "current_media_duration", "bot_start_time", "bot_connected"]"#,
        fills r#"["last_updated", "status"]"#,
        clears r#"["bot_name", "bot_rank", "bot_afk", "channel_name", "current_chat_users", "current_connected_users", "playlist_items", "current_media_title", "current_media_duration", "bot_start_time", "bot_connected"]"#)
);

pub(super) const OUTBOUND_MESSAGES: Migration = aside!(
    "outbound_messages",
    unfit!("outbound_messages", key "id",
        needs r#"["id", "timestamp", "sent_timestamp", "message", "sent", "retry_count"]"#,
        fills r#"["timestamp", "message"]"#,
        clears r#"["sent_timestamp", "error_message", "last_error"]"#)
);

/// Its older generation calls the column `last_error`.
pub(super) const ERROR_MESSAGE: Migration = mend!(
    "error_message",
    concat!(
        there!("outbound_messages"),
        " AND NOT EXISTS (SELECT 1 FROM pragma_table_info('outbound_messages') WHERE name = 'error_message')"
    )
);

/// The same generation reads it there.
pub(super) const LAST_ERROR: Migration = mend!(
    "last_error",
    concat!(
        there!("outbound_messages"),
        " AND EXISTS (SELECT 1 FROM pragma_table_info('outbound_messages_before_rosey') WHERE name = 'last_error')",
        " AND NOT EXISTS (SELECT 1 FROM pragma_table_info('outbound_messages') WHERE name = 'last_error')"
    )
);

pub(super) const LAST_ERROR_IN_STEP: Migration = mend!(
    "last_error_in_step",
    concat!(
        there!("outbound_messages"),
        " AND (EXISTS (SELECT 1 FROM pragma_table_info('outbound_messages_before_rosey') WHERE name = 'last_error')",
        " OR EXISTS (SELECT 1 FROM pragma_table_info('outbound_messages') WHERE name = 'last_error'))"
    )
);

pub(super) const USERS: Migration = mend!("user_stats", there!("user_stats"));
pub(super) const CHAT: Migration = mend!("recent_chat", there!("recent_chat"));
pub(super) const CHANNEL: Migration = mend!("channel_stats", there!("channel_stats"));
pub(super) const STATUS: Migration = mend!("current_status", there!("current_status"));
pub(super) const OUTBOUND: Migration = mend!("outbound_messages", there!("outbound_messages"));
