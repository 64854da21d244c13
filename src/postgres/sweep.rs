//! The statements of sweeps on PostgreSQL.

use crate::operation::{Persist, RetentionRule};
use crate::store::retention;
use crate::store::text::Statement;

/// What may come again.
const LEDGER_IDS: &str = "known (id) AS (SELECT id FROM ledger)";

/// Until when it was removed: `$1` is the name of the sweep, `$2` its horizon.
pub(super) const REMOVED: &str = "
    INSERT INTO meta AS m (key, value) SELECT 'swept.' || $1, $2::text
    ON CONFLICT (key) DO UPDATE SET value = greatest(m.value::bigint, excluded.value::bigint)::text";

/// Takes the turn of all instances: one row, if none of them has had it for `$1` milliseconds, nor takes it at this moment.
pub(super) const TURN: &str = "
    INSERT INTO meta AS m (key, value)
    SELECT 'sweeping', floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint::text
    WHERE pg_try_advisory_xact_lock(hashtext(current_schema()), 257)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value
    WHERE excluded.value::bigint - m.value::bigint NOT BETWEEN 0 AND $1
    RETURNING value";

/// The operations' sweeps in this dialect, the ledger's first.
pub(super) fn sweeps<O: Persist>() -> Vec<&'static RetentionRule> {
    let own = O::SWEEPS.iter().zip(O::POSTGRES).flat_map(|(same, dialect)| dialect.sweeps.unwrap_or(same));
    std::iter::once(&retention::LEDGER).chain(own).collect()
}

/// The statement that answers what is old as a JSON array of keys.
pub(super) fn finding(sweep: &RetentionRule) -> String {
    format!(
        "WITH {LEDGER_IDS}, sweep (now, horizon, most) AS (SELECT $3::bigint, $2::bigint, $1::bigint), found (key) AS ({}\n)
         SELECT coalesce(json_agg(key), '[]')::text FROM found",
        sweep.find
    )
}

/// A statement that removes, over what was found: `$1` the keys, `$2` the horizon, `$3` the time.
pub(super) fn over_gone(sql: &str) -> String {
    over(
        sql,
        "gone (key) AS (SELECT jsonb_array_elements_text($1::jsonb)),
         sweep (now, horizon) AS (SELECT $3::bigint, $2::bigint)",
    )
}

/// A statement over these sources, and what may come again.
pub(super) fn over(sql: &str, sources: &str) -> String {
    // One that cannot be read was refused when the database was opened.
    Statement::read(sql)
        .map_or_else(|_| sql.to_owned(), |statement| statement.over(&format!("{LEDGER_IDS}, {sources}")))
}
