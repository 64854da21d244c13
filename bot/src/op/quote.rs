use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{check, person};
use eitherway::operation::{Derived, Definition, Dialect, Invalid, Spec};

/// One of the quotes that fit: the one at `place`, counted from 0 by their numbers and from the first one again behind the last. With
/// a random place it is a random one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetQuote {
    /// The quote of this number alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// Only what this user said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Only those with this text in them, letter by letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containing: Option<String>,
    /// Which of them; the first by default.
    #[serde(default)]
    pub place: u32,
}

/// A quote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quote {
    /// Its number.
    pub id: i64,
    /// Who said it.
    pub username: String,
    /// What was said.
    pub message: String,
    /// Who kept it.
    pub added_by: Option<String>,
    /// When it was kept, in unix seconds.
    pub timestamp: i64,
    /// How many fit.
    pub of: i64,
}

impl Definition for GetQuote {
    type Answer = Option<Quote>;
    const SPEC: Spec = Spec::query("quote", "rosey.db.quote.get").example(r#"{"username":"alice"}"#);
    const ANSWER: &'static str = "
        SELECT json_object('id', id, 'username', coalesce(name, username), 'message', message,
                           'added_by', coalesce(added_by_name, added_by),
                           'timestamp', at / 1000, 'of', fit)
        FROM (
            SELECT q.*, op ->> 'place' AS wanted, row_number() OVER (ORDER BY q.id) - 1 AS place, count(*) OVER () AS fit
            FROM asked CROSS JOIN channel_quotes q
            WHERE q.id = coalesce(op ->> 'id', q.id) AND q.username = coalesce(op ->> 'key', op ->> 'username', q.username)
              AND q.message <> '' AND instr(q.message, coalesce(op ->> 'containing', '')) > 0)
        WHERE place = wanted % fit";
    const POSTGRES: Dialect = Dialect::SAME.answer(
        "SELECT json_build_object('id', id, 'username', coalesce(name, username), 'message', message,
                           'added_by', coalesce(added_by_name, added_by),
                                  'timestamp', at / 1000, 'of', fit)
         FROM (
             SELECT q.*, CAST(op ->> 'place' AS bigint) AS wanted, row_number() OVER (ORDER BY q.id) - 1 AS place,
                    count(*) OVER () AS fit
             FROM asked CROSS JOIN channel_quotes q
             WHERE q.id = coalesce(CAST(op ->> 'id' AS bigint), q.id)
               AND q.username = coalesce(op ->> 'key', op ->> 'username', q.username)
               AND q.message <> '' AND strpos(q.message, coalesce(op ->> 'containing', '')) > 0) f
         WHERE place = wanted % fit",
    );

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
        Ok(())
    }
}
