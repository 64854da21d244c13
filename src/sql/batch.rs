//! One transaction as one string of statements with shared binds: one hop to SQLite's thread, however many
//! operations it applies.

mod known;
mod plain;
mod rows;
pub(crate) mod shown;
pub(super) mod strings;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::{DeadLetter, dead, sweep};
use crate::error::Cause;
use crate::headers::UNREAD;
use crate::operation::{ApplyFn, Persist, RetentionRule, Spec};
use crate::sqlite::limit;
use crate::sqlite::statements::run;
use crate::store::keeper::Keeper;
use crate::store::queue::Write;
use crate::store::retention::Removal;
use crate::store::writer::Outcome;
use known::{answered, known};
use rows::Rows;
use strings::{Joined, NOTHING_NEW, Strings};

/// What stands before a refusal in the ledger, in the place of an answer. No JSON begins with it.
const REFUSED: char = '!';

/// How often a batch is begun again: each time something in it was found to be in the ledger, or was refused.
const TRIES: usize = 64;

const DEAD_LETTER_INSERT: &str = "
    INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
    SELECT r.value ->> 0, r.value ->> 1, r.value ->> 2, r.value ->> 3, r.value ->> 4, unhex(r.value ->> 5)
    FROM json_each($1) r
    WHERE NOT r.value ->> 6 OR NOT EXISTS (
        SELECT 1 FROM dead_letters d
        WHERE d.id > (SELECT max(id) FROM dead_letters) - 5000 AND d.at = r.value ->> 0 AND d.subject = r.value ->> 3 AND d.headers = r.value ->> 4
            AND d.payload = unhex(r.value ->> 5))";

/// How many were removed, and until when: what is older need not be there any more.
const REMOVED: &str = "
    INSERT INTO meta (key, value) SELECT 'swept.' || $4, $2 WHERE changes() > 0
    ON CONFLICT (key) DO UPDATE SET value = max(CAST(value AS INTEGER), CAST(excluded.value AS INTEGER));
    COMMIT";

/// What became of a transaction.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// In the order of the writes.
    pub(super) outcomes: Vec<Outcome>,
    /// Kinds of operations that the ledger knew already, one for each of them.
    pub(super) repeats: Vec<usize>,
    /// How many the ledger did not know.
    pub(super) new: u64,
    /// When they were applied, as the ledger has it, in unix milliseconds.
    pub(super) at: i64,
    /// Whether the connection must not be used again: see [`spoils`](super::error::spoils).
    pub(super) spoilt: bool,
}

/// What batches are made of.
pub(super) struct BatchSql {
    pub(super) specs: &'static [Spec],
    answers: &'static [&'static str],
    applies: &'static [Option<ApplyFn>],
    pub(super) strings: Strings,
    /// What time it is.
    pub(super) keeper: Arc<Keeper>,
}

impl BatchSql {
    pub(super) fn of<O: Persist>() -> Self {
        Self {
            specs: O::SPECS,
            answers: O::ANSWERS,
            applies: O::APPLY,
            strings: Strings::of::<O>(),
            keeper: Arc::default(),
        }
    }

    /// What an operation of this kind changes.
    pub(super) fn statements(&self, kind: usize) -> &'static [&'static str] {
        self.strings.statements[kind]
    }

    /// What an operation of this kind answers; empty if it has nothing to say.
    pub(super) fn answer(&self, kind: usize) -> &'static str {
        self.answers[kind]
    }

    /// The answer of an operation of this kind that has none of its own.
    fn silence(&self, kind: usize) -> &'static str {
        let spec = &self.specs[kind];
        if spec.lists() || (self.answers[kind].is_empty() && self.applies[kind].is_none()) {
            spec.empty
        } else {
            "null"
        }
    }
}

/// Where the numbers of batches begin: two processes may write to one file, and must not use the same ones.
pub(super) fn first_number() -> i64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    i64::from_be_bytes(high.to_be_bytes())
}

