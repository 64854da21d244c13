use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::forgotten::{self, is_forgotten};
use super::person::{self, keyed, spelled};
use super::{check, folds};
use eitherway::operation::{Derived, Invariant, Definition, Dialect, Done, Invalid, Keys, Spec};

/// A user left the channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UserLeft {
    /// The name of the user.
    pub username: String,
}

impl Definition for UserLeft {
    type Answer = Done;
    const SPEC: Spec = Spec::event("user_left", "rosey.db.user.left").example(r#"{"username":"alice"}"#);
    const STATEMENTS: &'static [&'static str] = &[
        concat!(
            "INSERT INTO presence (username, at, id, joined, name) SELECT ",
            keyed!("username"),
            ", at, id, 0, ",
            spelled!("username"),
            " FROM new WHERE NOT ",
            is_forgotten!("username")
        ),
        forgotten::EVENTS,
    ];
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "leaves",
        // As of the joins.
        "WITH p AS MATERIALIZED (SELECT id, at, joined FROM presence)
         SELECT l.id, 'at', coalesce(CASE WHEN p.joined = 0 THEN p.at END, f.at), l.at
         FROM applied l LEFT JOIN p ON p.id = l.id LEFT JOIN forgotten_events f ON f.op_id = l.id",
    )];
    const POSTGRES: Dialect = Dialect::SAME
        .statements(&[
            concat!(
                "INSERT INTO presence_waiting (username, at, id, joined, name) SELECT ",
                keyed!("username"),
                ", at, id, 0, ",
                spelled!("username"),
                " FROM new WHERE NOT ",
                is_forgotten!("username")
            ),
            forgotten::EVENTS,
        ])
        .folds(&[folds::postgres::PRESENCE])
        .keys(Keys::Own);

    fn derive(&self, fields: &mut Derived) {
        person::derive(fields, "key", &self.username);
    }

    fn check(&self) -> Result<(), Invalid> {
        check::text("username", &self.username, check::NAME)
    }
}
