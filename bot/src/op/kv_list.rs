use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use super::kv::{self, Kv};
use eitherway::operation::{Definition, Dialect, Invalid, Spec};

/// The keys of a plugin that are there, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KvList {
    /// Whose keys they are.
    pub plugin_name: String,
    /// What they begin with; anything by default.
    #[serde(default)]
    pub prefix: String,
    /// How many at most; 1000 by default, which is the most.
    #[serde(default = "check::number::<1000>", deserialize_with = "check::number_or::<1000, _>")]
    pub limit: u32,
}

/// Keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KvKeys {
    /// The keys.
    pub keys: Vec<String>,
    /// How many these are.
    pub count: i64,
    /// Whether there are more.
    pub truncated: bool,
}

impl Definition for KvList {
    type Answer = Kv<KvKeys>;
    const SPEC: Spec =
        Spec::query("kv_list", "rosey.db.kv.list").refused(kv::refusal).example(r#"{"plugin_name":"trivia","prefix":"ro"}"#);
    const ANSWER: &'static str = "
        SELECT json_object('success', json('true'), 'data', json_object(
                   'keys', json_group_array(key ORDER BY key) FILTER (WHERE place <= most),
                   'count', count(*) FILTER (WHERE place <= most),
                   'truncated', json(iif(coalesce(max(place > most), 0), 'true', 'false'))))
        FROM (
            SELECT e.key, op ->> 'limit' AS most, row_number() OVER (ORDER BY e.key) AS place
            FROM host CROSS JOIN asked CROSS JOIN kv_entries e
            WHERE e.plugin = op ->> 'plugin_name' AND e.value IS NOT NULL AND (e.ends IS NULL OR e.ends > now)
              AND substr(e.key, 1, length(op ->> 'prefix')) = op ->> 'prefix')";
    const POSTGRES: Dialect = Dialect::SAME.answer(
        "SELECT json_build_object('success', true, 'data', json_build_object(
                    'keys', coalesce(json_agg(key ORDER BY key) FILTER (WHERE place <= most), '[]'),
                    'count', count(*) FILTER (WHERE place <= most),
                    'truncated', coalesce(bool_or(place > most), false)))
         FROM (
             SELECT e.key, CAST(op ->> 'limit' AS bigint) AS most, row_number() OVER (ORDER BY e.key) AS place
             FROM host CROSS JOIN asked CROSS JOIN kv_entries e
             WHERE e.plugin = op ->> 'plugin_name' AND e.value IS NOT NULL AND (e.ends IS NULL OR e.ends > now)
               AND starts_with(e.key, op ->> 'prefix')) k",
    );

    fn check(&self) -> Result<(), Invalid> {
        check::text("plugin_name", &self.plugin_name, check::KEY)?;
        check::optional_text("prefix", &self.prefix, check::KEY)?;
        check::at_most("limit", self.limit, 1000)
    }
}