/// What all statements of a batch share.
#[derive(Clone, Copy)]
struct Shared {
    number: i64,
    now: i64,
    answer_bytes: i64,
}

impl Shared {
    fn query(self, sql: &Arc<str>) -> Query<'static, Sqlite, SqliteArguments> {
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
struct Done {
    new: u64,
    answers: Vec<SqliteRow>,
    /// Of those that are applied one by one and were not there before: which, and what became of it.
    plain: Vec<(usize, Outcome)>,
    /// How many of them have failed, and left nothing.
    failed: u64,
    /// Whether one of them may have left a statement that sqlx cannot take up again.
    spoilt: bool,
}

/// Why a transaction has not been.
enum Failed {
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

/// Whether some kind of operation in the batch has brought nothing new: its statements must not run. No statement but the
/// framework's own writes to the ledger.
fn is_nothing_new(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|e| {
        e.message().contains(NOTHING_NEW) || e.message() == "UNIQUE constraint failed: ledger.id"
    })
}

/// Applies `writes` in one transaction.
///
/// # Errors
/// SQLite's. The transaction may still be open then.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    frames: &mut BatchSql,
    number: i64,
    writes: &[Write],
) -> Result<Applied, sqlx::Error> {
    // One limit for the batch: what a list leaves out is claimed by the next request.
    let answer_bytes = writes.iter().map(|write| write.answer_bytes).min().unwrap_or_default();
    let answer_bytes = i64::try_from(answer_bytes).unwrap_or(i64::MAX);
    let shared = Shared { number, now: frames.keeper.now(), answer_bytes };
    let mut outcomes: Vec<Option<Outcome>> = vec![None; writes.len()];
    let mut applied = Applied { at: shared.now, ..Applied::default() };
    for _ in 0..TRIES {
        let left: Vec<usize> = (0..writes.len()).filter(|place| outcomes[*place].is_none()).collect();
        if left.is_empty() {
            return Ok(applied.of(frames, writes, outcomes));
        }
        match transaction(connection, frames, shared, writes, &left).await {
            Ok(done) => {
                applied.new = done.new;
                applied.spoilt |= done.spoilt;
                let all_new = done.new + done.failed == left.len() as u64;
                answered(writes, &left, done, &mut outcomes)?;
                if !all_new {
                    known(connection, frames, shared, writes, &left, &mut outcomes, &mut applied).await?;
                }
                return Ok(applied.of(frames, writes, outcomes));
            }
            Err(Failed::Without(place, cause)) => {
                undo(connection).await?;
                outcomes[place] = Some(Outcome::Refused(cause));
            }
            Err(Failed::Sqlite(e)) if is_nothing_new(&e) => {
                undo(connection).await?;
                known(connection, frames, shared, writes, &left, &mut outcomes, &mut applied).await?;
            }
            Err(Failed::Sqlite(e)) => return Err(e),
        }
    }
    Err(sqlx::Error::Protocol("what the ledger knows of a batch changes all the time; try again".to_owned()))
}

impl Applied {
    /// With these outcomes; those that are not there have nothing to say.
    fn of(mut self, frames: &BatchSql, writes: &[Write], outcomes: Vec<Option<Outcome>>) -> Self {
        let silence = |write: &Write| Outcome::Answer(frames.silence(write.index).to_owned());
        let outcomes = outcomes.into_iter().zip(writes);
        self.outcomes = outcomes.map(|(outcome, write)| outcome.unwrap_or_else(|| silence(write))).collect();
        self
    }
}

