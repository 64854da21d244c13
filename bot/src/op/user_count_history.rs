use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use eitherway::operation::{Invariant, Definition, Dialect, Invalid, Spec, RetentionRule};

/// How many were in the channel, over the last hours of the database host's clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserCountHistory {
    /// How many hours back; 24 by default.
    #[serde(default = "check::number::<24>", deserialize_with = "check::number_or::<24, _>")]
    pub hours: u32,
}

/// How many were in the channel at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Count {
    /// When, in unix seconds.
    pub timestamp: i64,
    /// Users in the chat.
    pub chat_users: i64,
    /// The number of connections.
    pub connected_users: i64,
}

const ON_POSTGRES: &[RetentionRule] = &[RetentionRule {
    remove: &["DELETE FROM user_count_history
               WHERE id IN (SELECT CAST(key AS bigint) FROM gone) AND timestamp < (SELECT horizon / 1000 FROM sweep)"],
    ..UserCountHistory::SWEEPS[0]
}];

impl Definition for UserCountHistory {
    type Answer = Vec<Count>;
    const SPEC: Spec = Spec::query("user_count_history", "rosey.db.query.user_count_history").list().example(r#"{"hours":24}"#);
    // The Python bot stored texts as counts, too: they count as the number they begin with, or 0.
    const ANSWER: &'static str = "
        SELECT json_group_array(json_object(
            'timestamp', timestamp, 'chat_users', CAST(chat_users AS INTEGER),
            'connected_users', CAST(connected_users AS INTEGER)) ORDER BY timestamp, op_id)
        FROM user_count_history
        WHERE timestamp >= (SELECT now / 1000 - (op ->> 'hours') * 3600 FROM host, asked)
          AND typeof(timestamp) = 'integer'";
    const SWEEPS: &'static [RetentionRule] = &[RetentionRule::hours(
        "history",
        30 * 24,
        "SELECT id FROM user_count_history WHERE timestamp < (SELECT horizon / 1000 FROM sweep)
         ORDER BY timestamp LIMIT (SELECT most FROM sweep)",
        &["DELETE FROM user_count_history
           WHERE id IN (SELECT key FROM gone) AND timestamp < (SELECT horizon / 1000 FROM sweep)"],
    )];
    const CHECKS: &'static [Invariant] =
        &[Invariant::new("user_count_history", "SELECT id, 'op_id', CASE WHEN op_id IS NULL THEN 0 ELSE 1 END, 1 FROM user_count_history")];
    const POSTGRES: Dialect = Dialect::SAME
        .answer(
            "SELECT coalesce(json_agg(json_build_object(
                 'timestamp', timestamp, 'chat_users', chat_users, 'connected_users', connected_users)
                 ORDER BY timestamp, op_id), '[]')
             FROM user_count_history
             WHERE timestamp >= (SELECT now / 1000 - CAST(op ->> 'hours' AS bigint) * 3600 FROM host, asked)",
        )
        .sweeps(ON_POSTGRES);

    fn check(&self) -> Result<(), Invalid> {
        check::at_most("hours", self.hours, 24 * 366)
    }
}
