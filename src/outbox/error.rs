//! What goes wrong with an outbox.

use std::path::{Path, PathBuf};

use crate::error::{Cause, Code};
use crate::hints::{hints, option};
use crate::namespace::Namespace;
use crate::sqlite::codes::{BUSY, CANTOPEN, CORRUPT, FULL, IOERR, NOTADB, READONLY, primary};
use crate::sqlite::limit;

/// Why an outbox could not be opened. The file is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// Another process has it open.
    #[error(
        "the outbox {path} is held by another process: an outbox has one holder at a time, which has the lock of \
         {path}.lock. Stop the other one (fuser {path}.lock), or name another file with {outbox}",
        path = path.display(),
        outbox = option("outbox")
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// There is none.
    #[error("there is no outbox {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file, or the lock beside it, cannot be opened.
    #[error("cannot open the outbox {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: std::io::Error,
    },
    /// A SQLite file of another program.
    #[error("{} is a database, but no outbox; name another file with {}", path.display(), option("outbox"))]
    Another {
        /// The file.
        path: PathBuf,
    },
    /// It is kept for another namespace.
    #[error(
        "the outbox {} is kept for {}, and not for {}: what waits in it would be applied to another database. Name another \
         file with --outbox",
        path.display(), kept.words(), wanted.words()
    )]
    Namespace {
        /// The file.
        path: PathBuf,
        /// Whose events it holds.
        kept: Namespace,
        /// Whose it was opened for.
        wanted: Namespace,
    },
    /// The file was written by a newer program.
    #[error(
        "the outbox {} is newer than this program: use a newer {}, or let that one replay what waits in it before ({}). The file is \
         as it was",
        path.display(), hints().program, hints().outbox
    )]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read to its end.
    #[error(
        "the outbox {path} is damaged, or is no outbox ({why}). It was left as it is: move it away, with what lies \
         beside it ({path}-wal), to begin an empty one; `sqlite3 {path} .recover` may bring back what is in it",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How it shows.
        why: String,
    },
    /// SQLite says no, for another reason.
    #[error("cannot open the outbox {}: {error}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: sqlx::Error,
    },
}

impl OutboxError {
    pub(super) fn of_sqlite(path: &Path, error: sqlx::Error) -> Self {
        let path = path.to_owned();
        match primary(&error) {
            Some(CORRUPT | NOTADB) => Self::Damaged { path, why: error.to_string() },
            _ => Self::Sqlite { path, error },
        }
    }
}

/// The cause that an error of the open file stands for.
pub(super) fn cause(path: &Path, error: &sqlx::Error) -> Cause {
    let (code, what) = match primary(error) {
        Some(BUSY) => (Code::BUSY, "is locked by another program"),
        Some(FULL) => (Code::STORAGE, "has no room on its disk"),
        Some(READONLY) => (Code::STORAGE, "cannot be written"),
        Some(IOERR | CANTOPEN) => (Code::STORAGE, "is on a disk that fails"),
        Some(CORRUPT | NOTADB) => (Code::STORAGE, "is damaged"),
        None if limit::is_lost(error) => (Code::DATABASE, "does not answer in time, as on a disk that hangs"),
        _ => (Code::DATABASE, "fails"),
    };
    Cause::new(code, format!("the outbox {} {what}: {error}", path.display()))
}
