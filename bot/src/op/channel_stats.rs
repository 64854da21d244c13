use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::person::shown;
use eitherway::operation::{Invariant, Definition, Dialect, Spec};

/// What is known of the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetChannelStats {}

/// What is known of the channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelStats {
    /// The most users that were in the chat.
    pub high_water_mark: Peak,
    /// The most connections.
    pub high_water_connected: Peak,
    /// The ten who said most, most first. What the channel itself says, as `server` or `[server]`, is no user's.
    pub top_chatters: Vec<Chatter>,
    /// How many users were ever seen.
    pub total_users_seen: i64,
    /// Always true: a failure has no such answer.
    pub success: bool,
}

/// A maximum, and when it was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Peak {
    /// The number of users.
    pub users: i64,
    /// When that was first reached, in unix seconds.
    pub timestamp: Option<i64>,
}

/// How many lines a user wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Chatter {
    /// The name of the user.
    pub username: String,
    /// How many lines.
    pub chat_lines: i64,
}

/// The check of the record numbers.
macro_rules! peaks {
    () => {
            "SELECT 'channel', 'max_users', s.max_users, h.count
             FROM high_water h LEFT JOIN channel_stats s ON s.id = 1 WHERE h.kind = 'chat'
             UNION ALL SELECT 'channel', 'max_users_timestamp', s.max_users_timestamp, h.at
             FROM high_water h LEFT JOIN channel_stats s ON s.id = 1 WHERE h.kind = 'chat'
             UNION ALL SELECT 'channel', 'max_connected', s.max_connected, h.count
             FROM high_water h LEFT JOIN channel_stats s ON s.id = 1 WHERE h.kind = 'connected'
             UNION ALL SELECT 'channel', 'max_connected_timestamp', s.max_connected_timestamp, h.at
             FROM high_water h LEFT JOIN channel_stats s ON s.id = 1 WHERE h.kind = 'connected'
             UNION ALL SELECT 'channel', 'last_updated', s.last_updated, h.count
             FROM high_water h LEFT JOIN channel_stats s ON s.id = 1 WHERE h.kind = 'updated'"
    };
}

impl Definition for GetChannelStats {
    type Answer = ChannelStats;
    const SPEC: Spec = Spec::query("channel_stats", "rosey.db.query.channel_stats");
    // The ten who said most and the number of users are kept, up to the lines that are not gathered yet.
    const ANSWER: &'static str = concat!("
        WITH waiting AS MATERIALIZED (
            SELECT username, sum(lines) AS lines,
                   coalesce((SELECT total FROM speakers s WHERE s.username = w.username),
                            (SELECT total_chat_lines FROM user_stats u WHERE u.username = w.username)) AS gathered
            FROM lines_waiting w WHERE lower(username) NOT IN ('server', '[server]') GROUP BY username)
        SELECT json_object(
            'high_water_mark', json_object('users', max_users, 'timestamp', max_users_timestamp),
            'high_water_connected', json_object('users', max_connected, 'timestamp', max_connected_timestamp),
            'top_chatters', (
                SELECT json_group_array(
                    json_object('username', ", shown!("t.username"), ", 'chat_lines', lines) ORDER BY lines DESC, t.username)
                FROM (SELECT username, max(lines) AS lines FROM (
                          SELECT username, lines FROM top_chatters
                          UNION ALL SELECT username, coalesce(gathered, 0) + lines FROM waiting)
                      GROUP BY username ORDER BY lines DESC, username LIMIT 10) t),
            'total_users_seen', users_seen + (SELECT count(*) FROM waiting WHERE gathered IS NULL),
            'success', json('true'))
        FROM channel_stats WHERE id = 1");
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "channel_stats",
        concat!(peaks!(), "
         UNION ALL SELECT 'channel', 'users_seen', s.users_seen, (
             SELECT count(*) FROM user_stats WHERE lower(username) NOT IN ('server', '[server]'))
         FROM channel_stats s WHERE s.id = 1
         UNION ALL SELECT 'channel', 'tenth_chatter', s.tenth_chatter,
             coalesce((SELECT lines FROM top_chatters ORDER BY lines DESC LIMIT 1 OFFSET 9), 1)
         FROM channel_stats s WHERE s.id = 1"),
    ), Invariant::new(
        "top_chatters",
        "WITH ten AS MATERIALIZED (SELECT username, lines FROM ten_now)
         SELECT ten.username, 'lines', t.lines, ten.lines FROM ten LEFT JOIN top_chatters t ON t.username = ten.username
         UNION ALL SELECT t.username, 'lines', t.lines, NULL
         FROM top_chatters t WHERE t.username NOT IN (SELECT username FROM ten)
         UNION ALL SELECT s.username, 'total', s.total, u.total_chat_lines + s.lines
         FROM speakers s LEFT JOIN user_stats u ON u.username = s.username",
    )];
    const POSTGRES: Dialect = Dialect::SAME.answer(
        "SELECT json_build_object(
             'high_water_mark', json_build_object('users', max_users, 'timestamp', max_users_timestamp),
             'high_water_connected', json_build_object('users', max_connected, 'timestamp', max_connected_timestamp),
             'top_chatters', (
                 SELECT coalesce(json_agg(json_build_object('username', coalesce(substr(named, 16), username), 'chat_lines', total_chat_lines)
                            ORDER BY total_chat_lines DESC, username), '[]')
                 FROM (SELECT username, named, total_chat_lines FROM user_stats_now
                       WHERE total_chat_lines > 0 AND lower(username) NOT IN ('server', '[server]')
                       ORDER BY total_chat_lines DESC, username LIMIT 10) t),
             'total_users_seen', (SELECT count(*) FROM user_stats_now WHERE lower(username) NOT IN ('server', '[server]')),
             'success', true)
         FROM channel_stats WHERE id = 1",
    )
    .checks(&[Invariant::new("channel_stats", peaks!())]);

}
