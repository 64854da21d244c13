//! A query as it is put to SQLite: for one question, or for many of them in one statement.

use std::sync::Arc;

use crate::sql::batch::strings::HOST;
use crate::store::text::Statement;

/// The most characters of an answer that is given together with others.
pub(super) const LONGEST: usize = 16 * 1024;

/// What only the framework's own part of a statement names: an operation's statement that says it is asked alone.
const OWN: &str = "eitherway_";

/// A query, as strings for SQLite.
#[derive(Clone, Debug)]
pub(in crate::sql) struct QuerySql {
    /// One question: `$1` is the payload, `$2` the time, `$3` the most bytes of a list, `$4` its id, `$5` when it was asked.
    /// Empty for what is no query.
    pub(in crate::sql) alone: Arc<str>,
    /// Many: `$1` is a JSON array of their payloads, `$4` the most characters of an answer. None where SQLite does not take
    /// it, as behind `LIMIT`, which can read nothing of a statement around it.
    pub(in crate::sql) together: Option<Arc<str>>,
    /// Whether all who ask it with the same payload at the same time have the same answer.
    pub(in crate::sql) is_shared: bool,
}

impl QuerySql {
    /// The strings of one question, from the `ANSWER` of an operation.
    pub(in crate::sql) fn alone(answer: &str) -> Self {
        let over = |statement: Statement<'_>| {
            statement.over(&format!("asked (id, at, op) AS (SELECT $4, $5, $1), {HOST}"))
        };
        let alone = Statement::read(answer).map(over).unwrap_or_default().into();
        Self { alone, together: None, is_shared: false }
    }

    /// The statement for many questions, if an answer with this many columns allows one; whether SQLite takes it is to be tried.
    ///
    /// Each line of what it answers is the place of a question, how many entries were left out, and the answer, if there is one.
    pub(in crate::sql) fn together(answer: &str, columns: i64) -> Option<String> {
        let statement =
            Statement::read(answer).ok().filter(|_| !answer.to_ascii_lowercase().contains(OWN))?;
        // The names around a statement are visible in it, and nothing that it may say by chance is one of them.
        let asked = statement.over(&format!("asked (id, at, op) AS (SELECT NULL, NULL, {OWN}op), {HOST}"));
        let line = match columns {
            1 => format!("coalesce('0 ' || ({asked}), '0')"),
            2 => format!(
                "coalesce((
                     WITH {OWN}answer ({OWN}json, {OWN}omitted) AS ({asked})
                     SELECT coalesce({OWN}omitted, 0) || coalesce(' ' || {OWN}json, '') FROM {OWN}answer), '0')"
            ),
            _ => return None,
        };
        Some(format!(
            "SELECT group_concat({OWN}place || ' ' || substr({line}, 1, $4), char(10))
             FROM (SELECT key AS {OWN}place, value AS {OWN}op FROM json_each($1))"
        ))
    }
}

/// An answer as JSON, if there is one, and how many entries the statement has left out.
pub(super) type AnswerRow = (Option<String>, u64);

/// The answers of this many questions; none where a question is to be asked alone. None at all where they are not what they
/// should be: an answer has a line feed in it.
pub(super) fn lines(text: &str, count: usize) -> Option<Vec<Option<AnswerRow>>> {
    let mut found = vec![None; count];
    let mut read = 0;
    for line in text.split('\n') {
        let (place, line) = line.split_once(' ')?;
        let (omitted, json) =
            line.split_once(' ').map_or((line, None), |(omitted, json)| (omitted, Some(json)));
        let (place, omitted) = (place.parse::<usize>().ok()?, omitted.parse::<i64>().ok()?);
        let whole = line.len() < LONGEST;
        *found.get_mut(place)? = whole.then(|| (json.map(str::to_owned), omitted.unsigned_abs()));
        read += 1;
    }
    (read == count).then_some(found)
}
