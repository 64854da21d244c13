use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use eitherway::operation::{Invariant, Definition, Dialect, Done, Keys, Spec, RetentionRule};

/// A message was delivered. An unknown number changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutboundMarkSent {
    /// The message's number.
    #[serde(deserialize_with = "check::integer")]
    pub message_id: i64,
}

/// As on SQLite, where keys are numbers.
const REMOVE: &[&str] = &[
    "DELETE FROM outbound_marks WHERE message IN (
         SELECT CAST(key AS bigint) FROM gone WHERE NOT EXISTS (
             SELECT 1 FROM outbound_marks m
             WHERE m.message = CAST(gone.key AS bigint) AND m.at >= (SELECT horizon FROM sweep)))",
    "DELETE FROM outbound_messages
     WHERE id IN (SELECT CAST(key AS bigint) FROM gone)
       AND NOT EXISTS (SELECT 1 FROM outbound_marks m WHERE m.message = outbound_messages.id)",
];

const ON_POSTGRES: &[RetentionRule] =
    &[RetentionRule { remove: REMOVE, ..OutboundMarkSent::SWEEPS[0] }, OutboundMarkSent::SWEEPS[1]];

impl Definition for OutboundMarkSent {
    type Answer = Done;
    const SPEC: Spec = Spec::call("outbound_mark_sent", "rosey.db.messages.outbound.mark_sent").example(r#"{"message_id":1}"#);
    // An unknown number may be given to a later message, and one without a text is of somebody who was forgotten: the report is kept
    // under none.
    const STATEMENTS: &'static [&'static str] = &[
        "INSERT INTO outbound_marks (op_id, message, at, kind)
         SELECT id, coalesce((SELECT o.id FROM outbound_messages o WHERE o.id = op ->> 'message_id' AND (o.message <> '' OR o.op_id IS NULL)), 0), at,
                'sent'
         FROM new",
    ];
    // The highest number stays: the next one is counted from it, and numbers are never given twice.
    const SWEEPS: &'static [RetentionRule] = &[
        RetentionRule::hours(
            "sent",
            7 * 24,
            "SELECT o.id FROM outbound_messages o
             WHERE o.sent = 1 AND o.sent_timestamp < (SELECT horizon / 1000 FROM sweep) AND o.at < (SELECT horizon FROM sweep)
               AND o.id < (SELECT max(id) FROM outbound_messages)
               AND NOT EXISTS (SELECT 1 FROM outbound_marks m WHERE m.message = o.id AND m.at >= (SELECT horizon FROM sweep))
             LIMIT (SELECT most FROM sweep)",
            // a message that was reported on since it was found stays
            &["DELETE FROM outbound_marks WHERE message IN (
                 SELECT key FROM gone WHERE NOT EXISTS (
                     SELECT 1 FROM outbound_marks m
                     WHERE m.message = gone.key AND m.at >= (SELECT horizon FROM sweep)))",
            "DELETE FROM outbound_messages
             WHERE id IN (SELECT key FROM gone)
               AND NOT EXISTS (SELECT 1 FROM outbound_marks m WHERE m.message = outbound_messages.id)"],
        ),
        // reports on unknown messages
        RetentionRule::hours(
            "sent",
            7 * 24,
            "SELECT m.op_id FROM outbound_marks m
             WHERE m.at < (SELECT horizon FROM sweep) AND NOT EXISTS (SELECT 1 FROM outbound_messages o WHERE o.id = m.message)
             LIMIT (SELECT most FROM sweep)",
            &["DELETE FROM outbound_marks WHERE op_id IN (SELECT key FROM gone)"],
        ),
    ];
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "sent marks",
        "SELECT l.id, 'kind', m.kind, 'sent' FROM applied l LEFT JOIN outbound_marks m ON m.op_id = l.id
         WHERE l.at >= coalesce((SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'swept.sent'), 0)",
    )];
    const POSTGRES: Dialect = Dialect::SAME
        .statements(&["
            INSERT INTO outbound_marks (op_id, message, at, kind)
            SELECT id, coalesce((
                       SELECT o.id FROM outbound_messages o
                       WHERE o.id = CAST(op ->> 'message_id' AS bigint) AND (o.message <> '' OR o.op_id IS NULL)), 0), at,
                   'sent'
            FROM new"])
        .sweeps(ON_POSTGRES)
        .keys(Keys::Of("SELECT op ->> 'message_id' FROM new"));

}
