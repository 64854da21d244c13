use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use eitherway::operation::{Definition, Dialect, Done, Keys, Spec};

/// How many are in the channel, for the record: the maximum is kept, with the earliest time it was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    const STATEMENTS: &'static [&'static str] = &[
        "INSERT INTO high_water (kind, count, at)
         SELECT k.value, CASE k.value
                    WHEN 'chat' THEN op ->> 'chat_count'
                    WHEN 'connected' THEN op ->> 'connected_count'
                    ELSE at / 1000 END AS count, at / 1000
         FROM new CROSS JOIN json_each('[\"chat\", \"connected\", \"updated\"]') k
         WHERE count > 0 OR k.value = 'chat'
         ON CONFLICT (kind) DO UPDATE SET count = excluded.count, at = excluded.at
         WHERE excluded.count > high_water.count
            OR (excluded.count = high_water.count AND excluded.at < coalesce(high_water.at, excluded.at + 1))",
    ];
    const POSTGRES: Dialect = Dialect::SAME
        .statements(&["
            INSERT INTO high_water AS h (kind, count, at)
            SELECT DISTINCT ON (k.kind) k.kind, k.count, new.at / 1000
            FROM new CROSS JOIN LATERAL (VALUES
                ('chat', CAST(op ->> 'chat_count' AS bigint)),
                ('connected', CAST(op ->> 'connected_count' AS bigint)),
                ('updated', new.at / 1000)) k (kind, count)
            WHERE k.count > 0 OR k.kind = 'chat'
            ORDER BY k.kind, k.count DESC, new.at
            ON CONFLICT (kind) DO UPDATE SET count = excluded.count, at = excluded.at
            WHERE excluded.count > h.count
               OR (excluded.count = h.count AND excluded.at < coalesce(h.at, excluded.at + 1))"])
        .keys(Keys::Of("SELECT 'high water' FROM new"));

}
