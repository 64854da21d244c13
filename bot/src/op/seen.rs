use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use super::person::{self, keyed};
use eitherway::operation::{Derived, Definition, Dialect, Invalid, Spec};

/// When a user was here last, and when the user spoke last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetSeen {
    /// The name of the user.
    pub username: String,
}

/// When a user was here last. Times are unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Seen {
    /// The name of the user.
    pub username: String,
    /// Whether the user was ever seen.
    pub found: bool,
    /// The first join or line.
    pub first_seen: Option<i64>,
    /// The latest join, line, or leave that closed a session.
    pub last_seen: Option<i64>,
    /// The latest line.
    pub last_line: Option<i64>,
    /// Since when the user has been here, if present.
    pub here_since: Option<i64>,
}

impl Definition for GetSeen {
    type Answer = Seen;
    const SPEC: Spec = Spec::query("seen", "rosey.db.query.seen").example(r#"{"username":"alice"}"#);
    // The row of a name in `user_stats_now`: all that waits of it is looked up, as for `user_stats`.
    const ANSWER: &'static str = concat!("
        SELECT json_object(
            'username', coalesce(nullif(substr(max(coalesce(u.named, ''), coalesce(s.named, ''), coalesce(max(printf('%015d', w.last) || coalesce(w.name, w.username)), '')), 16), ''), u.username, written),
            'found', json(iif(u.username IS NULL AND count(w.lines) = 0, 'false', 'true')),
            'first_seen', nullif(min(coalesce(u.first_seen, 1e18), coalesce(s.first / 1000, 1e18), coalesce(min(w.first) / 1000, 1e18)), 1e18),
            'last_seen', nullif(max(coalesce(u.last_seen, -1), coalesce(s.last / 1000, -1), coalesce(max(w.last) / 1000, -1)), -1),
            'last_line', nullif(max(coalesce(u.last_line, -1), coalesce(s.last / 1000, -1), coalesce(max(w.last) / 1000, -1)), -1),
            'here_since', u.current_session_start)
        FROM (SELECT op ->> 'username' AS written, ", keyed!("username"), " AS person FROM asked)
        LEFT JOIN user_stats u ON u.username = person
        LEFT JOIN speakers s ON s.username = person
        LEFT JOIN lines_waiting w ON w.shelf IN (0, 1, 2, 3, 4, 5, 6, 7) AND w.username = person");
    const POSTGRES: Dialect = Dialect::SAME.answer(
        concat!("SELECT json_build_object(
             'username', coalesce(substr(u.named, 16), u.username, name), 'found', u.username IS NOT NULL, 'first_seen', first_seen, 'last_seen', last_seen,
             'last_line', last_line, 'here_since', current_session_start)
         FROM (SELECT op ->> 'username' AS name FROM asked) a
         -- Not by the name beside it: so that it is known before the view is worked out.
         LEFT JOIN user_stats_now u ON u.username = (SELECT ", keyed!("username"), " FROM asked)"),
    );

    fn derive(&self, fields: &mut Derived) {
        person::derive(fields, "key", &self.username);
    }

    fn check(&self) -> Result<(), Invalid> {
        check::text("username", &self.username, check::NAME)
    }
}
