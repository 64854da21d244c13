//! What a transaction is made of, and what became of it.

use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};

use super::once::Once;
use super::rows::Rows;
use super::strings::{Joined, Strings};
use crate::error::Cause;
use crate::operation::{ApplyFn, Persist, Spec};
use crate::sqlite::limit;
use crate::sqlite::statements::run;
use crate::store::call;
use crate::store::keeper::Keeper;
use crate::store::queue::Write;
use crate::store::writer::Outcome;

/// What became of a transaction.
#[derive(Debug, Default)]
pub(in crate::sql) struct Applied {
    /// In the order of the writes.
    pub(in crate::sql) outcomes: Vec<Outcome>,
    /// Kinds of operations that the ledger knew already, one for each of them.
    pub(in crate::sql) duplicates: Vec<usize>,
    /// How many the ledger did not know.
    pub(in crate::sql) new: u64,
    /// When they were applied, as the ledger has it, in unix milliseconds.
    pub(in crate::sql) at: i64,
    /// Whether the connection must not be used again: see [`spoils`](crate::sql::error::spoils).
    pub(in crate::sql) spoilt: bool,
}

/// What batches are made of.
pub(in crate::sql) struct BatchSql {
    pub(in crate::sql) specs: &'static [Spec],
    pub(super) answers: &'static [&'static str],
    silences: Vec<&'static str>,
    pub(super) applies: &'static [Option<ApplyFn>],
    pub(in crate::sql) strings: Strings,
    pub(super) once: Once,
    /// What time it is.
    pub(in crate::sql) keeper: Arc<Keeper>,
}

impl BatchSql {
    pub(in crate::sql) fn of<O: Persist>() -> Self {
        Self {
            specs: O::SPECS,
            answers: O::ANSWERS,
            silences: call::silences::<O>(),
            applies: O::APPLY,
            strings: Strings::of::<O>(),
            once: Once::of::<O>(),
            keeper: Arc::default(),
        }
    }

    /// What an operation of this kind changes.
    pub(in crate::sql) fn statements(&self, kind: usize) -> &'static [&'static str] {
        self.strings.statements[kind]
    }

    /// What an operation of this kind answers; empty if it has nothing to say.
    pub(in crate::sql) fn answer(&self, kind: usize) -> &'static str {
        self.answers[kind]
    }

    /// The answer of an operation of this kind that has none of its own.
    pub(super) fn silence(&self, kind: usize) -> &'static str {
        self.silences[kind]
    }
}

/// What all statements of a batch share.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    pub(super) number: i64,
    pub(super) now: i64,
    pub(super) answer_bytes: i64,
}

impl Shared {
    pub(super) fn query(self, sql: &Arc<str>) -> Query<'static, Sqlite, SqliteArguments> {
        sqlx::query(AssertSqlSafe(Arc::clone(sql))).bind(self.number).bind(self.now).bind(self.answer_bytes)
    }

    fn bind(self, joined: &Joined, rows: &Rows) -> Query<'static, Sqlite, SqliteArguments> {
        joined.kinds.iter().fold(self.query(&joined.sql), |query, kind| {
            let rows = rows.of(*kind);
            query.bind(Arc::clone(&rows.ledger)).bind(Arc::clone(&rows.payloads))
        })
    }
}

/// What one transaction has done.
#[derive(Default)]
pub(super) struct Done {
    pub(super) new: u64,
    /// How many claims have found something.
    pub(super) found: u64,
    pub(super) answers: Vec<SqliteRow>,
    /// Of those that are applied one by one and were not there before: which, and what became of it.
    pub(super) plain: Vec<(usize, Outcome)>,
    /// How many of them have left nothing: they have failed, or are for the next transaction.
    pub(super) absent: u64,
    /// Whether one of them may have left a statement that sqlx cannot take up again.
    pub(super) spoilt: bool,
}

/// Why a transaction has not been.
pub(super) enum Failed {
    /// All of it, for a reason of SQLite's.
    Sqlite(sqlx::Error),
    /// It must be begun again without this one.
    Without(usize, Cause),
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Done {
    /// Runs a single request, which is new or an error: its id is in the ledger already.
    pub(super) async fn once(
        &mut self,
        connection: &mut SqliteConnection,
        shared: Shared,
        statement: &Arc<str>,
        write: &Write,
    ) -> Result<(), sqlx::Error> {
        // JSON that serde wrote: always UTF-8.
        let payload = String::from_utf8_lossy(&write.payload).into_owned();
        let query = shared.query(statement).bind(write.id.to_string()).bind(write.occurred_at);
        hop(connection, query.bind(payload).bind(write.hash)).await?;
        self.new += 1;
        Ok(())
    }

    pub(super) async fn run(
        &mut self,
        connection: &mut SqliteConnection,
        shared: Shared,
        joined: &Joined,
        rows: &Rows,
    ) -> Result<(), sqlx::Error> {
        let (answers, changes) = hop(connection, shared.bind(joined, rows)).await?;
        let changed = |of: &[usize]| of.iter().filter_map(|place| changes.get(*place)).sum::<u64>();
        self.new += changed(&joined.ledger);
        self.found += changed(&joined.found);
        self.answers.extend(answers);
        Ok(())
    }
}

/// Runs a string of statements, within the limit that a string has.
pub(super) async fn hop(
    connection: &mut SqliteConnection,
    query: Query<'_, Sqlite, SqliteArguments>,
) -> Result<(Vec<SqliteRow>, Vec<u64>), sqlx::Error> {
    limit::within(run(connection, query)).await
}
