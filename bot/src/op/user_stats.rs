use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use super::person::{self, keyed};
use eitherway::operation::{Derived, Invariant, Definition, Dialect, Invalid, Spec};

/// What is known of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetUserStats {
    /// The name of the user.
    pub username: String,
}

/// What is known of a user. Times are unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserStats {
    /// The name of the user.
    pub username: String,
    /// The first join or line.
    pub first_seen: Option<i64>,
    /// The latest join, line, or leave that closed a session.
    pub last_seen: Option<i64>,
    /// How many lines.
    pub total_chat_lines: Option<i64>,
    /// Seconds in the channel, over the sessions that have ended.
    pub total_time_connected: Option<i64>,
    /// Since when the user has been here, if present.
    pub current_session_start: Option<i64>,
    /// Always true: a failure has no such answer.
    pub success: bool,
    /// Whether the user was ever seen.
    pub found: bool,
}

/// The check of the users, column by column.
const ON_POSTGRES: &str = "
    WITH gaps AS (
        SELECT username, at, joined, lead(at) OVER (PARTITION BY username ORDER BY at, id) AS next FROM presence),
    facts (username, first_seen, last_line, last_session, lines, ms, open) AS (
        SELECT username, first_seen, last_line, last_session, chat_lines, connected_ms, CAST(NULL AS bigint)
        FROM user_baseline
        UNION ALL
        SELECT username, min(at) / 1000, NULL, max(coalesce(next, at)) / 1000, 0, sum(coalesce(next - at, 0)),
               max(CASE WHEN next IS NULL THEN at END) / 1000
        FROM gaps WHERE joined = 1 GROUP BY username
        UNION ALL
        SELECT coalesce(person, username), min(at) / 1000, max(at) / 1000, NULL, count(*), 0, NULL
        FROM recent_chat GROUP BY 1
        UNION ALL
        SELECT username, min(at) / 1000, max(at) / 1000, NULL, count(*), 0, NULL FROM server_lines GROUP BY username),
    derived AS (
        SELECT username, min(first_seen) AS first_seen,
               greatest(max(last_line), max(last_session), 0) AS last_seen,
               sum(lines) AS total_chat_lines, div(sum(ms), 1000) AS total_time_connected, sum(ms) AS connected_ms,
               max(last_line) AS last_line, max(open) AS current_session_start
        FROM facts GROUP BY username HAVING min(first_seen) IS NOT NULL)
    SELECT d.username, f.name, CAST(f.actual AS text), CAST(f.expected AS text)
    FROM derived d LEFT JOIN user_stats_now u ON u.username = d.username CROSS JOIN LATERAL (VALUES
        ('first_seen', u.first_seen, d.first_seen), ('last_seen', u.last_seen, d.last_seen),
        ('total_chat_lines', u.total_chat_lines, d.total_chat_lines),
        ('total_time_connected', u.total_time_connected, d.total_time_connected),
        ('connected_ms', u.connected_ms, d.connected_ms), ('last_line', u.last_line, d.last_line),
        ('current_session_start', u.current_session_start, d.current_session_start)) f (name, actual, expected)
    UNION ALL
    SELECT d.username, 'username', u.username, d.username
    FROM derived d LEFT JOIN user_stats_now u ON u.username = d.username
    UNION ALL
    SELECT u.username, 'username', u.username, NULL
    FROM user_stats_now u LEFT JOIN derived d ON d.username = u.username WHERE d.username IS NULL";

