//! What runs, for benches and tests that look at it from outside.

use super::rows::Rows;
use super::strings::Strings;
use crate::operation::Persist;
use crate::request::Request;
use crate::sql::{audit, sweep};
use crate::store::queue::Write;
use crate::store::retention;

fn rows_of<O: Persist>(requests: &[Request<O>]) -> Rows {
    let write = |request: &Request<O>| {
        let payload = request.op.encode().unwrap_or_default();
        Write::new(request, request.op.index(), payload, crate::answer::MOST)
    };
    let writes: Vec<Write> = requests.iter().map(write).collect();
    Rows::of_writes(O::SPECS.len(), writes.iter())
}

/// The string of one transaction of these requests.
#[must_use]
pub fn transaction_of<O: Persist>(requests: &[Request<O>]) -> String {
    Strings::of::<O>().transaction(rows_of(requests).kinds())[0].sql.to_string()
}

/// What it binds behind the number of the batch, the time and the most bytes of an answer.
#[must_use]
pub fn binds_of<O: Persist>(requests: &[Request<O>]) -> Vec<String> {
    let rows = rows_of(requests);
    let kinds = rows.kinds().iter().map(|kind| rows.of(*kind));
    kinds.flat_map(|rows| [rows.ledger.to_string(), rows.payloads.to_string()]).collect()
}

/// What each operation runs alone: the string of its transaction, or its query.
#[must_use]
pub fn texts<O: Persist>() -> Vec<(&'static str, String)> {
    let mut strings = Strings::of::<O>();
    let mut text = |(kind, question): (usize, &std::sync::Arc<str>)| {
        let spec = &O::SPECS[kind];
        let writes = spec.writes().then(|| strings.transaction(&[kind])[0].sql.to_string());
        (spec.name, writes.unwrap_or_else(|| question.to_string()))
    };
    audit::questions::<O>().iter().enumerate().map(&mut text).collect()
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
