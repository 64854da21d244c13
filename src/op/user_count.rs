use serde::{Deserialize, Serialize};

use super::{Error, Op};
use crate::client::{Db, Stack};
use crate::operation::{Check, Definition, Done, Invalid, Spec};

/// How many are in the channel, for the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCount {
    /// Users in the chat.
    #[serde(default)]
    pub chat_count: u32,
    /// Connections, anonymous ones too; fewer than `chat_count` is stored as `chat_count`.
    #[serde(default)]
    pub connected_count: u32,
}

impl Definition for UserCount {
    type Answer = Done;
    const SPEC: Spec = Spec::event("user_count", "rosey.db.stats.user_count").example(r#"{"chat_count":41,"connected_count":57}"#);
    const SQLITE: &'static str = "
        INSERT INTO user_count_history (timestamp, chat_users, connected_users, op_id)
        SELECT l.occurred_at / 1000, r.value ->> '$[2].chat_count',
               max(r.value ->> '$[2].chat_count', r.value ->> '$[2].connected_count'), l.id
        FROM jsonb_each($2, '$.user_count') r CROSS JOIN ledger l ON l.id = r.value ->> 0 AND l.batch = $1;";
    const CHECKS: &'static [Check] = &[Check::new(
        "user counts",
        "SELECT l.id, 'timestamp', h.timestamp, l.occurred_at / 1000
         FROM ledger l LEFT JOIN user_count_history h ON h.op_id = l.id
         WHERE l.operation = 'user_count'
           AND l.occurred_at >= coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'swept.history'), 0)",
    )];

    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

impl<S: Stack<Op>> Db<S> {
    /// How many are in the chat, and how many are connected.
    ///
    /// # Errors
    /// The error of the stack, with the request.
    pub async fn user_count(&self, chat_count: u32, connected_count: u32) -> Result<(), Error> {
        self.call(UserCount { chat_count, connected_count }).await.map(drop)
    }
}
