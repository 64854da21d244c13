use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forgotten::{self, is_forgotten};
use super::person::{self, keyed};
use super::{check, folds};
use eitherway::operation::{Derived, Invariant, Definition, Dialect, Done, Fold, Invalid, Keys, Spec};

/// A line was said in the channel. What `server` or `[server]` says, which is the channel itself, is counted, and not kept among the recent lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageLog {
    /// Who said it.
    pub username: String,
    /// What was said.
    pub message: String,
}

impl Definition for MessageLog {
    type Answer = Done;
    const SPEC: Spec = Spec::event("message_log", "rosey.db.message.log").example(r#"{"username":"alice","message":"hello"}"#);
    const STATEMENTS: &'static [&'static str] = &[
        concat!(
            "INSERT INTO recent_chat (timestamp, username, message, at, op_id, person)
             SELECT at / 1000, op ->> 'username', op ->> 'message', at, id, op ->> 'key' FROM new WHERE NOT ",
            is_forgotten!("username")
        ),
        // By the number of the line, so that a shelf is written at one place of it at a time.
        concat!(
            "INSERT INTO lines_waiting (shelf, username, lines, first, last, name)
             SELECT (SELECT coalesce(max(rowid), 0) / 512 % 8 FROM recent_chat), ",
            keyed!("username"),
            ", count(*), min(at), max(at), op ->> 'username' FROM new WHERE NOT ",
            is_forgotten!("username"),
            // A name has one key.
            " GROUP BY op ->> 'username'
             ON CONFLICT (shelf, username) DO UPDATE SET
                 lines = lines + excluded.lines, first = min(first, excluded.first), last = max(last, excluded.last),
                 name = CASE WHEN excluded.last > last OR excluded.last = last AND excluded.name > coalesce(name, '')
                             THEN excluded.name ELSE name END"
        ),
        forgotten::EVENTS,
    ];
    const FOLDS: &'static [Fold] = folds::OF_LINES;
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "lines",
        "SELECT l.id, 'at', coalesce(c.at, s.at, f.at), l.at
         FROM applied l LEFT JOIN recent_chat c ON c.op_id = l.id LEFT JOIN server_lines s ON s.op_id = l.id
         LEFT JOIN forgotten_events f ON f.op_id = l.id
         WHERE l.at >= coalesce((SELECT CAST(value AS BIGINT) FROM meta WHERE key = 'swept.chat'), 0)",
    )];
    const POSTGRES: Dialect = Dialect::SAME
        .statements(&[
            concat!(
                "INSERT INTO recent_chat (timestamp, username, message, at, op_id, person)
                 SELECT at / 1000, op ->> 'username', op ->> 'message', at, id, op ->> 'key' FROM new WHERE NOT ",
                is_forgotten!("username")
            ),
            concat!(
                "INSERT INTO lines_waiting (username, lines, first, last, named)
                 SELECT ",
                keyed!("username"),
                ", count(*), min(at), max(at), lpad(CAST(max(at) AS text), 15, '0') || (op ->> 'username')
                 FROM new WHERE NOT ",
                is_forgotten!("username"),
                " GROUP BY 1, op ->> 'username'"
            ),
            forgotten::EVENTS,
        ])
        .folds(&[folds::postgres::LINES])
        .keys(Keys::Own);

    fn derive(&self, fields: &mut Derived) {
        person::derive(fields, "key", &self.username);
    }

    fn check(&self) -> Result<(), Invalid> {
        check::text("username", &self.username, check::NAME)?;
        check::text("message", &self.message, check::LONG)
    }
}
