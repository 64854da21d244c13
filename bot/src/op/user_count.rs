use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use eitherway::operation::{Invariant, Definition, Dialect, Done, Keys, Spec};

/// How many are in the channel, for the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    const STATEMENTS: &'static [&'static str] = &[
        "INSERT INTO user_count_history (timestamp, chat_users, connected_users, op_id)
         SELECT at / 1000, op ->> 'chat_count', max(op ->> 'chat_count', op ->> 'connected_count'), id FROM new",
    ];
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "user counts",
        "SELECT l.id, 'timestamp', h.timestamp, l.at / 1000
         FROM applied l LEFT JOIN user_count_history h ON h.op_id = l.id
         WHERE l.at >= coalesce((SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'swept.history'), 0)",
    )];
    const POSTGRES: Dialect = Dialect::SAME
        .statements(&["
            INSERT INTO user_count_history (timestamp, chat_users, connected_users, op_id)
            SELECT at / 1000, CAST(op ->> 'chat_count' AS bigint),
                   greatest(CAST(op ->> 'chat_count' AS bigint), CAST(op ->> 'connected_count' AS bigint)), id
            FROM new"])
        .keys(Keys::Own);

}
