//! Facts about the file that are written beside the operations, each in a transaction of its own: the time that is known, the
//! services that have it open.

use crate::operation::RetentionRule;

/// Statements over one JSON value.
#[derive(Debug)]
pub(crate) struct Record {
    /// Each ended by `;`. `$1` is the value.
    pub(crate) statements: &'static str,
    pub(crate) value: String,
}

/// Something that the writer removes in a transaction of its own.
#[derive(Debug)]
pub(crate) struct Removal {
    pub(crate) sweep: &'static RetentionRule,
    /// A JSON array.
    pub(crate) keys: String,
    pub(crate) horizon: i64,
    pub(crate) now: i64,
}
