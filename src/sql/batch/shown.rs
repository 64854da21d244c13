//! What runs, for benches and tests that look at it from outside.

use super::once::Once;
use super::rows::Rows;
use super::strings::{Part, Strings};
use crate::operation::Persist;
use crate::request::Request;
use crate::sql::reads::QuerySql;
use crate::sql::{audit, sweep};
use crate::store::queue::Write;
use crate::store::retention;

/// The transaction in which a batch of requests is applied, if all of them are new. Shown for benches that run it without the
/// store; it may change in any version. A single event is one statement in the store: see [`alone`].
#[derive(Debug)]
pub struct BatchShown {
    /// In the order in which they run, from `BEGIN` to `COMMIT`. Where all requests are claims, the store sends the last one
    /// apart, or `ROLLBACK` if they have found nothing.
    pub statements: Vec<StatementShown>,
    /// The number of the batch, `$1`.
    pub number: i64,
    /// The time in unix milliseconds, `$2`.
    pub now: i64,
    /// The most bytes of an answer, `$3`.
    pub answer_bytes: i64,
    /// JSON, from `$4` on: for each kind of operation its rows of the ledger, and its payloads. A statement names those that it
    /// needs.
    pub rows: Vec<String>,
}

/// One statement of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementShown {
    /// The operation and the purpose, such as `message_log, statement 1`; the number is that in the operation's list.
    pub title: String,
    /// With its semicolon.
    pub sql: String,
}

impl BatchShown {
    /// The batch of these requests, with this number.
    #[must_use]
    pub fn of<O: Persist>(requests: &[Request<O>], number: i64, now: i64) -> Self {
        let most = crate::answer::MOST;
        let write = |request: &Request<O>| Write::new(request, request.op.index(), most).ok();
        let writes: Vec<Write> = requests.iter().filter_map(write).collect();
        let rows = Rows::of_writes(O::SPECS.len(), writes.iter());
        let mut strings = Strings::of::<O>();
        let joined = match (requests, rows.kinds()) {
            ([_], [kind]) => strings.single(*kind),
            (_, kinds) => strings.transaction(kinds).swap_remove(0),
        };
        let begins = std::iter::once(0).chain(joined.statements.iter().map(|part| part.end));
        let statement = |(begin, part): (usize, &Part)| StatementShown {
            title: part.title.clone(),
            sql: joined.sql[begin..part.end].to_owned(),
        };
        let of_kind = |kind: &usize| {
            let rows = rows.of(*kind);
            [rows.ledger.to_string(), rows.payloads.to_string()]
        };
        let of_store = strings.only_claims(rows.kinds()).then(|| StatementShown {
            title: "commit".to_owned(),
            sql: format!("{};\n", strings.commit().sql),
        });
        Self {
            statements: begins.zip(&joined.statements).map(statement).chain(of_store).collect(),
            number,
            now,
            answer_bytes: i64::try_from(most).unwrap_or(i64::MAX),
            rows: rows.kinds().iter().flat_map(of_kind).collect(),
        }
    }
}

/// What each operation runs alone: the string of its transaction, or its query.
#[must_use]
pub fn texts<O: Persist>() -> Vec<(&'static str, String)> {
    let mut strings = Strings::of::<O>();
    let mut text = |(kind, question): (usize, QuerySql)| {
        let spec = &O::SPECS[kind];
        let writes = spec.writes().then(|| strings.transaction(&[kind])[0].sql.to_string());
        (spec.name, writes.unwrap_or_else(|| question.alone.to_string()))
    };
    audit::questions::<O>().enumerate().map(&mut text).collect()
}

/// What a single event is applied by: of each kind that has it the name, what makes its view on a connection, and the statement.
#[must_use]
pub fn alone<O: Persist>() -> Vec<(&'static str, String, String)> {
    let once = Once::of::<O>();
    let text = |(kind, create, insert): (usize, &str, &str)| {
        (O::SPECS[kind].name, create.to_owned(), insert.to_owned())
    };
    once.texts().map(text).collect()
}

/// What each sweep of these operations runs: the string that finds, and the one that removes.
#[must_use]
pub fn sweep_texts<O: Persist>() -> Vec<(String, String)> {
    let sweeps = retention::sweeps::<O>();
    let both = sweeps.flat_map(|sweep| {
        let name = sweep.name;
        [
            (format!("{name} found"), sweep::finding(sweep)),
            (format!("{name} removed"), super::removing(sweep)),
        ]
    });
    both.collect()
}
