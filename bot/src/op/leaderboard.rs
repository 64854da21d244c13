use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::person::shown;
use super::{Chatter, check};
use eitherway::operation::{Definition, Dialect, Invalid, Spec};

/// Who has said most since a time, of the newest 100 000 lines that are kept: most first. Over all time, `channel_stats` knows ten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GetLeaderboard {
    /// Since when, in unix seconds; of all lines that are kept by default.
    #[serde(default)]
    pub since: u32,
    /// How many users at most; 10 by default, and 100 at most.
    #[serde(default = "check::number::<10>", deserialize_with = "check::number_or::<10, _>")]
    pub limit: u32,
}

impl Definition for GetLeaderboard {
    type Answer = Vec<Chatter>;
    const SPEC: Spec = Spec::query("leaderboard", "rosey.db.query.leaderboard")
        .list()
        .example(r#"{"since":1700000000,"limit":5}"#);
    const ANSWER: &'static str = concat!(
        "SELECT json_group_array(json_object('username', ",
        shown!("l.username"),
        ", 'chat_lines', lines) ORDER BY lines DESC, l.username)
        FROM (
            SELECT c.username, count(*) AS lines
            FROM (SELECT coalesce(person, username) AS username FROM recent_chat WHERE at >= (SELECT (op ->> 'since') * 1000 FROM asked)
                  ORDER BY at DESC, op_id DESC LIMIT 100000) c
            GROUP BY c.username ORDER BY 2 DESC, 1 LIMIT (SELECT op ->> 'limit' FROM asked)) l"
    );
    const POSTGRES: Dialect = Dialect::SAME.answer(concat!(
        "SELECT coalesce(json_agg(json_build_object('username', ",
        shown!(postgres "l.username"),
        ", 'chat_lines', lines)
                    ORDER BY lines DESC, l.username), '[]')
         FROM (
             SELECT c.username, count(*) AS lines
             FROM (SELECT coalesce(person, username) AS username FROM recent_chat WHERE at >= (SELECT CAST(op ->> 'since' AS bigint) * 1000 FROM asked)
                   ORDER BY at DESC, op_id DESC LIMIT 100000) c
             GROUP BY c.username ORDER BY 2 DESC, 1 LIMIT (SELECT CAST(op ->> 'limit' AS bigint) FROM asked)) l"
    ));

    fn check(&self) -> Result<(), Invalid> {
        check::at_most("limit", self.limit, 100)
    }
}
