//! How a file is connected to.

use std::path::Path;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};

/// How durable a commit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Survives the end of the process; a power cut may take the last commits.
    #[default]
    Normal,
    /// Survives a power cut; several times slower.
    Full,
}

/// For reading: it leaves the file as it is, its journal too.
pub(crate) fn reading(path: &Path, busy_timeout: Duration) -> SqliteConnectOptions {
    to(path, busy_timeout).read_only(true)
}

/// For writing, in the journal mode that the file has.
pub(crate) fn writing(path: &Path, busy_timeout: Duration, synchronous: Synchronous) -> SqliteConnectOptions {
    to(path, busy_timeout).synchronous(match synchronous {
        Synchronous::Normal => SqliteSynchronous::Normal,
        Synchronous::Full => SqliteSynchronous::Full,
    })
}

/// Creates no file: SQLite would create one that every user may read ([`files`](super::files) does that).
fn to(path: &Path, busy_timeout: Duration) -> SqliteConnectOptions {
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
    options.busy_timeout(busy_timeout).disable_statement_logging()
}

/// A new file with a log, for tests.
#[cfg(test)]
pub(super) async fn new(path: &Path) -> sqlx::SqliteConnection {
    let options = writing(path, Duration::from_secs(1), Synchronous::Normal).create_if_missing(true);
    options.journal_mode(sqlx::sqlite::SqliteJournalMode::Wal).connect().await.expect("open")
}
