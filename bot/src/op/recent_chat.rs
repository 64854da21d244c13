use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use eitherway::operation::{Invariant, Definition, Dialect, Invalid, Spec, RetentionRule};

/// The newest lines, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecentChat {
    /// How many at most; 50 by default.
    #[serde(default = "check::number::<50>", deserialize_with = "check::number_or::<50, _>")]
    pub limit: u32,
}

/// A line that was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Line {
    /// When, in unix seconds.
    pub timestamp: i64,
    /// Who said it.
    pub username: String,
    /// What was said.
    pub message: String,
}

/// Answers with the newest of these lines that fit, oldest first, and with how many do not. A line of the Python bot may hold what
/// ours cannot: nothing, or bytes that are no text.
macro_rules! newest_lines {
    ($lines:literal) => {
        concat!(
            "SELECT json_group_array(json_object('timestamp', timestamp, 'username', username, 'message', message)
                        ORDER BY at, op_id) FILTER (WHERE bytes <= answer_bytes),
                    count(*) FILTER (WHERE bytes > answer_bytes)
             FROM host CROSS JOIN (
                 SELECT timestamp, username, message, at, op_id,
                        sum(octet_length(json_quote(username)) + octet_length(json_quote(message)) + 64)
                        OVER (ORDER BY at DESC, op_id DESC ROWS UNBOUNDED PRECEDING) AS bytes
                 FROM (
                     SELECT c.timestamp, c.at, c.op_id,
                            iif(typeof(c.username) = 'text', c.username, quote(c.username)) AS username,
                            iif(typeof(c.message) = 'text', c.message, quote(c.message)) AS message
                     FROM ",
            $lines,
            "        ORDER BY c.at DESC, c.op_id DESC LIMIT (SELECT op ->> 'limit' FROM asked)))"
        )
    };
    (postgres $lines:literal) => {
        concat!(
            "SELECT coalesce(json_agg(json_build_object('timestamp', timestamp, 'username', username, 'message', message)
                        ORDER BY at, op_id) FILTER (WHERE bytes <= answer_bytes), '[]'),
                    count(*) FILTER (WHERE bytes > answer_bytes)
             FROM host CROSS JOIN (
                 SELECT timestamp, username, message, at, op_id,
                        sum(octet_length(CAST(to_json(username) AS text)) + octet_length(CAST(to_json(message) AS text)) + 64)
                        OVER (ORDER BY at DESC, op_id DESC ROWS UNBOUNDED PRECEDING) AS bytes
                 FROM (SELECT c.* FROM ",
            $lines,
            "          ORDER BY c.at DESC, c.op_id DESC
                       LIMIT (SELECT CAST(op ->> 'limit' AS bigint) FROM asked)) newest) l"
        )
    };
}
pub(super) use newest_lines;

/// Adds the lines that go, these `c`, to the baseline of their users.
macro_rules! into_baseline {
    ($person:literal of $lines:literal) => {
        concat!(
            "INSERT INTO user_baseline (username, first_seen, last_line, chat_lines)
             SELECT ", $person, ", min(c.at) / 1000, max(c.at) / 1000, count(*) FROM gone CROSS JOIN ",
            $lines,
            " GROUP BY 1
             ON CONFLICT (username) DO UPDATE SET
                 first_seen = min(coalesce(first_seen, excluded.first_seen), excluded.first_seen),
                 last_line = max(coalesce(last_line, excluded.last_line), excluded.last_line),
                 chat_lines = chat_lines + excluded.chat_lines"
        )
    };
    (postgres $person:literal of $lines:literal) => {
        concat!(
            "INSERT INTO user_baseline AS b (username, first_seen, last_line, chat_lines)
             SELECT ", $person, ", min(c.at) / 1000, max(c.at) / 1000, count(*) FROM gone JOIN ",
            $lines,
            " GROUP BY 1 ORDER BY 1
             ON CONFLICT (username) DO UPDATE SET
                 first_seen = least(b.first_seen, excluded.first_seen),
                 last_line = greatest(b.last_line, excluded.last_line),
                 chat_lines = b.chat_lines + excluded.chat_lines"
        )
    };
}

/// What goes from the lines of users, on PostgreSQL.
const REMOVE: &[&str] = &[
    into_baseline!(postgres "coalesce(c.person, c.username)" of "recent_chat c ON c.id = CAST(gone.key AS bigint) WHERE c.at < (SELECT horizon FROM sweep)"),
    "DELETE FROM recent_chat
     WHERE id IN (SELECT CAST(key AS bigint) FROM gone) AND at < (SELECT horizon FROM sweep)",
];

/// The same for those of the channel itself.
const REMOVE_SERVER: &[&str] = &[
    into_baseline!(postgres "c.username" of "server_lines c ON c.op_id = gone.key"),
    "DELETE FROM server_lines WHERE op_id IN (SELECT key FROM gone)",
];

const ON_POSTGRES: &[RetentionRule] = &[
    RetentionRule { remove: REMOVE, ..RecentChat::SWEEPS[0] },
    RetentionRule { remove: REMOVE_SERVER, ..RecentChat::SWEEPS[1] },
];

impl Definition for RecentChat {
    type Answer = Vec<Line>;
    const SPEC: Spec = Spec::query("recent_chat", "rosey.db.stats.recent_chat.get").list().example(r#"{"limit":20}"#);
    const ANSWER: &'static str = newest_lines!("recent_chat c");
    const SWEEPS: &'static [RetentionRule] = &[
        RetentionRule::hours(
            "chat",
            150,
            "SELECT id FROM recent_chat WHERE at < (SELECT horizon FROM sweep) ORDER BY at LIMIT (SELECT most FROM sweep)",
            // what was here before us is in the baseline
            &[into_baseline!("coalesce(c.person, c.username)" of "recent_chat c ON c.id = gone.key
                 WHERE c.at < (SELECT horizon FROM sweep) AND c.op_id NOT GLOB ' *'"),
            "DELETE FROM recent_chat WHERE id IN (SELECT key FROM gone) AND at < (SELECT horizon FROM sweep)"],
        ),
        RetentionRule::hours(
            "chat",
            150,
            "SELECT op_id FROM server_lines WHERE at < (SELECT horizon FROM sweep) LIMIT (SELECT most FROM sweep)",
            &[into_baseline!("c.username" of "server_lines c ON c.op_id = gone.key WHERE true"),
            "DELETE FROM server_lines WHERE op_id IN (SELECT key FROM gone)"],
        ),
    ];
    const CHECKS: &'static [Invariant] =
        &[Invariant::new("recent_chat", "SELECT id, 'timestamp', timestamp, at / 1000 FROM recent_chat")];
    const POSTGRES: Dialect =
        Dialect::SAME.answer(newest_lines!(postgres "recent_chat c")).sweeps(ON_POSTGRES);

    fn check(&self) -> Result<(), Invalid> {
        check::limit(self.limit)
    }
}
