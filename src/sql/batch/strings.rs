//! The strings of statements that a batch runs, put together once from constants.

use std::collections::HashMap;
use std::sync::Arc;

use crate::operation::{Persist, Spec};
use crate::store::text::Statement;

// Parameters are `$1`, not `?1`: sqlx counts a number that a statement leaves out (`?2` without `?1`) as an argument
// of its own, and binds nothing at all to the statements behind it once its count is past the last one.
//
// $1 is the number of the batch, $2 the time, $3 the most bytes of a list; then, for each kind of operation in the batch,
// its rows of the ledger, `[[id, occurred_at, hash], …]`, and its payloads, `{"id": payload, …}`.

/// How many parameters stand before those of the first kind.
const SHARED: usize = 3;

/// What the host knows, for statements and answers.
pub(in crate::sql) const HOST: &str = "host (now, answer_bytes) AS (SELECT $2, $3)";

const BEGIN: &str = "BEGIN IMMEDIATE";

const COMMIT: &str = "COMMIT";

/// What SQLite says, in some more words, where none of the rows of a kind is new. The statements of that kind do not run
/// then: an operation has no effect in a transaction that brings nothing of it, whatever its statements say.
pub(super) const NOTHING_NEW: &str = "nothing new in this batch";

const ASK_NEW: &str =
    "SELECT 1 WHERE json_type('{}', iif(changes() > 0, '$', 'nothing new in this batch')) IS NULL";

/// The strings for each set of operations that has met in a batch: SQLite spends some 10 µs on a statement that finds
/// nothing to do.
pub(in crate::sql) struct Strings {
    pub(in crate::sql) specs: &'static [Spec],
    pub(super) statements: &'static [&'static [&'static str]],
    answers: &'static [&'static str],
    joined: HashMap<Vec<usize>, Arc<Joined>>,
    begin: Arc<Joined>,
    commit: Arc<Joined>,
}

/// A string for a set of operations.
#[derive(Debug, Default)]
pub(in crate::sql) struct Joined {
    pub(in crate::sql) sql: Arc<str>,
    /// The kinds, in the order of their parameters.
    pub(in crate::sql) kinds: Vec<usize>,
    /// Which of its statements insert into the ledger.
    pub(super) ledger: Vec<usize>,
    /// Which of its statements change a row of the ledger for each claim that has found something.
    pub(super) found: Vec<usize>,
    pub(super) statements: Vec<Part>,
}

/// One statement of a string.
#[derive(Debug)]
pub(super) struct Part {
    /// The operation and the purpose, such as `message_log, statement 1`.
    pub(super) title: String,
    /// The end of the statement in the string; it begins at the end of the one before.
    pub(super) end: usize,
}

impl Strings {
    /// How many sets have a string of their own: fewer than sqlx keeps prepared, with those of single kinds.
    pub(super) const SETS: usize = 64;

    pub(in crate::sql) fn of<O: Persist>() -> Self {
        let alone = |sql: &str| Arc::new(Joined { sql: sql.into(), ..Joined::default() });
        Self {
            specs: O::SPECS,
            statements: O::STATEMENTS,
            answers: O::ANSWERS,
            joined: HashMap::new(),
            begin: alone(BEGIN),
            commit: alone(COMMIT),
        }
    }

    /// Whether all of these are claims: the transaction is taken back if they find nothing, and its strings leave it open.
    pub(super) fn only_claims(&self, kinds: &[usize]) -> bool {
        !kinds.is_empty() && kinds.iter().all(|kind| self.specs[*kind].claim)
    }

    /// What a transaction of these operations runs, one hop to SQLite's thread for each string: a single one from `BEGIN` to
    /// `COMMIT`, or, beyond [`SETS`](Self::SETS) sets, one for each operation.
    pub(super) fn transaction(&mut self, kinds: &[usize]) -> Vec<Arc<Joined>> {
        let is_full = self.joined.len() >= Self::SETS;
        if let Some(joined) = self.joined.get(kinds) {
            return vec![Arc::clone(joined)];
        }
        if is_full && kinds.len() > 1 {
            let commit = (!self.only_claims(kinds)).then(|| self.commit());
            return self.apart(kinds).chain(commit).collect();
        }
        let mut text = Text::default();
        text.push("begin", BEGIN);
        for kind in kinds {
            self.write(&mut text, *kind, true);
        }
        if !self.only_claims(kinds) {
            text.push("commit", COMMIT);
        }
        let joined = Arc::new(text.finish());
        self.joined.insert(kinds.to_vec(), Arc::clone(&joined));
        vec![joined]
    }

    /// What the transaction of a single request runs, which is new or not: one statement less, in which its row of the ledger
    /// is in conflict with the one that is there.
    pub(super) fn single(&mut self, kind: usize) -> Arc<Joined> {
        let key = vec![kind, kind];
        if let Some(joined) = self.joined.get(&key) {
            return Arc::clone(joined);
        }
        let mut text = Text::default();
        text.push("begin", BEGIN);
        self.write(&mut text, kind, false);
        if !self.only_claims(&[kind]) {
            text.push("commit", COMMIT);
        }
        Arc::clone(self.joined.entry(key).or_insert(Arc::new(text.finish())))
    }

