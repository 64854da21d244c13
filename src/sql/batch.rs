//! One transaction as one string of statements with shared binds: one hop to SQLite's thread, however many
//! operations it applies.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

use super::keeper::Keeper;
use super::retention::Removal;
use super::statements::run;
use super::writer::Write;
use super::{DeadLetter, dead};
use crate::operation::{Kind, Persist, Spec, Sweep};

// Parameters are `$1`, not `?1`: sqlx counts a number that a statement leaves out (`?2` without `?1`) as an argument
// of its own, and binds nothing at all to the statements behind it once its count is past the last one.

/// The ledger comes first: it decides what is new. A row marked with this batch's number was inserted by it.
const BEGIN: &str = "
    BEGIN IMMEDIATE;
    INSERT INTO ledger (id, operation, hash, occurred_at, applied_at, batch)
    SELECT r.value ->> 0, k.key, r.value ->> 3, r.value ->> 1, $3, $1
    FROM jsonb_each($2) k CROSS JOIN jsonb_each(k.value) r
    WHERE true
    ON CONFLICT (id) DO NOTHING;";

/// Answers that the ledger keeps, and ids that stand there for something else. The only rows of three columns. A batch
/// that answers nothing goes without: it is asked only if some of its ids were there before.
const KNOWN: &str = "
    SELECT l.id, l.answer, l.operation <> k.key OR l.hash <> r.value ->> 3
    FROM jsonb_each($2) k CROSS JOIN jsonb_each(k.value) r CROSS JOIN ledger l ON l.id = r.value ->> 0
    WHERE l.answer IS NOT NULL OR l.operation <> k.key OR l.hash <> r.value ->> 3;";

/// How many of each operation were there before, and so had no effect. The only rows of two columns beside `KNOWN`'s.
const REPEATED: &str = "
    SELECT k.key, count(*)
    FROM jsonb_each($2) k CROSS JOIN jsonb_each(k.value) r CROSS JOIN ledger l ON l.id = r.value ->> 0
    WHERE l.batch <> $1 AND l.operation = k.key AND l.hash = r.value ->> 3
    GROUP BY k.key;";

const END: &str = "
    COMMIT";

const BURY: &str = "
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

/// What became of one operation.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It is in the database, now or since before; its answer as JSON.
    Answer(String),
    /// Its id stands in the ledger for something else.
    IdReused,
}

/// What became of a transaction.
#[derive(Debug, Default)]
pub(super) struct Applied {
    /// In the order of the writes.
    pub(super) outcomes: Vec<Outcome>,
    /// Kinds of operations, and how many of them the ledger knew already.
    pub(super) repeats: Vec<(usize, u64)>,
    /// How many the ledger did not know.
    pub(super) new: u64,
    /// When they were applied, as the ledger has it, in unix milliseconds.
    pub(super) at: i64,
}

/// The strings of statements, one for each set of operations that has met in a batch: SQLite spends some 10 µs on a
/// statement that finds nothing to do.
pub(super) struct Frames {
    pub(super) specs: &'static [Spec],
    statements: &'static [&'static str],
    joined: HashMap<Vec<usize>, Arc<str>>,
    known: Arc<str>,
    repeated: Arc<str>,
    /// What time it is.
    pub(super) keeper: Arc<Keeper>,
}

impl Frames {
    /// How many sets are kept: fewer than sqlx keeps prepared.
    const SETS: usize = 64;

    pub(super) fn of<O: Persist>() -> Self {
        let known = [KNOWN, REPEATED].concat().into();
        Self {
            specs: O::SPECS,
            statements: O::SQLITE,
            joined: HashMap::new(),
            known,
            repeated: REPEATED.into(),
            keeper: Arc::default(),
        }
    }

    /// The string for these operations; beyond [`SETS`](Self::SETS) of them, the one for all operations.
    fn join(&mut self, mut kinds: Vec<usize>) -> Arc<str> {
        let statements = self.statements;
        if self.joined.len() >= Self::SETS && !self.joined.contains_key(&kinds) {
            kinds = (0..self.specs.len()).filter(|kind| self.specs[*kind].writes()).collect();
        }
        let specs = self.specs;
        let join = |kinds: &Vec<usize>| {
            let effects = kinds.iter().map(|kind| statements[*kind]);
            let known = kinds.iter().any(|kind| answers(&specs[*kind])).then_some(KNOWN);
            std::iter::once(BEGIN).chain(effects).chain(known).chain([END]).collect::<String>().into()
        };
        Arc::clone(self.joined.entry(kinds).or_insert_with_key(join))
    }
}

/// Where the numbers of batches begin: two processes may write to one file, and must not use the same ones.
pub(super) fn first_number() -> i64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    i64::from_be_bytes(high.to_be_bytes())
}

