//! The string of statements that the writer runs, and the JSON that it binds.

use eitherway::Request;
use rosey::op::Op;

/// The largest batch of the writer; equal to its `MOST`.
pub(crate) const MOST: usize = 512;

/// The string for these requests.
pub(crate) fn string(requests: &[Request<Op>]) -> String {
    eitherway::__private::shown::transaction_of(requests)
}

/// What it binds from `$4` on.
pub(crate) fn binds(requests: &[Request<Op>]) -> Vec<String> {
    eitherway::__private::shown::binds_of(requests)
}
