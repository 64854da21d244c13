use serde::{Deserialize, Serialize};

use super::{Error, Op, check};
use crate::client::{Db, Stack};
use crate::operation::{Definition, Invalid, Spec};

/// The newest lines, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentChat {
    /// How many at most; 50 if nothing is said.
    #[serde(default = "check::number::<50>", deserialize_with = "check::number_or::<50, _>")]
    pub limit: u32,
}

/// A line that was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When, in unix seconds.
    pub timestamp: i64,
    /// Who said it.
    pub username: String,
    /// What was said.
    pub message: String,
}

impl Definition for RecentChat {
    type Answer = Vec<Line>;
    const SPEC: Spec = Spec::query("recent_chat", "rosey.db.stats.recent_chat.get").list().example(r#"{"limit":20}"#);
    // A line of the Python bot may hold what ours cannot: nothing, or bytes that are no text.
    const SQLITE: &'static str = "
        SELECT json_group_array(json_object(
            'timestamp', coalesce(CAST(timestamp AS INTEGER), 0),
            'username', iif(typeof(username) = 'text', username, quote(username)),
            'message', iif(typeof(message) = 'text', message, quote(message))) ORDER BY at, op_id)
        FROM (SELECT * FROM recent_chat ORDER BY at DESC, op_id DESC LIMIT $1 ->> 'limit')";

    fn check(&self) -> Result<(), Invalid> {
        check::limit(self.limit)
    }
}

impl<S: Stack<Op>> Db<S> {
    /// The newest `limit` lines, oldest first.
    ///
    /// # Errors
    /// The error of the stack, with the request.
    pub async fn recent_chat(&self, limit: u32) -> Result<Vec<Line>, Error> {
        Ok(self.call(RecentChat { limit }).await?.answer)
    }
}