impl Definition for GetUserStats {
    type Answer = UserStats;
    const SPEC: Spec = Spec::query("user_stats", "rosey.db.query.user_stats").example(r#"{"username":"alice"}"#);
    // The row of a name in `user_stats_now`: all that waits of it is looked up.
    const ANSWER: &'static str = concat!("
        SELECT json_object(
            'username', coalesce(nullif(substr(max(coalesce(u.named, ''), coalesce(s.named, ''), coalesce(max(printf('%015d', w.last) || coalesce(w.name, w.username)), '')), 16), ''), u.username, written),
            'first_seen', nullif(min(coalesce(u.first_seen, 1e18), coalesce(s.first / 1000, 1e18), coalesce(min(w.first) / 1000, 1e18)), 1e18),
            'last_seen', nullif(max(coalesce(u.last_seen, -1), coalesce(s.last / 1000, -1), coalesce(max(w.last) / 1000, -1)), -1),
            'total_chat_lines', coalesce(u.total_chat_lines + coalesce(s.lines, 0) + coalesce(sum(w.lines), 0), sum(w.lines)),
            'total_time_connected', coalesce(u.total_time_connected, iif(count(w.lines) > 0, 0, NULL)),
            'current_session_start', u.current_session_start,
            'success', json('true'), 'found', json(iif(u.username IS NULL AND count(w.lines) = 0, 'false', 'true')))
        FROM (SELECT op ->> 'username' AS written, ", keyed!("username"), " AS person FROM asked)
        LEFT JOIN user_stats u ON u.username = person
        LEFT JOIN speakers s ON s.username = person
        LEFT JOIN lines_waiting w ON w.shelf IN (0, 1, 2, 3, 4, 5, 6, 7) AND w.username = person");
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "user_stats",
        "WITH gaps AS (
             SELECT username, at, joined, lead(at) OVER (PARTITION BY username ORDER BY at, id) AS next
             FROM presence),
         facts (username, first_seen, last_line, last_session, lines, ms, open) AS (
             SELECT username, first_seen, last_line, last_session, chat_lines, connected_ms, NULL
             FROM user_baseline
             UNION ALL
             SELECT username, min(at) / 1000, NULL, max(coalesce(next, at)) / 1000, 0, sum(coalesce(next - at, 0)),
                    max(iif(next IS NULL, at, NULL)) / 1000
             FROM gaps WHERE joined GROUP BY username
             UNION ALL
             SELECT coalesce(person, username), min(at) / 1000, max(at) / 1000, NULL, count(*), 0, NULL
             FROM recent_chat WHERE op_id NOT GLOB ' *' GROUP BY 1
             UNION ALL
             SELECT username, min(at) / 1000, max(at) / 1000, NULL, count(*), 0, NULL
             FROM server_lines GROUP BY username),
         derived AS MATERIALIZED (
             SELECT username, min(first_seen) AS first_seen,
                    max(coalesce(max(last_line), 0), coalesce(max(last_session), 0)) AS last_seen,
                    sum(lines) AS lines, sum(ms) AS ms, max(last_line) AS last_line, max(open) AS open
             FROM facts GROUP BY username HAVING min(first_seen) IS NOT NULL),
         users AS MATERIALIZED (SELECT * FROM user_stats_now WHERE username IS NOT NULL),
         whole AS (
             SELECT u.username AS actual, d.username AS expected, coalesce(u.username, d.username) AS name, u.*, d.first_seen AS first, d.last_seen AS last, d.lines, d.ms, d.last_line AS line,
                    d.open
             FROM users u
             LEFT JOIN derived d ON d.username = u.username
             -- Not a full join: SQLite would compare each with each.
             UNION ALL
             SELECT NULL, d.username, d.username, u.*, d.first_seen, d.last_seen, d.lines, d.ms, d.last_line, d.open
             FROM derived d LEFT JOIN users u ON u.username = d.username WHERE u.username IS NULL)
         SELECT name, 'username', actual, expected FROM whole
         UNION ALL SELECT name, 'first_seen', first_seen, first FROM whole WHERE actual = expected
         UNION ALL SELECT name, 'last_seen', last_seen, last FROM whole WHERE actual = expected
         UNION ALL SELECT name, 'total_chat_lines', total_chat_lines, lines FROM whole WHERE actual = expected
         UNION ALL SELECT name, 'total_time_connected', total_time_connected, ms / 1000 FROM whole WHERE actual = expected
         UNION ALL SELECT name, 'connected_ms', connected_ms, ms FROM whole WHERE actual = expected
         UNION ALL SELECT name, 'last_line', last_line, line FROM whole WHERE actual = expected
         UNION ALL SELECT name, 'current_session_start', current_session_start, open FROM whole WHERE actual = expected",
    )];
    const POSTGRES: Dialect = Dialect::SAME
        .answer(
            concat!("SELECT json_build_object(
                 'username', coalesce(substr(u.named, 16), u.username, name), 'first_seen', first_seen, 'last_seen', last_seen,
                 'total_chat_lines', total_chat_lines, 'total_time_connected', total_time_connected,
                 'current_session_start', current_session_start,
                 'success', true, 'found', u.username IS NOT NULL)
             FROM (SELECT op ->> 'username' AS name FROM asked) a
             -- Not by the name beside it: so that it is known before the view is worked out.
             LEFT JOIN user_stats_now u ON u.username = (SELECT ", keyed!("username"), " FROM asked)"),
        )
        .checks(&[Invariant::new("user_stats", ON_POSTGRES)]);

    fn derive(&self, fields: &mut Derived) {
        person::derive(fields, "key", &self.username);
    }

    fn check(&self) -> Result<(), Invalid> {
        check::text("username", &self.username, check::NAME)
    }
}
