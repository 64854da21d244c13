//! What an error of SQLite means.

use std::borrow::Cow;

use crate::error::{Cause, Code};

// Primary result codes of SQLite, https://www.sqlite.org/rescode.html
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const NOMEM: i32 = 7;
const READONLY: i32 = 8;
const IOERR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANTOPEN: i32 = 14;
const PROTOCOL: i32 = 15;
const NOTADB: i32 = 26;

/// The cause that an error stands for: what is the environment's fault may be tried again, what is the data's
/// never.
pub(super) fn cause(error: &sqlx::Error) -> Cause {
    let (code, advice) = match primary(error) {
        Some(BUSY | LOCKED | PROTOCOL) => (Code::BUSY, "somebody else holds the database"),
        Some(FULL) => (Code::STORAGE, "the disk or the database is full"),
        Some(READONLY) => (Code::STORAGE, "the database cannot be written"),
        Some(IOERR | CANTOPEN) => (Code::STORAGE, "the disk fails"),
        Some(NOMEM | CORRUPT | NOTADB) | None => (Code::DATABASE, "the database fails"),
        Some(_) => (Code::REFUSED, "the database refuses the values"),
    };
    Cause::new(code, Cow::Owned(format!("{advice}: {error}")))
}

/// Whether the error comes of the data of some operation in a batch, and the rest could be applied without it.
pub(super) fn is_of_the_data(error: &sqlx::Error) -> bool {
    cause(error).code() == Code::REFUSED
}

/// The primary result code; none if the error is not SQLite's own.
fn primary(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}
