//! What an operation says to PostgreSQL where that is not what it says to SQLite.

use super::{Fold, Invariant, RetentionRule};

/// Which rows an operation shares with others, and so which writers wait for each other.
///
/// PostgreSQL runs the transactions of several writers at the same time. SQLite does not, so what is right there is right
/// here under [`All`](Self::All).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keys {
    /// Any row: while a transaction has such operations, no other one with keys runs.
    #[default]
    All,
    /// The rows of some keys: a `SELECT` of one column of text over `new`. Transactions with the same key come one after the
    /// other. A key is a name, not a row: it may stand for rows that do not exist yet.
    Of(&'static str),
    /// Any row, and that of operations with [`Own`](Self::Own) rows as well: while a transaction has such operations, no other one
    /// runs, and nothing is folded or removed. All writers wait for it, so it is for what is rare.
    Alone,
    /// Rows of its own only, which no other operation changes: it waits for none. So does a [claim](super::Spec::claim) that takes
    /// only rows that are free at that moment (`FOR UPDATE SKIP LOCKED`): of a batch, claims come last.
    Own,
}

/// What an operation says to PostgreSQL where that is not what it says to SQLite. [`SAME`](Self::SAME) is a whole one.
///
/// The texts are over the same row sources, see [`Definition::STATEMENTS`](super::Definition::STATEMENTS). `op` is of type
/// `jsonb`, `id` and the keys of a sweep are `text`, times `bigint`; a number of the payload is
/// `CAST(op ->> 'count' AS bigint)`.
///
/// ```
/// use eitherway::operation::{Definition, Dialect, Done, Keys, Spec};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Serialize, Deserialize)]
/// # pub struct Count { name: String, by: i64 }
///
/// impl Definition for Count {
///     type Answer = Done;
///     const SPEC: Spec = Spec::event("count", "tally.count");
///     const STATEMENTS: &'static [&'static str] = &[
///         "INSERT INTO tally (name, total) SELECT op ->> 'name', sum(op ->> 'by') FROM new WHERE true GROUP BY 1
///          ON CONFLICT (name) DO UPDATE SET total = total + excluded.total",
///     ];
///     const POSTGRES: Dialect = Dialect::SAME
///         .statements(&[
///             "INSERT INTO tally AS t (name, total)
///              SELECT op ->> 'name', sum(CAST(op ->> 'by' AS bigint)) FROM new GROUP BY 1 ORDER BY 1
///              ON CONFLICT (name) DO UPDATE SET total = t.total + excluded.total",
///         ])
///         .keys(Keys::Of("SELECT op ->> 'name' FROM new"));
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(feature = "postgres"), allow(dead_code))]
pub struct Dialect {
    pub(crate) statements: Option<&'static [&'static str]>,
    pub(crate) answer: Option<&'static str>,
    pub(crate) folds: Option<&'static [Fold]>,
    pub(crate) sweeps: Option<&'static [RetentionRule]>,
    pub(crate) checks: Option<&'static [Invariant]>,
    pub(crate) keys: Keys,
}

impl Dialect {
    /// Nothing that differs, and [`Keys::All`].
    pub const SAME: Self =
        Self { statements: None, answer: None, folds: None, sweeps: None, checks: None, keys: Keys::All };

    /// With these statements. As on SQLite they run once for all rows of `new`. A trigger for each row, which on SQLite runs
    /// after its row, runs behind all of them here, and sees them all.
    #[must_use]
    pub const fn statements(self, statements: &'static [&'static str]) -> Self {
        Self { statements: Some(statements), ..self }
    }

    /// With this answer: JSON, or a text that is JSON.
    #[must_use]
    pub const fn answer(self, answer: &'static str) -> Self {
        Self { answer: Some(answer), ..self }
    }

    /// With these folds.
    #[must_use]
    pub const fn folds(self, folds: &'static [Fold]) -> Self {
        Self { folds: Some(folds), ..self }
    }

    /// With these sweeps, of the same names and times.
    #[must_use]
    pub const fn sweeps(self, sweeps: &'static [RetentionRule]) -> Self {
        Self { sweeps: Some(sweeps), ..self }
    }

    /// With these checks.
    #[must_use]
    pub const fn checks(self, checks: &'static [Invariant]) -> Self {
        Self { checks: Some(checks), ..self }
    }

    /// With these keys.
    #[must_use]
    pub const fn keys(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }
}
