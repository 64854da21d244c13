use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use super::person::{self, keyed};
use eitherway::operation::{Derived, Definition, Dialect, Invalid, Spec};

/// The messages between users of the channel that are not delivered yet: those that a sender has left, those that wait for a user, or
/// those of the one for the other. Oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetTells {
    /// Who has left them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// The recipient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// How many at most; 50 by default, and 100 at most.
    #[serde(default = "check::number::<50>", deserialize_with = "check::number_or::<50, _>")]
    pub limit: u32,
}

/// A message that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitingTell {
    /// Its number.
    pub id: i64,
    /// Who has left it.
    pub sender: String,
    /// The recipient.
    pub username: String,
    /// The message.
    pub content: String,
    /// Whether it is told in private.
    pub privately: bool,
    /// When it was left, in unix seconds.
    pub timestamp: i64,
}

impl Definition for GetTells {
    type Answer = Vec<WaitingTell>;
    const SPEC: Spec = Spec::query("tells", "rosey.db.query.tells").list().example(r#"{"username":"alice"}"#);
    const ANSWER: &'static str = concat!("
        SELECT json_group_array(json_object(
            'id', id, 'sender', coalesce(sender_name, sender), 'username', coalesce(name, username), 'content', message,
            'privately', json(iif(private, 'true', 'false')), 'timestamp', timestamp) ORDER BY at, id)
        FROM (
            SELECT * FROM (
                SELECT o.* FROM asked CROSS JOIN outbound_messages o ON o.sender = ", keyed!("sender"), "
                WHERE o.sent = 0 AND o.sender IS NOT NULL AND o.username = coalesce(op ->> 'key', op ->> 'username', o.username)
                UNION ALL
                SELECT o.* FROM asked CROSS JOIN outbound_messages o ON o.username = ", keyed!("username"), "
                WHERE o.sent = 0 AND o.sender IS NOT NULL AND op ->> 'sender' IS NULL)
            ORDER BY at, id LIMIT (SELECT op ->> 'limit' FROM asked))");
    const POSTGRES: Dialect = Dialect::SAME.answer(concat!(
        "SELECT coalesce(json_agg(json_build_object(
             'id', id, 'sender', coalesce(sender_name, sender), 'username', coalesce(name, username), 'content', message, 'privately', private = 1,
             'timestamp', timestamp) ORDER BY at, id), '[]')
         FROM (
             SELECT * FROM (
                 SELECT o.* FROM asked JOIN outbound_messages o ON o.sender = ", keyed!("sender"), "
                 WHERE o.sent = 0 AND o.username = coalesce(op ->> 'key', op ->> 'username', o.username)
                 UNION ALL
                 SELECT o.* FROM asked JOIN outbound_messages o ON o.username = ", keyed!("username"), "
                 WHERE o.sent = 0 AND o.sender IS NOT NULL AND op ->> 'sender' IS NULL) t
             ORDER BY at, id LIMIT (SELECT CAST(op ->> 'limit' AS bigint) FROM asked)) w"
    ));

    fn derive(&self, fields: &mut Derived) {
        for (field, name) in [("sender_key", &self.sender), ("key", &self.username)] {
            if let Some(name) = name {
                person::derive(fields, field, name);
            }
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        for (field, name) in [("sender", &self.sender), ("username", &self.username)] {
            if let Some(name) = name {
                check::text(field, name, check::NAME)?;
            }
        }
        if self.sender.is_none() && self.username.is_none() {
            return Err("sender, username: one of them is needed".to_owned().into());
        }
        check::at_most("limit", self.limit, 100)
    }
}
