use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check;
use super::forgotten::is_forgotten;
use super::person::{self, keyed, spelled};
use eitherway::operation::{Derived, Definition, Dialect, Invalid, Invariant, Keys, Spec};

/// A line that is worth keeping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuoteAdd {
    /// Who said it.
    pub username: String,
    /// What was said.
    pub message: String,
    /// Who keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub added_by: Option<String>,
}

/// A quote that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quoted {
    /// Its number.
    pub id: i64,
}

impl Definition for QuoteAdd {
    type Answer = Quoted;
    const SPEC: Spec = Spec::call("quote_add", "rosey.db.quote.add")
        .example(r#"{"username":"alice","message":"it works on my machine","added_by":"bob"}"#);
    const STATEMENTS: &'static [&'static str] = &[
        concat!(
            "INSERT INTO channel_quotes (op_id, at, message, username, name, added_by, added_by_name)
             SELECT id, at, CASE WHEN gone THEN '' ELSE op ->> 'message' END, CASE WHEN gone THEN '' ELSE ",
            keyed!("username"),
            " END, CASE WHEN NOT gone THEN ",
            spelled!("username"),
            " END, CASE WHEN NOT gone AND NOT is_unnamed THEN ",
            keyed!("added_by"),
            " END, CASE WHEN NOT gone AND NOT is_unnamed THEN ",
            spelled!("added_by"),
            " END
             FROM (SELECT id, at, op, ",
            is_forgotten!("username"),
            " AS gone, ",
            is_forgotten!("added_by"),
            " AS is_unnamed FROM new) q ORDER BY at, id"
        ),
    ];
    const ANSWER: &'static str = "
        SELECT asked.id, json_object('id', q.id)
        FROM asked CROSS JOIN channel_quotes q ON q.op_id = asked.id";
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "quotes",
        "SELECT l.id, 'id', q.id, l.answer ->> 'id'
         FROM applied l LEFT JOIN channel_quotes q ON q.op_id = l.id",
    )];
    const POSTGRES: Dialect = Dialect::SAME
        .answer(
            "SELECT asked.id, json_build_object('id', q.id)
             FROM asked JOIN channel_quotes q ON q.op_id = asked.id",
        )
        .keys(Keys::Own);

    fn derive(&self, fields: &mut Derived) {
        person::derive(fields, "key", &self.username);
        if let Some(added_by) = &self.added_by {
            person::derive(fields, "added_by_key", added_by);
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        check::text("username", &self.username, check::NAME)?;
        check::text("message", &self.message, check::SHORT)?;
        self.added_by.as_ref().map_or(Ok(()), |name| check::text("added_by", name, check::NAME))
    }
}
