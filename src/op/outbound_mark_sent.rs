use serde::{Deserialize, Serialize};

use super::{Error, Op, check};
use crate::client::{Db, Stack};
use crate::operation::{Definition, Done, Invalid, Spec};

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
    const SQLITE: &'static str = "
        INSERT INTO outbound_marks (op_id, message, at, kind)
        SELECT l.id, r.value ->> '$[2].message_id', l.occurred_at, 'sent'
        FROM json_each($2, '$.outbound_mark_sent') r CROSS JOIN ledger l ON l.id = r.value ->> 0 AND l.batch = $1;";

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
