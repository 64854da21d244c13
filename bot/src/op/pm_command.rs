use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{check, person};
use super::forgotten::is_forgotten;
use eitherway::operation::{Derived, Invariant, Definition, Dialect, Done, Invalid, Keys, Spec};

/// A moderator gave the bot a command in a private message: the audit trail.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PmCommand {
    /// The name of the user.
    pub username: String,
    /// The command.
    pub command: String,
    /// What followed it.
    #[serde(default)]
    pub args: String,
    /// `pending`, `success` or `error`.
    #[serde(default)]
    pub result: String,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Definition for PmCommand {
    type Answer = Done;
    const SPEC: Spec = Spec::event("pm_command", "rosey.db.action.pm_command").example(r#"{"username":"mod","command":"stats","result":"success"}"#);
    const STATEMENTS: &'static [&'static str] = &[
        concat!(
            "INSERT INTO user_actions (timestamp, username, action_type, details, op_id, at, person)
             SELECT at / 1000, CASE WHEN gone THEN '' ELSE op ->> 'username' END, 'pm_command',
                    CASE WHEN NOT gone THEN
                        'cmd=' || (op ->> 'command') || ', args: ' || (op ->> 'args') || ', result: ' || (op ->> 'result')
                        || coalesce(', error: ' || (op ->> 'error'), '') END, id, at, CASE WHEN NOT gone THEN op ->> 'key' END
             FROM (SELECT id, at, op, ",
            is_forgotten!("username"),
            " AS gone FROM new) a ORDER BY at, id"
        ),
    ];
    const CHECKS: &'static [Invariant] = &[
        Invariant::new(
            "commands",
            "SELECT l.id, 'timestamp', a.timestamp, l.at / 1000
             FROM applied l LEFT JOIN user_actions a ON a.op_id = l.id",
        ),
        Invariant::new("user_actions", "SELECT id, 'op_id', CASE WHEN op_id IS NULL THEN 0 ELSE 1 END, 1 FROM user_actions"),
    ];
    const POSTGRES: Dialect = Dialect::SAME.keys(Keys::Own);

    fn derive(&self, fields: &mut Derived) {
        person::derive(fields, "key", &self.username);
    }

    fn check(&self) -> Result<(), Invalid> {
        check::text("username", &self.username, check::NAME)?;
        check::text("command", &self.command, check::SHORT)?;
        check::optional_text("args", &self.args, check::LONG)?;
        check::optional_text("result", &self.result, check::SHORT)?;
        check::optional_text("error", self.error.as_deref().unwrap_or_default(), check::LONG)
    }
}
