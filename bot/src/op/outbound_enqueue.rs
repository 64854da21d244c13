use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use super::forgotten::{self, is_forgotten};
use super::person::{self, keyed, spelled};
use eitherway::operation::{Derived, Invariant, Definition, Dialect, Invalid, Keys, Spec};

/// A message that the bot is to deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutboundEnqueue {
    /// The recipient; `None` means the whole channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The message.
    pub content: String,
}

/// A message that was put into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Enqueued {
    /// Its number, for the marks.
    pub id: i64,
}

impl Definition for OutboundEnqueue {
    type Answer = Enqueued;
    const SPEC: Spec = Spec::call("outbound_enqueue", "rosey.db.messages.outbound.enqueue").example(r#"{"username":"alice","content":"welcome back"}"#);
    const STATEMENTS: &'static [&'static str] = &[
        concat!(
            "INSERT INTO outbound_messages (timestamp, message, username, name, at, op_id)
             SELECT at / 1000, CASE WHEN gone THEN '' ELSE op ->> 'content' END, CASE WHEN gone THEN '' ELSE ",
            keyed!("username"),
            " END, CASE WHEN NOT gone THEN ",
            spelled!("username"),
            " END, at, id
             FROM (SELECT id, at, op, ",
            is_forgotten!("username"),
            " AS gone FROM new) o"
        ),
        forgotten::MESSAGES,
    ];
    const ANSWER: &'static str = "
        SELECT asked.id, json_object('id', o.id)
        FROM asked CROSS JOIN outbound_messages o ON o.op_id = asked.id";
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "enqueued messages",
        "SELECT l.id, 'id', o.id, l.answer ->> 'id'
         FROM applied l LEFT JOIN outbound_messages o ON o.op_id = l.id
         WHERE l.at >= coalesce((SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'swept.sent'), 0)",
    )];
    const POSTGRES: Dialect = Dialect::SAME
        .answer(
            "SELECT asked.id, json_build_object('id', o.id)
             FROM asked JOIN outbound_messages o ON o.op_id = asked.id",
        )
        .keys(Keys::Own);

    fn derive(&self, fields: &mut Derived) {
        if let Some(username) = &self.username {
            person::derive(fields, "key", username);
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        if let Some(username) = &self.username {
            check::text("username", username, check::NAME)?;
        }
        check::text("content", &self.content, check::LONG)
    }
}
