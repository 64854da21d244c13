//! Primary result codes of SQLite, <https://www.sqlite.org/rescode.html>.

pub(crate) const ERROR: i32 = 1;
pub(crate) const BUSY: i32 = 5;
pub(crate) const LOCKED: i32 = 6;
pub(crate) const READONLY: i32 = 8;
pub(crate) const IOERR: i32 = 10;
pub(crate) const CORRUPT: i32 = 11;
pub(crate) const FULL: i32 = 13;
pub(crate) const CANTOPEN: i32 = 14;
pub(crate) const PROTOCOL: i32 = 15;
pub(crate) const TOOBIG: i32 = 18;
pub(crate) const CONSTRAINT: i32 = 19;
pub(crate) const MISMATCH: i32 = 20;
pub(crate) const RANGE: i32 = 25;
pub(crate) const NOTADB: i32 = 26;

/// The primary result code of an error; none if the error is not SQLite's own.
pub(crate) fn primary(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}
