//! The statements of sweeps on SQLite.

use crate::operation::RetentionRule;
use crate::store::text::Statement;

/// What may come again.
const LEDGER_IDS: &str = "known (id) AS (SELECT id FROM ledger)";

/// The statement that answers what is old as a JSON array of keys.
pub(super) fn finding(sweep: &RetentionRule) -> String {
    format!(
        "WITH {LEDGER_IDS}, sweep (now, horizon, most) AS (SELECT $3, $2, $1), found (key) AS ({}\n)
         SELECT json_group_array(key) FROM found",
        sweep.find
    )
}

/// A statement that removes, over what was found.
pub(super) fn over_gone(sql: &str) -> String {
    const GONE: &str =
        "gone (key) AS (SELECT value FROM json_each($1)), sweep (now, horizon) AS (SELECT $3, $2)";
    // One that cannot be read was refused when the database was opened.
    Statement::read(sql)
        .map_or_else(|_| sql.to_owned(), |statement| statement.over(&format!("{LEDGER_IDS}, {GONE}")))
}
