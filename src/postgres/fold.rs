//! The function that folds a portion, put together from constants.

use std::fmt::Write as _;

use super::sweep;
use crate::operation::{Fold, Persist};
use crate::store::fold::distinct;

const FRAME: &str = include_str!("fold.sql");

/// The lock of who folds, or sweeps. It comes before all others.
pub(super) const LOCK: &str = "hashtext(current_schema()), -1";

/// What each operation appends to, in this dialect.
pub(super) fn of_kinds<O: Persist>() -> Vec<&'static [Fold]> {
    O::FOLDS.iter().zip(O::POSTGRES).map(|(same, dialect)| dialect.folds.unwrap_or(same)).collect()
}

/// The text of the function; nothing, where there is nothing to fold. It takes this lock, if there is one, as operations do that are
/// not applied alone.
pub(super) fn function<O: Persist>(alone: Option<&str>) -> String {
    let mut folds = String::new();
    for fold in distinct(&of_kinds::<O>()) {
        let find = sweep::over(
            fold.rule.find,
            "sweep (now, horizon, most) AS (SELECT eitherway_now, eitherway_now, $2)",
        );
        let _ = writeln!(
            folds,
            "    WHEN '{}' THEN
        SELECT count(*), array_agg(DISTINCT f.key) INTO eitherway_rows, eitherway_gone FROM (\n{find}) f (key);
        IF eitherway_rows > 0 THEN",
            fold.name
        );
        for statement in fold.rule.remove {
            let statement = sweep::over(
                statement,
                "gone (key) AS (SELECT unnest(eitherway_gone)),
                 sweep (now, horizon) AS (SELECT eitherway_now, eitherway_now)",
            );
            let _ = writeln!(folds, "            {};", statement.trim_end());
        }
        folds.push_str("        END IF;\n");
    }
    if folds.is_empty() {
        return String::new();
    }
    let alone =
        alone.map(|lock| format!("    PERFORM pg_advisory_xact_lock_shared({lock});")).unwrap_or_default();
    let frame = FRAME.replace("{ALONE}", &alone).replace("{LOCK}", LOCK);
    format!(";\n{}", frame.replace("{FOLDS}", folds.trim_end()))
}
