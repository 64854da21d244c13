use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kv::{self, Kv, MOST_BYTES};
use super::check;
use eitherway::operation::{Definition, Dialect, Done, Invalid, Invariant, Keys, RetentionRule, Spec};

/// Writes a value of a plugin, perhaps for a time. The latest writer of a key counts, in the order of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KvSet {
    /// Whose key it is.
    pub plugin_name: String,
    /// The key.
    pub key: String,
    /// The value: any JSON, of at most 64 KiB.
    pub value: Value,
    /// For how many seconds it is kept; without a limit by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
}

impl Definition for KvSet {
    type Answer = Kv<Done>;
    const SPEC: Spec = Spec::call("kv_set", "rosey.db.kv.set")
        .refused(kv::refusal)
        .example(r#"{"plugin_name":"trivia","key":"round","value":{"asked":7},"ttl_seconds":3600}"#);
    const STATEMENTS: &'static [&'static str] = &[
        "INSERT INTO kv_entries (plugin, key, value, at, id, ends)
         SELECT op ->> 'plugin_name', op ->> 'key', op -> 'value', at, id, at + (op ->> 'ttl_seconds') * 1000
         FROM new WHERE true
         ON CONFLICT (plugin, key) DO UPDATE SET
             value = excluded.value, at = excluded.at, id = excluded.id, ends = excluded.ends, took = 0
         WHERE (excluded.at, excluded.id) > (kv_entries.at, kv_entries.id)",
    ];
    const ANSWER: &'static str = "
        SELECT id, json_object('success', json('true'), 'data', json('{}')) FROM asked";
    // A key that was deleted, or has ended, until nothing older can come any more.
    const SWEEPS: &'static [RetentionRule] = &[RetentionRule::hours(
        "kv",
        30 * 24,
        "SELECT id FROM kv_entries WHERE ends < (SELECT horizon FROM sweep) ORDER BY ends LIMIT (SELECT most FROM sweep)",
        // One that was written since has another id.
        &["DELETE FROM kv_entries WHERE id IN (SELECT key FROM gone)"],
    )];
    // A value is of an operation, unless the ledger may have forgotten that; ten minutes are more than clocks may be ahead.
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "kv",
        "SELECT e.key, 'id', e.id, l.id FROM kv_entries e LEFT JOIN applied l ON l.id = e.id
         WHERE e.value IS NOT NULL
           AND e.at - 600000 >= coalesce((SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'swept.ledger'), -600000)",
    )];
    const POSTGRES: Dialect = Dialect::SAME
        .statements(&["
            INSERT INTO kv_entries AS e (plugin, key, value, at, id, ends)
            SELECT DISTINCT ON (1, 2) op ->> 'plugin_name', op ->> 'key', op -> 'value', at, id,
                   at + CAST(op ->> 'ttl_seconds' AS bigint) * 1000
            FROM new
            ORDER BY 1, 2, at DESC, id COLLATE \"C\" DESC
            ON CONFLICT (plugin, key) DO UPDATE SET
                value = excluded.value, at = excluded.at, id = excluded.id, ends = excluded.ends, took = 0
            WHERE (excluded.at, excluded.id) > (e.at, e.id)"])
        .answer("SELECT id, json_build_object('success', true, 'data', json_build_object()) FROM asked")
        .keys(Keys::Of("SELECT 'kv ' || (op ->> 'plugin_name') || ' ' || (op ->> 'key') FROM new"));

    fn check(&self) -> Result<(), Invalid> {
        check::text("plugin_name", &self.plugin_name, check::KEY)?;
        check::text("key", &self.key, check::KEY)?;
        if holds_nul(&self.value) {
            return Err("value: contains NUL".to_owned().into());
        }
        let bytes = self.value.to_string().len() + spelt_out(&self.value);
        if bytes > MOST_BYTES {
            return Err(format!("value: {bytes} bytes, at most {MOST_BYTES} are taken").into());
        }
        Ok(())
    }
}

/// How many bytes PostgreSQL's JSON adds: it writes numbers without an exponent.
fn spelt_out(value: &Value) -> usize {
    match value {
        Value::Number(number) => {
            let written = number.as_f64().filter(|_| number.is_f64()).map_or(0, |f| f.to_string().len());
            written.saturating_sub(number.to_string().len())
        }
        Value::Array(values) => values.iter().map(spelt_out).sum(),
        Value::Object(fields) => fields.values().map(spelt_out).sum(),
        Value::Null | Value::Bool(_) | Value::String(_) => 0,
    }
}

/// PostgreSQL has none in its JSON.
fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
