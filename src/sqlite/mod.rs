//! SQLite as both the store and the outbox use it: opening a file, the file at its path, limits, strings of statements.

pub(crate) mod codes;
pub(crate) mod connect;
pub(crate) mod content;
pub(crate) mod database_file;
pub(crate) mod files;
pub(crate) mod limit;
pub(crate) mod names;
pub(crate) mod statements;
mod wal;

pub use connect::Synchronous;
