use serde::{Deserialize, Serialize};

use super::{Error, Op, check};
use crate::client::{Db, Stack};
use crate::operation::{Check, Definition, Done, Invalid, Spec, Sweep};

/// A message was delivered. A number that nobody knows changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboundMarkSent {
    /// The message's number.
    #[serde(deserialize_with = "check::integer")]
    pub message_id: i64,
}

impl Definition for OutboundMarkSent {
    type Answer = Done;
    const SPEC: Spec = Spec::call("outbound_mark_sent", "rosey.db.messages.outbound.mark_sent").example(r#"{"message_id":1}"#);
    // A number that nobody has yet may be given to somebody later: the report is kept under none.
    const SQLITE: &'static str = "
        INSERT INTO outbound_marks (op_id, message, at, kind)
        SELECT l.id, coalesce((SELECT o.id FROM outbound_messages o WHERE o.id = r.value ->> '$[2].message_id'), 0),
               l.occurred_at, 'sent'
        FROM jsonb_each($2, '$.outbound_mark_sent') r CROSS JOIN ledger l ON l.id = r.value ->> 0 AND l.batch = $1;";
    // The highest number stays: the next one is counted from it, and numbers are never given twice.
    const SWEEPS: &'static [Sweep] = &[
        Sweep::hours(
            "sent",
            7 * 24,
            "SELECT o.id FROM outbound_messages o
             WHERE o.sent = 1 AND o.sent_timestamp < $2 / 1000 AND o.at < $2
               AND o.id < (SELECT max(id) FROM outbound_messages)
               AND NOT EXISTS (SELECT 1 FROM outbound_marks m WHERE m.message = o.id AND m.at >= $2)
             LIMIT $1",
            // somebody may have reported on one of them since it was found: then it stays
            "DELETE FROM outbound_marks WHERE message IN (
                 SELECT k.value FROM json_each($1) k
                 WHERE NOT EXISTS (SELECT 1 FROM outbound_marks m WHERE m.message = k.value AND m.at >= $2));
             DELETE FROM outbound_messages
             WHERE id IN (SELECT value FROM json_each($1))
               AND NOT EXISTS (SELECT 1 FROM outbound_marks m WHERE m.message = outbound_messages.id);",
        ),
        // reports on messages that nobody knows
        Sweep::hours(
            "sent",
            7 * 24,
            "SELECT m.op_id FROM outbound_marks m
             WHERE m.at < $2 AND NOT EXISTS (SELECT 1 FROM outbound_messages o WHERE o.id = m.message)
             LIMIT $1",
            "DELETE FROM outbound_marks WHERE op_id IN (SELECT value FROM json_each($1));",
        ),
    ];
    const CHECKS: &'static [Check] = &[Check::new(
        "sent marks",
        "SELECT l.id, 'kind', m.kind, 'sent' FROM ledger l LEFT JOIN outbound_marks m ON m.op_id = l.id
         WHERE l.operation = 'outbound_mark_sent'
           AND l.occurred_at >= coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'swept.sent'), 0)",
    )];

    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

impl<S: Stack<Op>> Db<S> {
    /// A message was delivered.
    ///
    /// # Errors
    /// The error of the stack, with the request.
    pub async fn outbound_mark_sent(&self, message_id: i64) -> Result<(), Error> {
        self.call(OutboundMarkSent { message_id }).await.map(drop)
    }
}