/// Tries to apply those of `writes` that are `left`.
async fn transaction(
    connection: &mut SqliteConnection,
    frames: &mut BatchSql,
    shared: Shared,
    writes: &[Write],
    left: &[usize],
) -> Result<Done, Failed> {
    let plain = |place: &&usize| frames.applies[writes[**place].index].is_some();
    let one_by_one: Vec<usize> = left.iter().filter(plain).copied().collect();
    let rows =
        Rows::of_writes(frames.specs.len(), left.iter().filter(|place| !plain(place)).map(|n| &writes[*n]));
    let mut done = Done::default();
    if one_by_one.is_empty() {
        if let ([_], [kind]) = (left, rows.kinds()) {
            let single = frames.strings.single(*kind);
            done.run(connection, shared, &single, &rows).await?;
            return Ok(done);
        }
        for joined in frames.strings.transaction(rows.kinds()) {
            done.run(connection, shared, &joined, &rows).await?;
        }
        return Ok(done);
    }
    for joined in frames.strings.apart(rows.kinds()) {
        done.run(connection, shared, &joined, &rows).await?;
    }
    plain::apply(connection, frames.applies, shared, (frames.specs, writes), &one_by_one, &mut done).await?;
    done.run(connection, shared, &frames.strings.commit(), &rows).await?;
    Ok(done)
}

impl Done {
    async fn run(
        &mut self,
        connection: &mut SqliteConnection,
        shared: Shared,
        joined: &Joined,
        rows: &Rows,
    ) -> Result<(), sqlx::Error> {
        let (answers, changes) = hop(connection, shared.bind(joined, rows)).await?;
        self.new += joined.ledger.iter().filter_map(|place| changes.get(*place)).sum::<u64>();
        self.answers.extend(answers);
        Ok(())
    }
}

/// Runs a string of statements, within the limit that a string has.
async fn hop(
    connection: &mut SqliteConnection,
    query: Query<'_, Sqlite, SqliteArguments>,
) -> Result<(Vec<SqliteRow>, Vec<u64>), sqlx::Error> {
    limit::within(run(connection, query)).await
}

/// Takes a transaction back that must be begun again. If there is none any more, that is as good.
async fn undo(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    match limit::within(sqlx::query("ROLLBACK").execute(connection)).await {
        Err(e) if limit::is_lost(&e) => Err(e),
        _ => Ok(()),
    }
}

/// Keeps dead letters; returns the number of the last one, 0 if all were kept before.
pub(super) async fn keep_dead_letter(
    connection: &mut SqliteConnection,
    letters: &[DeadLetter],
) -> Result<i64, sqlx::Error> {
    let rows: Vec<_> = letters.iter().map(letter).collect();
    let json = serde_json::Value::from(rows).to_string();
    let done = sqlx::query(DEAD_LETTER_INSERT).bind(json).execute(connection).await?;
    // Where all were there already, SQLite still tells the row of an earlier insert, into whichever table.
    Ok(if done.rows_affected() > 0 { done.last_insert_rowid() } else { 0 })
}

/// The transaction of a sweep.
fn removing(sweep: &RetentionRule) -> String {
    let statements: String = sweep.remove.iter().map(|sql| sweep::over_gone(sql) + ";\n").collect();
    format!("BEGIN IMMEDIATE; {statements} SELECT changes(); {REMOVED}")
}

/// Removes what is old, in one transaction; returns how many rows, or what else the sweep counts.
pub(super) async fn remove(connection: &mut SqliteConnection, removal: &Removal) -> Result<u64, sqlx::Error> {
    let sweep = removal.sweep;
    let query = sqlx::query(AssertSqlSafe(removing(sweep)))
        .bind(&removal.keys)
        .bind(removal.horizon)
        .bind(removal.now)
        .bind(sweep.name);
    let (rows, _) = run(connection, query).await?;
    rows.last().map_or(Ok(0), |row| row.try_get::<i64, _>(0).map(i64::unsigned_abs))
}

fn letter(letter: &DeadLetter) -> serde_json::Value {
    let mut hex = String::with_capacity(letter.payload.len() * 2);
    for byte in &letter.payload {
        for nibble in [byte >> 4, byte & 15] {
            hex.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    let headers = dead::headers(letter);
    serde_json::json!([
        letter.at,
        letter.cause.code().name,
        letter.cause.to_string(),
        letter.subject,
        headers,
        hex,
        // Found in the stream, by several instances perhaps: kept once.
        letter.headers.iter().any(|(name, _)| UNREAD.is(name))
    ])
}
