use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use eitherway::operation::{Invariant, Definition, Dialect, Done, Invalid, Keys, Spec};

/// A message could not be delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutboundMarkFailed {
    /// The message's number.
    #[serde(deserialize_with = "check::integer")]
    pub message_id: i64,
    /// The reason.
    #[serde(default)]
    pub error: String,
    /// Whether to give it up; else it is handed out again later.
    #[serde(default)]
    pub permanent: bool,
}

impl Definition for OutboundMarkFailed {
    type Answer = Done;
    const SPEC: Spec = Spec::call("outbound_mark_failed", "rosey.db.messages.outbound.mark_failed").example(r#"{"message_id":1,"error":"no such user","permanent":true}"#);
    // As of those that were sent. Without a message it has no text.
    const STATEMENTS: &'static [&'static str] = &[
        "INSERT INTO outbound_marks (op_id, message, at, kind, error)
         SELECT new.id, coalesce(o.id, 0), new.at, CASE WHEN op ->> 'permanent' THEN 'failed' ELSE 'retry' END,
                CASE WHEN o.id IS NOT NULL THEN op ->> 'error' END
         FROM new LEFT JOIN outbound_messages o
             ON o.id = op ->> 'message_id' AND (o.message <> '' OR o.op_id IS NULL)",
    ];
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "failure marks",
        "SELECT l.id, 'kind', m.kind, CASE WHEN m.kind = 'failed' THEN 'failed' ELSE 'retry' END
         FROM applied l LEFT JOIN outbound_marks m ON m.op_id = l.id
         WHERE l.at >= coalesce((SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'swept.sent'), 0)",
    )];
    const POSTGRES: Dialect = Dialect::SAME
        .statements(&["
            INSERT INTO outbound_marks (op_id, message, at, kind, error)
            SELECT new.id, coalesce(o.id, 0), new.at,
                   CASE WHEN CAST(op ->> 'permanent' AS boolean) THEN 'failed' ELSE 'retry' END,
                   CASE WHEN o.id IS NOT NULL THEN op ->> 'error' END
            FROM new LEFT JOIN outbound_messages o
                ON o.id = CAST(op ->> 'message_id' AS bigint) AND (o.message <> '' OR o.op_id IS NULL)"])
        .keys(Keys::Of("SELECT op ->> 'message_id' FROM new"));

    fn check(&self) -> Result<(), Invalid> {
        check::optional_text("error", &self.error, check::LONG)
    }
}
