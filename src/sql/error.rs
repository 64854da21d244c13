//! What an error of SQLite means.

use std::borrow::Cow;

use crate::error::{Cause, Code};
use crate::sqlite::codes::{
    BUSY, CANTOPEN, CONSTRAINT, ERROR, FULL, IOERR, LOCKED, MISMATCH, PROTOCOL, RANGE, READONLY, TOOBIG,
    primary,
};
use crate::sqlite::limit;

/// What SQLite calls an error without a code of its own that only values can cause.
const OF_VALUES: [&str; 3] = ["malformed JSON", "integer overflow", "string or blob too big"];

/// The cause that an error stands for: what is the environment's fault may be tried again, what is the data's
/// never.
pub(crate) fn cause(error: &sqlx::Error) -> Cause {
    if limit::is_lost(error) {
        return silent();
    }
    let (code, advice) = match primary(error) {
        Some(BUSY | LOCKED | PROTOCOL) => (Code::BUSY, "another process or connection holds the database"),
        Some(FULL) => (Code::STORAGE, "the disk or the database is full"),
        Some(READONLY) => (Code::STORAGE, "the database cannot be written"),
        Some(IOERR | CANTOPEN) => (Code::STORAGE, "the disk fails"),
        Some(CONSTRAINT | TOOBIG | MISMATCH | RANGE) => (Code::REFUSED, "the database refuses the values"),
        Some(ERROR) if OF_VALUES.iter().any(|words| error.to_string().contains(words)) => {
            (Code::REFUSED, "the database refuses the values")
        }
        // A table that is missing is no fault of the data.
        _ => (Code::DATABASE, "SQLite reports an error"),
    };
    Cause::new(code, Cow::Owned(format!("{advice}: {error}")))
}

/// The same for a transaction that writes: it may have been committed where nothing came back.
pub(super) fn of_a_write(error: &sqlx::Error) -> Cause {
    if limit::is_lost(error) { unclear() } else { cause(error) }
}

/// The same for a statement of the framework's own, which no data makes fail.
pub(super) fn of_the_frame(error: &sqlx::Error) -> Cause {
    match of_a_write(error) {
        refused if refused.code() == Code::REFUSED => {
            Cause::new(Code::DATABASE, format!("SQLite reports an error: {error}"))
        }
        cause => cause,
    }
}

/// Whether it is the environment's fault, such as a lock or the disk: what was to be done is as good as before.
pub(super) fn is_of_the_environment(error: &sqlx::Error) -> bool {
    !matches!(primary(error), Some(ERROR | CONSTRAINT | TOOBIG | MISMATCH | RANGE))
}

/// Whether SQLite says no more than that it is an error: of a statement, or of the values that it works on.
pub(super) fn is_of_a_statement(error: &sqlx::Error) -> bool {
    primary(error) == Some(ERROR)
}

/// The refusal of what an operation's own statement cannot do with its values.
pub(super) fn refusal(error: &sqlx::Error) -> Cause {
    Cause::new(Code::REFUSED, format!("the database refuses the values: {error}"))
}

/// Whether the error comes of the data of some operation in a batch, whatever the statement is.
fn is_of_the_data(error: &sqlx::Error) -> bool {
    cause(error).code() == Code::REFUSED
}

/// Whether a connection must not be used again after this. Where a statement does not fit the tables any more, because another
/// program has changed them, sqlx panics when it takes that statement up again, and does not answer.
pub(super) fn spoils(error: &sqlx::Error) -> bool {
    limit::is_lost(error) || (primary(error) == Some(ERROR) && !is_of_the_data(error))
}

/// The table that a statement names and the file does not have.
pub(super) fn missing_table(error: &sqlx::Error) -> Option<String> {
    let message = error.as_database_error()?.message();
    let table = message.split_once("no such table: ")?.1;
    Some(table.trim_start_matches("main.").to_owned())
}

/// Whether another connection has the lock.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    matches!(primary(error), Some(BUSY | LOCKED))
}

/// Whether the file, or what lies beside it, cannot be written.
pub(super) fn is_read_only(error: &sqlx::Error) -> bool {
    primary(error) == Some(READONLY)
}

/// Whether the file, or what lies beside it, cannot be opened or created.
pub(super) fn is_unopenable(error: &sqlx::Error) -> bool {
    primary(error) == Some(CANTOPEN)
}

/// What a thread that is lost means for something that was to be read.
fn silent() -> Cause {
    Cause::new(
        Code::DATABASE,
        "SQLite's thread in this process has ended, or does not answer: a disk that hangs, as a rule",
    )
}

/// What that means for something that was to be written: perhaps it is there.
fn unclear() -> Cause {
    Cause::new(
        Code::UNANSWERED,
        "perhaps it is done, ask again: SQLite's thread in this process has ended or does not answer (the log says why), and \
         the database is opened again",
    )
}

/// It was committed, and the file was exchanged in that moment.
pub(super) fn replaced() -> Cause {
    perhaps(&"the database was replaced while this was written")
}

/// It was committed, and whether it is in the file is not known.
pub(super) fn perhaps(why: &dyn std::fmt::Display) -> Cause {
    Cause::new(Code::UNANSWERED, format!("perhaps it is done, ask again: {why}"))
}

/// The writer took it and ended without a word: perhaps after the commit.
pub(super) fn vanished() -> Cause {
    Cause::new(Code::UNANSWERED, "the database was closed before it answered")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_lost_thread_was_to_write_is_unclear_and_to_read_is_not_answered() {
        let lost = sqlx::Error::WorkerCrashed;
        assert_eq!(of_a_write(&lost).code(), Code::UNANSWERED);
        assert!(cause(&lost).to_string().contains("does not answer"));
        assert!(spoils(&lost));
    }
}
