use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use super::kv::{self, Kv};
use eitherway::operation::{Definition, Dialect, Invalid, Invariant, Keys, Spec};

/// Deletes a value of a plugin, as its latest writer does in the order of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KvDelete {
    /// Whose key it is.
    pub plugin_name: String,
    /// The key.
    pub key: String,
}

/// Whether a value was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KvDeleted {
    /// Whether there was one when this was applied.
    pub deleted: bool,
}

impl Definition for KvDelete {
    type Answer = Kv<KvDeleted>;
    const SPEC: Spec =
        Spec::call("kv_delete", "rosey.db.kv.delete").refused(kv::refusal).example(r#"{"plugin_name":"trivia","key":"round"}"#);
    const STATEMENTS: &'static [&'static str] = &[
        "INSERT INTO kv_entries (plugin, key, value, at, id, ends)
         SELECT op ->> 'plugin_name', op ->> 'key', NULL, at, id, at FROM new WHERE true
         ON CONFLICT (plugin, key) DO UPDATE SET
             value = NULL, at = excluded.at, id = excluded.id, ends = excluded.ends,
             took = kv_entries.value IS NOT NULL AND (kv_entries.ends IS NULL OR kv_entries.ends > excluded.at)
         WHERE (excluded.at, excluded.id) > (kv_entries.at, kv_entries.id)",
    ];
    const ANSWER: &'static str = "
        SELECT asked.id, json_object('success', json('true'), 'data',
                   json_object('deleted', json(iif(e.took = 1, 'true', 'false'))))
        FROM asked LEFT JOIN kv_entries e ON e.id = asked.id";
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "kv deleted",
        "SELECT e.key, 'id', e.id, l.id FROM kv_entries e LEFT JOIN applied l ON l.id = e.id
         WHERE e.value IS NULL
           AND e.at - 600000 >= coalesce((SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'swept.ledger'), -600000)",
    )];
    const POSTGRES: Dialect = Dialect::SAME
        .statements(&["
            INSERT INTO kv_entries AS e (plugin, key, value, at, id, ends)
            SELECT DISTINCT ON (1, 2) op ->> 'plugin_name', op ->> 'key', CAST(NULL AS jsonb), at, id, at
            FROM new
            ORDER BY 1, 2, at DESC, id COLLATE \"C\" DESC
            ON CONFLICT (plugin, key) DO UPDATE SET
                value = NULL, at = excluded.at, id = excluded.id, ends = excluded.ends,
                took = CAST(e.value IS NOT NULL AND (e.ends IS NULL OR e.ends > excluded.at) AS integer)
            WHERE (excluded.at, excluded.id) > (e.at, e.id)"])
        .answer(
            "SELECT asked.id, json_build_object('success', true, 'data',
                        json_build_object('deleted', coalesce(e.took = 1, false)))
             FROM asked LEFT JOIN kv_entries e ON e.id = asked.id",
        )
        .keys(Keys::Of("SELECT 'kv ' || (op ->> 'plugin_name') || ' ' || (op ->> 'key') FROM new"));

    fn check(&self) -> Result<(), Invalid> {
        check::text("plugin_name", &self.plugin_name, check::KEY)?;
        check::text("key", &self.key, check::KEY)
    }
}
