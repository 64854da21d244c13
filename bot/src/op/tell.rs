use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forgotten::{self, is_forgotten};
use super::person::{self, keyed, spelled};
use super::{Enqueued, check};
use eitherway::operation::{Derived, Definition, Dialect, Invalid, Invariant, Keys, Spec};

/// A message that one user of the channel leaves for another. It waits in the queue of the bot's messages, and is handed out by
/// `outbound_get` for its recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tell {
    /// Who leaves it.
    pub sender: String,
    /// The recipient.
    pub username: String,
    /// The message.
    pub content: String,
    /// Whether it is told in private, as by default, or said to the recipient in the channel.
    #[serde(default = "privately")]
    pub privately: bool,
}

pub(super) const fn privately() -> bool {
    true
}

/// One of which either person is forgotten has neither, nor a text.
macro_rules! queued {
    ($privately:literal) => {
        concat!(
            "INSERT INTO outbound_messages (timestamp, message, username, name, sender, sender_name, private, at, op_id)
             SELECT at / 1000, CASE WHEN gone THEN '' ELSE op ->> 'content' END, CASE WHEN gone THEN '' ELSE ",
            keyed!("username"),
            " END, CASE WHEN NOT gone THEN ",
            spelled!("username"),
            " END, CASE WHEN gone THEN '' ELSE ",
            keyed!("sender"),
            " END, CASE WHEN NOT gone THEN ",
            spelled!("sender"),
            " END, ",
            $privately,
            ", at, id FROM (SELECT id, at, op, ",
            is_forgotten!("username"),
            " OR ",
            is_forgotten!("sender"),
            " AS gone FROM new) o"
        )
    };
}

impl Definition for Tell {
    type Answer = Enqueued;
    const SPEC: Spec = Spec::call("tell", "rosey.db.messages.tell")
        .example(r#"{"sender":"bob","username":"alice","content":"the door is open"}"#);
    const STATEMENTS: &'static [&'static str] = &[
        queued!("op ->> 'privately'"),
        forgotten::MESSAGES,
    ];
    const ANSWER: &'static str = "
        SELECT asked.id, json_object('id', o.id)
        FROM asked CROSS JOIN outbound_messages o ON o.op_id = asked.id";
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "tells",
        "SELECT l.id, 'id', o.id, l.answer ->> 'id'
         FROM applied l LEFT JOIN outbound_messages o ON o.op_id = l.id AND o.sender IS NOT NULL
         WHERE l.at >= coalesce((SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'swept.sent'), 0)",
    )];
    const POSTGRES: Dialect = Dialect::SAME
        .statements(&[queued!("CAST(CAST(op ->> 'privately' AS boolean) AS integer)"), forgotten::MESSAGES])
        .answer(
            "SELECT asked.id, json_build_object('id', o.id)
             FROM asked JOIN outbound_messages o ON o.op_id = asked.id",
        )
        .keys(Keys::Own);

    fn derive(&self, fields: &mut Derived) {
        person::derive(fields, "key", &self.username);
        person::derive(fields, "sender_key", &self.sender);
    }

    fn check(&self) -> Result<(), Invalid> {
        check::text("sender", &self.sender, check::NAME)?;
        check::text("username", &self.username, check::NAME)?;
        check::text("content", &self.content, check::SHORT)
    }
}
