use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check;
use super::kv::{self, Kv};
use eitherway::operation::{Definition, Dialect, Invalid, Spec};

/// A value of a plugin, if it is there and has not ended by the clock of the database's host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KvGet {
    /// Whose key it is.
    pub plugin_name: String,
    /// The key.
    pub key: String,
}

/// A value, if there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KvValue {
    /// Whether there is one.
    pub exists: bool,
    /// It; null, and absent in JSON, if there is none.
    #[serde(default)]
    pub value: Value,
}

impl Definition for KvGet {
    type Answer = Kv<KvValue>;
    const SPEC: Spec =
        Spec::query("kv_get", "rosey.db.kv.get").refused(kv::refusal).example(r#"{"plugin_name":"trivia","key":"round"}"#);
    const ANSWER: &'static str = "
        SELECT json_object('success', json('true'), 'data',
                   CASE WHEN e.key IS NULL THEN json_object('exists', json('false'))
                        ELSE json_object('exists', json('true'), 'value', json(e.value)) END)
        FROM host CROSS JOIN asked
        LEFT JOIN kv_entries e ON e.plugin = op ->> 'plugin_name' AND e.key = op ->> 'key'
            AND e.value IS NOT NULL AND (e.ends IS NULL OR e.ends > now)";
    const POSTGRES: Dialect = Dialect::SAME.answer(
        "SELECT json_build_object('success', true, 'data',
                    CASE WHEN e.key IS NULL THEN json_build_object('exists', false)
                         ELSE json_build_object('exists', true, 'value', e.value) END)
         FROM host CROSS JOIN asked
         LEFT JOIN kv_entries e ON e.plugin = op ->> 'plugin_name' AND e.key = op ->> 'key'
             AND e.value IS NOT NULL AND (e.ends IS NULL OR e.ends > now)",
    );

    fn check(&self) -> Result<(), Invalid> {
        check::text("plugin_name", &self.plugin_name, check::KEY)?;
        check::text("key", &self.key, check::KEY)
    }
}
