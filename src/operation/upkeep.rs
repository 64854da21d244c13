//! What a database does by itself: folding what was appended, removing what is old, and checking that it is right.

use std::time::Duration;

/// Rows that are kept for a time only.
///
/// A sweep finds and removes in two steps, so that the long one holds no lock: `find` runs on a connection that can
/// only read, `remove` in short transactions of the writer, over some of the keys at a time. Another process may
/// sweep at the same time: `remove` takes what is still there.
#[derive(Clone, Copy, Debug)]
pub struct RetentionRule {
    /// The name under which its time is set. Several sweeps may share one.
    pub name: &'static str,
    /// How long rows are kept by default.
    pub keep: Duration,
    /// One `SELECT` of one column, the keys of rows that are too old, over `sweep (now, horizon, most)`: at most `most`
    /// of them, of a time before `horizon` (unix milliseconds, as `now`). `known (id)` are the ids of the operations that
    /// may still come again.
    pub find: &'static str,
    /// Statements that remove the rows whose keys are in `gone (key)`, and add to a baseline what is derived from them;
    /// `sweep` and `known` as above. The last one changes something if, and only if, something was removed.
    pub remove: &'static [&'static str],
    /// How many keys are removed in one transaction. Choose it so that one takes a few milliseconds.
    pub batch_size: usize,
}

impl RetentionRule {
    /// Rows that are kept for this many hours.
    #[must_use]
    pub const fn hours(
        name: &'static str,
        hours: u64,
        find: &'static str,
        remove: &'static [&'static str],
    ) -> Self {
        Self { name, keep: Duration::from_secs(hours * 3600), find, remove, batch_size: 200 }
    }

    /// The same with this many keys in a transaction.
    #[must_use]
    pub const fn batch_size(self, batch_size: usize) -> Self {
        Self { batch_size, ..self }
    }
}

/// Rows that operations only append, and how they get into the rows that are derived from them.
///
/// Many writers can append at the same time without waiting for each other, which no derived row lets them do. One process at a
/// time folds, in portions, while something waits; queries read a view that adds what waits, and so are exact before and after
/// each fold. Every operation that appends to the rows names the fold.
///
/// The sources are those of a [`RetentionRule`]: `find` is one `SELECT` of one column over `sweep (now, horizon, most)`, the keys of
/// at most `most` rows that wait, the same one several times if need be; the statements move what has the keys in `gone (key)`.
/// All run in one transaction, and no other fold or sweep beside it. Operations go on appending meanwhile: on PostgreSQL each
/// statement sees what was committed before it began, so what is counted and what is taken away must be the same rows, by their
/// own keys or in one statement.
#[derive(Clone, Copy, Debug)]
pub struct Fold {
    /// What is folded, in messages: `a-z`, `0-9` and `_`.
    pub name: &'static str,
    pub(crate) rule: RetentionRule,
    pub(crate) is_seldom: bool,
}

impl Fold {
    /// A fold of portions of 2000 rows.
    #[must_use]
    pub const fn new(name: &'static str, find: &'static str, statements: &'static [&'static str]) -> Self {
        let rule = RetentionRule::hours("", 0, find, statements);
        Self { name, rule: rule.batch_size(2000), is_seldom: false }
    }

    /// The same with at most this many rows in a transaction. Choose it so that one takes some ten milliseconds.
    #[must_use]
    pub const fn portion(self, rows: usize) -> Self {
        Self { rule: self.rule.batch_size(rows), ..self }
    }

    /// The same, but every ten seconds only while much is appended: for rows in which another fold gathers what waits by its
    /// key, so that a derived row is written once for many of them.
    #[must_use]
    pub const fn seldom(self) -> Self {
        Self { is_seldom: true, ..self }
    }
}

/// What a table must hold, worked out again from what it is derived from.
#[derive(Clone, Copy, Debug)]
pub struct Invariant {
    /// The name of what is checked, usually the table.
    pub name: &'static str,
    /// One `SELECT` of four columns: what it is about (the row's key), which column, the value found, the value
    /// expected. Rows in which the last two are the same are no finding. It has no parameters. `applied (id, at, answer)`
    /// are the requests of the operation that were applied and may still come again.
    pub sql: &'static str,
}

impl Invariant {
    /// A check of this name, by this query.
    #[must_use]
    pub const fn new(name: &'static str, sql: &'static str) -> Self {
        Self { name, sql }
    }
}
