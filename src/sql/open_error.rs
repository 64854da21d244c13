//! Why a database could not be opened.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::migrate::MigrateError;

use super::error;

use crate::hints::{hints, option};
use crate::namespace::Namespace;

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The address is not one.
    #[error("database address {0:?}: {1}")]
    Address(String, String),
    /// The file, or the lock beside it, cannot be opened.
    #[error("cannot open {}: {error}{}", path.display(), advice(error))]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: std::io::Error,
    },
    /// Another process has the lock beside the file, and keeps it.
    #[error(
        "another process{by} has held the lock {path} for more than {waited:?}, by which processes agree who opens a \
         database: one that is starting hangs, or another program has taken it, or many start at once. Find it (fuser \
         {path}) and end it, then try again",
        path = path.display()
    )]
    Locked {
        /// The lock's file.
        path: PathBuf,
        /// The process that has the lock, where the system tells it: empty, or ` (process 123, name)`.
        by: String,
        /// For how long it, or others in turn, had it.
        waited: Duration,
    },
    /// The file is gone, and what was new in it lies beside it.
    #[error(
        "the database {path} is empty or gone, and its log {path}-wal lies beside it: a new database would throw away \
         what is in there. Put the file back, or remove {path}-wal to begin with an empty one",
        path = path.display()
    )]
    LogAlone {
        /// The file.
        path: PathBuf,
    },
    /// A statement of an operation, a migration, or a trigger of the file is refused.
    #[error("{0}")]
    Unsound(super::Unsound),
    /// The file was exchanged in the moment of opening.
    #[error("the database {} was deleted or replaced while it was being opened; try again", path.display())]
    Exchanged {
        /// The file.
        path: PathBuf,
    },
    /// SQLite says no.
    #[error("cannot open the database {}: {error}{}", path.display(), sqlite_advice(error))]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: sqlx::Error,
    },
    /// The file, or what SQLite keeps beside it, cannot be written.
    #[error(
        "cannot write to the database {}: it, its -wal and its -shm file and their folder must be writable for this \
         user. Run this as the file's owner, or make the folder writable",
        path.display()
    )]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// Another program holds the file's lock.
    #[error(
        "cannot open the database {}: it is locked. Another program is writing to it: stop that one, or wait until it is done, and \
         start again. The file is as it was",
        path.display()
    )]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file would be taken over, and another program has it open.
    #[error(
        "cannot take over the database {}: {by} has it open, and what another program writes to it afterwards does not count. \
         Stop the Python bot and its database service, and whatever else may write here, and start again. The file is as it was",
        path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
        /// The processes that have it open.
        by: String,
    },
    /// The file was written by a newer program.
    #[error(
        "the database {} is newer than this program (it has the change of schema {version}): use a newer {}, or go back to a \
         backup of before with {}. The file is as it was",
        path.display(), hints().program, hints().restore
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The change that this program does not know.
        version: i64,
    },
    /// The file has not been opened by this program for writing yet.
    #[error("the database {} is not of this program's schema yet; {} brings it there", path.display(), hints().migrate)]
    Older {
        /// The file.
        path: PathBuf,
    },
    /// A table is not there that every file of this schema has.
    #[error(
        "the database {} lacks the table {table}: another program has removed it. Restore a backup of the file", path.display()
    )]
    Lacks {
        /// The file.
        path: PathBuf,
        /// The table.
        table: String,
    },
    /// The schema holds the database of another namespace.
    #[error(
        "the schema {schema} on {server} was made for {}, and not for {}: name that one ({}), or another schema (?schema=NAME in \
         the address)",
        kept.words(), wanted.words(), option("namespace")
    )]
    Namespace {
        /// The address of the server, without a password.
        server: String,
        /// The schema.
        schema: String,
        /// Whose it is.
        kept: Namespace,
        /// Whose it was opened as.
        wanted: Namespace,
    },
    /// The server of the database says no, or there is none.
    #[error("cannot open the database {server}: {cause}")]
    Server {
        /// Its address, without a password.
        server: String,
        /// Why, and what to do.
        cause: String,
    },
    /// A change of schema failed; the file is as it was before the first one of this start.
    #[error("cannot migrate the database {}: {error}. The file is as it was", path.display())]
    Migrate {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: MigrateError,
    },
}

/// What to do about a file that this user may not open or create.
const OWNER: &str = ". Run this as the file's owner, or make the folder writable";

fn advice(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => OWNER,
        _ => "",
    }
}

fn sqlite_advice(error: &sqlx::Error) -> &'static str {
    if error::is_unopenable(error) { OWNER } else { "" }
}

impl OpenError {
    /// What an error of SQLite's means at the opening of a file.
    pub(super) fn of(path: &Path, error: sqlx::Error) -> Self {
        let path = path.to_owned();
        if let Some(table) = error::missing_table(&error) {
            return Self::Lacks { path, table };
        }
        match error {
            error if error::is_busy(&error) => Self::Busy { path },
            error if error::is_read_only(&error) => Self::ReadOnly { path },
            error => Self::Sqlite { path, error },
        }
    }

    /// Whether there is more to say of it than that SQLite says no.
    pub(super) fn has_a_name(error: &sqlx::Error) -> bool {
        error::is_busy(error) || error::is_read_only(error)
    }
}
