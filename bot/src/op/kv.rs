//! What the operations of plugins share: answers and refusals as the Python bot's plugins read them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The answer to a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Kv<T> {
    /// Always true: a failure has no such answer.
    pub success: bool,
    /// What was asked for.
    pub data: T,
}

/// The longest value, in bytes of JSON.
pub(super) const MOST_BYTES: usize = 64 << 10;

/// A refusal with the code that plugins tell one by.
pub(super) fn refusal(code: &str, sentence: &str) -> String {
    let code = match code {
        "invalid" => invalid(sentence),
        "too_large" => "VALUE_TOO_LARGE",
        _ => "DATABASE_ERROR",
    };
    serde_json::json!({"success": false, "error": {"code": code, "message": sentence}}).to_string()
}

/// What is wrong with a request, as far as its sentence says so: what has another type than is expected is JSON.
fn invalid(sentence: &str) -> &'static str {
    let says = |text: &str| sentence.contains(text);
    if says("missing field") || sentence.ends_with(": is empty") {
        "MISSING_FIELD"
    } else if says("value: ") && says(" bytes, at most") {
        "VALUE_TOO_LARGE"
    } else if says("is not a JSON object") || says("EOF while") || says("expected ") && !says("invalid ") {
        "INVALID_JSON"
    } else {
        "VALIDATION_ERROR"
    }
}
