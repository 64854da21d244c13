use serde::{Deserialize, Serialize};

use super::{Error, Op};
use crate::client::{Db, Stack};
use crate::operation::{Definition, Invalid, Spec};

/// Who is here, as far as the database knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSessions {}

/// A session that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Who.
    pub username: String,
    /// Since when, in unix seconds.
    pub since: i64,
    /// Until when a bot is known to have watched, in unix seconds: its last status, or `since` if that is later.
    /// Whoever has gone unseen was here until then.
    #[serde(default)]
    pub watched_until: i64,
}

impl Definition for OpenSessions {
    type Answer = Vec<Session>;
    const SPEC: Spec = Spec::query("open_sessions", "rosey.db.query.open_sessions").list();
    const SQLITE: &'static str = "
        SELECT json_group_array(json_object(
            'username', username, 'since', current_session_start,
            'watched_until', max(current_session_start, last_updated)) ORDER BY username)
        FROM user_stats CROSS JOIN (SELECT last_updated FROM current_status WHERE id = 1)
        WHERE current_session_start IS NOT NULL";

    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

impl<S: Stack<Op>> Db<S> {
    /// Who is here, as far as the database knows.
    ///
    /// # Errors
    /// The error of the stack, with the request.
    pub async fn open_sessions(&self) -> Result<Vec<Session>, Error> {
        Ok(self.call(OpenSessions {}).await?.answer)
    }
}
