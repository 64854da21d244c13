use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::recent_chat::newest_lines;
use super::{Line, check, person};
use eitherway::operation::{Derived, Definition, Dialect, Invalid, Spec};

/// The newest of the lines that are kept and fit, oldest first. Of the newest 10 000 lines before `before` all are looked at, and no
/// others: who wants to go on sets `before` to the time of the first of them, as `recent_chat` tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SearchChat {
    /// Only what this user said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Only lines since then, in unix seconds.
    #[serde(default)]
    pub since: u32,
    /// Only lines before then, in unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u32>,
    /// Only lines with this text in them, letter by letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containing: Option<String>,
    /// How many at most; 20 by default.
    #[serde(default = "check::number::<20>", deserialize_with = "check::number_or::<20, _>")]
    pub limit: u32,
}

impl Definition for SearchChat {
    type Answer = Vec<Line>;
    const SPEC: Spec =
        Spec::query("chat", "rosey.db.query.chat").list().example(r#"{"username":"alice","containing":"works"}"#);
    const ANSWER: &'static str = newest_lines!(
        "asked CROSS JOIN (
                         SELECT * FROM recent_chat
                         WHERE at >= (SELECT (op ->> 'since') * 1000 FROM asked)
                           AND at < (SELECT coalesce(op ->> 'before', 1e13) * 1000 FROM asked)
                         ORDER BY at DESC, op_id DESC LIMIT 10000) c
                     WHERE coalesce(c.person, c.username) = coalesce(op ->> 'key', op ->> 'username', c.person, c.username)
                       AND instr(c.message, coalesce(op ->> 'containing', '')) > 0"
    );
    const POSTGRES: Dialect = Dialect::SAME.answer(newest_lines!(
        postgres "asked CROSS JOIN (
                           SELECT * FROM recent_chat
                           WHERE at >= (SELECT CAST(op ->> 'since' AS bigint) * 1000 FROM asked)
                             AND at < (SELECT coalesce(CAST(op ->> 'before' AS bigint), 10000000000000) * 1000 FROM asked)
                           ORDER BY at DESC, op_id DESC LIMIT 10000) c
                       WHERE coalesce(c.person, c.username) = coalesce(op ->> 'key', op ->> 'username', c.person, c.username)
                         AND strpos(c.message, coalesce(op ->> 'containing', '')) > 0"
    ));

    fn derive(&self, fields: &mut Derived) {
        if let Some(username) = &self.username {
            person::derive(fields, "key", username);
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        for (field, text) in [("username", &self.username), ("containing", &self.containing)] {
            if let Some(text) = text {
                check::text(field, text, check::NAME)?;
            }
        }
        check::limit(self.limit)
    }
}