/// Applies `writes` in one transaction.
///
/// # Errors
/// SQLite's. The transaction may still be open then.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    frames: &mut Frames,
    number: i64,
    writes: &[Write],
) -> Result<Applied, sqlx::Error> {
    let specs = frames.specs;
    let (kinds, json) = json(specs, writes);
    let json = Arc::<str>::from(json);
    let asked = kinds.iter().any(|kind| answers(&specs[*kind]));
    // One limit for the batch: what a list leaves out is claimed by the next request.
    let most = writes.iter().map(|write| write.answer_bytes).min().unwrap_or_default();
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let now = frames.keeper.now();
    let query =
        |sql| sqlx::query(AssertSqlSafe(sql)).bind(number).bind(Arc::clone(&json)).bind(now).bind(most);
    let (mut rows, changes) = run(connection, query(frames.join(kinds))).await?;
    // BEGIN, and then the ledger.
    let new = changes.get(1).copied().unwrap_or_default();
    let mut repeats = Vec::new();
    if new < writes.len() as u64 {
        let counted = if asked {
            // All are answered: what cannot be counted now is no reason to take that back.
            run(connection, query(Arc::clone(&frames.repeated))).await.unwrap_or_default().0
        } else {
            let known = run(connection, query(Arc::clone(&frames.known))).await?.0;
            let (known, counted) = known.into_iter().partition(|row| row.len() > 2);
            rows = known;
            counted
        };
        for row in &counted {
            let (name, count): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
            repeats.extend(specs.iter().position(|spec| spec.name == name).zip(Some(count.unsigned_abs())));
        }
    }
    let mut outcomes = HashMap::with_capacity(rows.len());
    for row in &rows {
        let id: &str = row.try_get(0)?;
        let reused = row.len() > 2 && row.try_get(2)?;
        let outcome = if reused { Outcome::IdReused } else { Outcome::Answer(row.try_get(1)?) };
        outcomes.insert(id, outcome);
    }
    let answer = |write: &Write| {
        let silent = || Outcome::Answer(specs[write.index].empty.to_owned());
        if outcomes.is_empty() {
            silent()
        } else {
            outcomes.remove(write.id.to_string().as_str()).unwrap_or_else(silent)
        }
    };
    Ok(Applied { outcomes: writes.iter().map(answer).collect(), repeats, new, at: now })
}

/// Whether an operation has more to say than that it is done.
const fn answers(spec: &Spec) -> bool {
    matches!(spec.kind, Kind::Call)
}

/// Keeps dead letters; answers the number of the last one, 0 if all were kept before.
pub(super) async fn bury(
    connection: &mut SqliteConnection,
    letters: &[DeadLetter],
) -> Result<i64, sqlx::Error> {
    let rows: Vec<_> = letters.iter().map(letter).collect();
    let json = serde_json::Value::from(rows).to_string();
    let done = sqlx::query(BURY).bind(json).execute(connection).await?;
    // Where all were there already, SQLite still tells the row of an earlier insert, into whichever table.
    Ok(if done.rows_affected() > 0 { done.last_insert_rowid() } else { 0 })
}

/// The transaction of a sweep.
fn removing(sweep: &Sweep) -> String {
    format!("BEGIN IMMEDIATE; {} SELECT changes(); {REMOVED}", sweep.remove)
}

/// Removes what is old, in one transaction; answers how many rows, or what else the sweep counts.
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
        letter.headers.iter().any(|(name, _)| name == dead::UNREAD)
    ])
}

/// The kinds of operations in a batch, and the batch as JSON:
/// `{"operation": [[id, occurred_at, payload, hash], …], …}`.
fn json(specs: &[Spec], writes: &[Write]) -> (Vec<usize>, String) {
    let mut by_kind: Vec<Vec<&Write>> = vec![Vec::new(); specs.len()];
    for write in writes {
        by_kind[write.index].push(write);
    }
    let kinds: Vec<usize> = (0..specs.len()).filter(|kind| !by_kind[*kind].is_empty()).collect();
    let mut json = Vec::with_capacity(writes.iter().map(|w| w.payload.len() + 96).sum());
    json.push(b'{');
    for kind in &kinds {
        if json.len() > 1 {
            json.push(b',');
        }
        json.extend_from_slice(format!("\"{}\":[", specs[*kind].name).as_bytes());
        for (place, write) in by_kind[*kind].iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            let id = serde_json::Value::from(write.id.to_string());
            json.extend_from_slice(format!("{comma}[{id},{},", write.occurred_at).as_bytes());
            json.extend_from_slice(&write.payload);
            json.extend_from_slice(format!(",{}]", write.hash).as_bytes());
        }
        json.push(b']');
    }
    json.push(b'}');
    // Made of JSON that serde wrote: always UTF-8.
    (kinds, String::from_utf8(json).unwrap_or_default())
}