    /// `BEGIN`, and one string for each of these operations.
    pub(super) fn apart(&mut self, kinds: &[usize]) -> impl Iterator<Item = Arc<Joined>> + use<> {
        let begin = Arc::clone(&self.begin);
        let strings: Vec<_> = kinds.iter().map(|kind| self.alone(*kind)).collect();
        std::iter::once(begin).chain(strings)
    }

    pub(super) fn commit(&self) -> Arc<Joined> {
        Arc::clone(&self.commit)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.joined.len()
    }

    /// The string of one kind inside a transaction.
    fn alone(&mut self, kind: usize) -> Arc<Joined> {
        let key = vec![kind, usize::MAX];
        if let Some(joined) = self.joined.get(&key) {
            return Arc::clone(joined);
        }
        let mut text = Text::default();
        self.write(&mut text, kind, true);
        Arc::clone(self.joined.entry(key).or_insert(Arc::new(text.finish())))
    }

    /// Of one kind: its rows of the ledger, which decide what is new, what it changes, and what it answers. `several` of them
    /// may be new in part.
    fn write(&self, text: &mut Text, kind: usize, several: bool) {
        let spec = &self.specs[kind];
        let titled = |purpose: &str| format!("{}, {purpose}", spec.name);
        let (rows, payloads) = text.parameters(kind);
        let before = if spec.claim { "total_changes()" } else { "NULL" };
        text.joined.ledger.push(text.joined.statements.len());
        let ledger = format!(
            "INSERT INTO ledger (id, operation, hash, occurred_at, applied_at, batch, answer)
             SELECT r.value ->> 0, '{}', r.value ->> 2, r.value ->> 1, $2, $1, {before}
             FROM jsonb_each({rows}) r WHERE true {}",
            spec.name,
            if several { "ON CONFLICT (id) DO NOTHING" } else { "" }
        );
        text.push(titled("ledger"), &ledger);
        if several {
            text.push(titled("is it new"), ASK_NEW);
        }
        let new = format!("new (id, at, op) AS ({}), {HOST}", of_this_batch(&payloads));
        for (number, statement) in (1..).zip(self.statements[kind]) {
            // Those that cannot be read were refused when the database was opened.
            if let Ok(statement) = Statement::read(statement) {
                text.push(titled(&format!("statement {number}")), &statement.over(&new));
            }
        }
        if self.answers[kind].is_empty() {
            return;
        }
        if spec.claim {
            text.push(titled("answer"), &self.claims(kind, &payloads));
            // It has changed nothing if nothing has changed since its row was written.
            let ids = format!("SELECT r.key FROM jsonb_each({payloads}) r");
            let forgotten = format!(
                "DELETE FROM ledger WHERE batch = $1 AND id IN ({ids})
                 AND total_changes() = answer + (
                     SELECT count(*) FROM jsonb_each({payloads}) r CROSS JOIN ledger l ON l.id = r.key AND l.batch = $1)"
            );
            text.push(titled("ledger without effect"), &forgotten);
            let kept = format!("UPDATE ledger SET answer = NULL WHERE batch = $1 AND id IN ({ids})");
            text.joined.found.push(text.joined.statements.len());
            text.push(titled("ledger with effect"), &kept);
        } else {
            let answer = format!(
                "WITH asked (id, at, op) AS ({}), {HOST}, given (id, answer) AS ({}\n)
                 UPDATE ledger SET answer = json(given.answer) FROM given
                 WHERE ledger.id = given.id AND ledger.batch = $1 AND ledger.operation = '{}'
                 RETURNING id, answer",
                of_this_batch(&payloads),
                self.answers[kind],
                spec.name
            );
            text.push(titled("answer"), &answer);
        }
    }

    /// What claims are answered, those that were there before too.
    fn claims(&self, kind: usize, payloads: &str) -> String {
        format!(
            "WITH asked (id, at, op) AS (
                 SELECT l.id, l.occurred_at, r.value
                 FROM jsonb_each({payloads}) r CROSS JOIN ledger l ON l.id = r.key AND l.operation = '{}'),
             {HOST}, given (id, answer) AS ({}\n)
             SELECT id, json(answer) FROM given",
            self.specs[kind].name, self.answers[kind]
        )
    }

    /// The string that answers claims again that were there before.
    pub(super) fn again(&self, kind: usize) -> Joined {
        let mut text = Text::default();
        let (_, payloads) = text.parameters(kind);
        text.push("answer", &self.claims(kind, &payloads));
        text.finish()
    }
}

/// The rows of a kind that are new: those of which the ledger has this batch's row.
fn of_this_batch(payloads: &str) -> String {
    format!(
        "SELECT l.id, l.occurred_at, r.value
         FROM jsonb_each({payloads}) r CROSS JOIN ledger l ON l.id = r.key AND l.batch = $1"
    )
}

/// A string in the making.
#[derive(Default)]
struct Text {
    sql: String,
    joined: Joined,
}

impl Text {
    fn push(&mut self, title: impl Into<String>, statement: &str) {
        self.sql.push_str(statement);
        self.sql.push_str(";\n");
        self.joined.statements.push(Part { title: title.into(), end: self.sql.len() });
    }

    /// The parameters of one more kind: its rows, and its payloads.
    fn parameters(&mut self, kind: usize) -> (String, String) {
        let first = SHARED + 1 + 2 * self.joined.kinds.len();
        self.joined.kinds.push(kind);
        (format!("${first}"), format!("${}", first + 1))
    }

    fn finish(self) -> Joined {
        Joined { sql: self.sql.into(), ..self.joined }
    }
}
