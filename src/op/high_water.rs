use serde::{Deserialize, Serialize};

use super::{Error, Op};
use crate::client::{Db, Stack};
use crate::operation::{Definition, Done, Invalid, Spec};

/// How many are in the channel, for the record: the maximum is kept, with the earliest time it was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HighWater {
    /// Users in the chat.
    #[serde(default)]
    pub chat_count: u32,
    /// Connections, if they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connected_count: Option<u32>,
}

impl Definition for HighWater {
    type Answer = Done;
    const SPEC: Spec = Spec::event("high_water", "rosey.db.stats.high_water").example(r#"{"chat_count":41,"connected_count":57}"#);
    const SQLITE: &'static str = "
        UPDATE channel_stats
        SET max_users_timestamp = CASE
                WHEN new.count > max_users THEN new.at
                WHEN new.count = max_users THEN min(coalesce(max_users_timestamp, new.at), new.at)
                ELSE max_users_timestamp END,
            max_users = max(max_users, new.count)
        FROM (
            SELECT r.value ->> '$[2].chat_count' AS count, l.occurred_at / 1000 AS at
            FROM json_each($2, '$.high_water') r CROSS JOIN ledger l ON l.id = r.value ->> 0 AND l.batch = $1
            ORDER BY count DESC, at LIMIT 1) AS new
        WHERE id = 1;

        UPDATE channel_stats
        SET max_connected_timestamp = CASE
                WHEN new.count > max_connected THEN new.at
                WHEN new.count = max_connected THEN min(coalesce(max_connected_timestamp, new.at), new.at)
                ELSE max_connected_timestamp END,
            max_connected = max(max_connected, new.count)
        FROM (
            SELECT r.value ->> '$[2].connected_count' AS count, l.occurred_at / 1000 AS at
            FROM json_each($2, '$.high_water') r CROSS JOIN ledger l ON l.id = r.value ->> 0 AND l.batch = $1
            WHERE r.value ->> '$[2].connected_count' > 0
            ORDER BY count DESC, at LIMIT 1) AS new
        WHERE id = 1;

        UPDATE channel_stats SET last_updated = max(last_updated, new.at)
        FROM (
            SELECT max(l.occurred_at) / 1000 AS at
            FROM json_each($2, '$.high_water') r CROSS JOIN ledger l ON l.id = r.value ->> 0 AND l.batch = $1) AS new
        WHERE id = 1 AND new.at IS NOT NULL;";

    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

impl<S: Stack<Op>> Db<S> {
    /// How many are in the chat, and how many are connected if that is known, for the record.
    ///
    /// # Errors
    /// The error of the stack, with the request.
    pub async fn high_water(&self, chat_count: u32, connected_count: Option<u32>) -> Result<(), Error> {
        self.call(HighWater { chat_count, connected_count }).await.map(drop)
    }
}
