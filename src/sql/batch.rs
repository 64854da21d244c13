//! One transaction as one string of statements with shared binds: one hop to SQLite's thread, however many
//! operations it applies.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Either, Executor, Row};
use uuid::Uuid;

use super::writer::Write;
use super::{DeadLetter, dead};
use crate::clock;
use crate::operation::{Persist, Spec};

// Parameters are `$1`, not `?1`: sqlx counts a number that a statement leaves out (`?2` without `?1`) as an argument
// of its own, and binds nothing at all to the statements behind it once its count is past the last one.

/// The ledger comes first: it decides what is new. A row marked with this batch's number was inserted by it.
const BEGIN: &str = "
    BEGIN IMMEDIATE;
    INSERT INTO ledger (id, operation, hash, occurred_at, applied_at, batch)
    SELECT r.value ->> 0, k.key, r.value ->> 3, r.value ->> 1, $3, $1
    FROM json_each($2) k CROSS JOIN json_each(k.value) r
    WHERE true
    ON CONFLICT (id) DO NOTHING;";

/// Answers that the ledger keeps, and ids that stand there for something else. The only rows of three columns.
const END: &str = "
    SELECT l.id, l.answer, l.operation <> k.key OR l.hash <> r.value ->> 3
    FROM json_each($2) k CROSS JOIN json_each(k.value) r CROSS JOIN ledger l ON l.id = r.value ->> 0
    WHERE l.answer IS NOT NULL OR l.operation <> k.key OR l.hash <> r.value ->> 3;
    COMMIT";

const BURY: &str = "
    INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
    SELECT r.value ->> 0, r.value ->> 1, r.value ->> 2, r.value ->> 3, r.value ->> 4, unhex(r.value ->> 5)
    FROM json_each($1) r";

/// What became of one operation.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// It is in the database, now or since before; its answer as JSON.
    Answer(String),
    /// Its id stands in the ledger for something else.
    IdReused,
}

/// The strings of statements, one for each set of operations that has met in a batch: SQLite spends some 10 µs on a
/// statement that finds nothing to do.
pub(super) struct Frames {
    pub(super) specs: &'static [Spec],
    statements: &'static [&'static str],
    joined: HashMap<Vec<usize>, Arc<str>>,
}

impl Frames {
    /// How many sets are kept: fewer than sqlx keeps prepared.
    const SETS: usize = 64;

    pub(super) fn of<O: Persist>() -> Self {
        Self { specs: O::SPECS, statements: O::SQLITE, joined: HashMap::new() }
    }

    /// The string for these operations; beyond [`SETS`](Self::SETS) of them, the one for all operations.
    fn join(&mut self, mut kinds: Vec<usize>) -> Arc<str> {
        let statements = self.statements;
        if self.joined.len() >= Self::SETS && !self.joined.contains_key(&kinds) {
            kinds = (0..self.specs.len()).filter(|kind| self.specs[*kind].writes()).collect();
        }
        let join = |kinds: &Vec<usize>| {
            let effects = kinds.iter().map(|kind| statements[*kind]);
            std::iter::once(BEGIN).chain(effects).chain([END]).collect::<String>().into()
        };
        Arc::clone(self.joined.entry(kinds).or_insert_with_key(join))
    }
}

/// Where the numbers of batches begin: two processes may write to one file, and must not use the same ones.
pub(super) fn first_number() -> i64 {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    i64::from_be_bytes(high.to_be_bytes())
}

/// Applies `writes` in one transaction; answers in their order.
///
/// # Errors
/// SQLite's. The transaction may still be open then.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    frames: &mut Frames,
    number: i64,
    writes: &[Write],
) -> Result<Vec<Outcome>, sqlx::Error> {
    let specs = frames.specs;
    let (kinds, json) = json(specs, writes);
    let query = sqlx::query(AssertSqlSafe(frames.join(kinds))).bind(number).bind(json).bind(clock::now());
    // Read to its end: a stream dropped early leaves the transaction open.
    let rows: Vec<SqliteRow> = connection
        .fetch_many(query)
        .try_filter_map(|step| std::future::ready(Ok(step.right_row())))
        .try_collect()
        .await?;
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
    Ok(writes.iter().map(answer).collect())
}

/// Keeps dead letters.
pub(super) async fn bury(
    connection: &mut SqliteConnection,
    letters: &[DeadLetter],
) -> Result<(), sqlx::Error> {
    let rows: Vec<_> = letters.iter().map(letter).collect();
    let json = serde_json::Value::from(rows).to_string();
    sqlx::query(BURY).bind(json).execute(connection).await.map(drop)
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
        hex
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

/// A step of a stream over several statements is a row, or the end of a statement.
trait Step {
    fn right_row(self) -> Option<SqliteRow>;
}

impl<T> Step for Either<T, SqliteRow> {
    fn right_row(self) -> Option<SqliteRow> {
        match self {
            Either::Left(_) => None,
            Either::Right(row) => Some(row),
        }
    }
}
