use serde::{Deserialize, Serialize};

use super::check;
use eitherway::operation::{Invariant, Definition, Done, Invalid, Spec};

/// A user left the channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserLeft {
    /// The name of the user.
    pub username: String,
}

impl Definition for UserLeft {
    type Answer = Done;
    const SPEC: Spec = Spec::event("user_left", "rosey.db.user.left").example(r#"{"username":"alice"}"#);
    const STATEMENTS: &'static [&'static str] = &[
        "INSERT INTO presence (username, at, id, joined) SELECT op ->> 'username', at, id, 0 FROM new",
    ];
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "leaves",
        // As of the joins.
        "WITH p AS MATERIALIZED (SELECT id, at, joined FROM presence)
         SELECT l.id, 'at', iif(p.joined, NULL, p.at), l.at FROM applied l LEFT JOIN p ON p.id = l.id",
    )];

    fn check(&self) -> Result<(), Invalid> {
        check::text("username", &self.username, check::NAME)
    }
}
