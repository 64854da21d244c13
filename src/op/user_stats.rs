use serde::{Deserialize, Serialize};

use super::{Error, Op, check};
use crate::client::{Db, Stack};
use crate::operation::{Definition, Invalid, Spec};

/// What is known of a user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetUserStats {
    /// Who.
    pub username: String,
}

/// What is known of a user. Times are unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserStats {
    /// Who.
    pub username: String,
    /// The first join or line.
    pub first_seen: Option<i64>,
    /// The latest join, line, or leave that closed a session.
    pub last_seen: Option<i64>,
    /// How many lines.
    pub total_chat_lines: Option<i64>,
    /// Seconds in the channel, over the sessions that have ended.
    pub total_time_connected: Option<i64>,
    /// Since when the user has been here, if he is.
    pub current_session_start: Option<i64>,
    /// Always true: a failure has no such answer.
    pub success: bool,
    /// Whether the user was ever seen.
    pub found: bool,
}

impl Definition for GetUserStats {
    type Answer = UserStats;
    const SPEC: Spec = Spec::query("user_stats", "rosey.db.query.user_stats").example(r#"{"username":"alice"}"#);
    const SQLITE: &'static str = "
        SELECT json_object(
            'username', asked.username, 'first_seen', first_seen, 'last_seen', last_seen,
            'total_chat_lines', total_chat_lines, 'total_time_connected', total_time_connected,
            'current_session_start', current_session_start,
            'success', json('true'), 'found', json(iif(u.username IS NULL, 'false', 'true')))
        FROM (SELECT $1 ->> 'username' AS username) AS asked
        LEFT JOIN user_stats u ON u.username = asked.username";

    fn check(&self) -> Result<(), Invalid> {
        check::text("username", &self.username, check::NAME)
    }
}

impl<S: Stack<Op>> Db<S> {
    /// What is known of a user; nothing, if he was never seen.
    ///
    /// # Errors
    /// The error of the stack, with the request.
    pub async fn user_stats(&self, username: impl Into<String>) -> Result<Option<UserStats>, Error> {
        let stats = self.call(GetUserStats { username: username.into() }).await?.answer;
        Ok(stats.found.then_some(stats))
    }
}
