//! The transaction that the writer runs, and the JSON that it binds.

use eitherway::__private::shown::BatchShown;
use eitherway::Request;
use rosey::op::Op;

/// The largest batch of the writer; equal to its `MOST`.
pub(crate) const MOST: usize = 512;

/// The transaction of these requests; its numbers are bound elsewhere.
pub(crate) fn batch(requests: &[Request<Op>]) -> BatchShown {
    BatchShown::of(requests, 0, 0)
}

/// The string for these requests.
pub(crate) fn string(requests: &[Request<Op>]) -> String {
    batch(requests).statements.into_iter().map(|statement| statement.sql).collect()
}

/// What it binds from `$4` on.
pub(crate) fn binds(requests: &[Request<Op>]) -> Vec<String> {
    batch(requests).rows
}
