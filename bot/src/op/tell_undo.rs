use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use super::person::{self, keyed};
use eitherway::operation::{Derived, Definition, Dialect, Invalid, Invariant, Keys, Spec};

/// Withdraws a message that is not delivered yet. One that is on its way is delivered all the same, and one of another
/// sender stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TellUndo {
    /// Who has left it.
    pub sender: String,
    /// The message's number.
    #[serde(deserialize_with = "check::integer")]
    pub message_id: i64,
}

/// Whether a message was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Undone {
    /// Whether it had not been told yet when this was applied.
    pub undone: bool,
}

impl Definition for TellUndo {
    type Answer = Undone;
    const SPEC: Spec =
        Spec::call("tell_undo", "rosey.db.messages.tell.undo").example(r#"{"sender":"bob","message_id":1}"#);
    // A failure for good, which a report that it was sent wins over. What is not the sender's is kept under no number.
    const STATEMENTS: &'static [&'static str] = &[concat!(
        "INSERT INTO outbound_marks (op_id, message, at, kind, error)
         SELECT new.id, coalesce(o.id, 0), new.at, 'failed', CASE WHEN o.id IS NOT NULL THEN 'taken back' END
         FROM new LEFT JOIN outbound_messages o ON o.id = op ->> 'message_id' AND o.sender = ",
        keyed!("sender")
    )];
    const ANSWER: &'static str = "
        SELECT asked.id, json_object('undone', json(iif(o.id IS NOT NULL AND o.delivered_at IS NULL, 'true', 'false')))
        FROM asked CROSS JOIN outbound_marks m ON m.op_id = asked.id LEFT JOIN outbound_messages o ON o.id = m.message";
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "taken back",
        "SELECT l.id, 'kind', m.kind, 'failed' FROM applied l LEFT JOIN outbound_marks m ON m.op_id = l.id
         WHERE l.at >= coalesce((SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'swept.sent'), 0)",
    )];
    const POSTGRES: Dialect = Dialect::SAME
        .statements(&[concat!("
            INSERT INTO outbound_marks (op_id, message, at, kind, error)
            SELECT new.id, coalesce(o.id, 0), new.at, 'failed', CASE WHEN o.id IS NOT NULL THEN 'taken back' END
            FROM new LEFT JOIN outbound_messages o
                ON o.id = CAST(op ->> 'message_id' AS bigint) AND o.sender = ", keyed!("sender"))])
        .answer(
            "SELECT asked.id, json_build_object('undone', o.id IS NOT NULL AND o.delivered_at IS NULL)
             FROM asked JOIN outbound_marks m ON m.op_id = asked.id LEFT JOIN outbound_messages o ON o.id = m.message",
        )
        .keys(Keys::Of("SELECT op ->> 'message_id' FROM new"));

    fn derive(&self, fields: &mut Derived) {
        person::derive(fields, "sender_key", &self.sender);
    }

    fn check(&self) -> Result<(), Invalid> {
        check::text("sender", &self.sender, check::NAME)
    }
}
