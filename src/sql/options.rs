//! How a SQLite file is opened.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

use super::Retention;
use super::open_error::OpenError;
use crate::request::Head;
use crate::sqlite::{Synchronous, connect, files};

/// How to open a SQLite database.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    pub(super) path: PathBuf,
    /// How durable a commit is.
    pub synchronous: Synchronous,
    /// How long an operation waits for a lock that another connection holds before it fails as `busy`.
    pub busy_timeout: Duration,
    /// How many writes may wait; more are refused as `overloaded`.
    pub queue: usize,
    /// Connections for reading.
    pub readers: u32,
    /// Whether a missing file is created.
    pub create: bool,
    /// Whether a file that another program has made, and that has none of our tables, is brought to our schema.
    pub take_over: bool,
    /// Who may read and write a new file, and what lies beside it: its owner alone, 0600. On Unix.
    pub file_mode: u32,
    /// How long what is kept, if what is old is to be removed.
    pub retention: Option<Retention>,
    /// How far in the future something may claim to have happened; what claims more is refused. A service takes what its
    /// database takes.
    pub future_tolerance: Duration,
    /// How long ago something may claim to have happened, likewise.
    pub past_tolerance: Duration,
    /// The most bytes of an answer that is a list: of a longer one the oldest entries are left out. 1 MB, so that it is the
    /// same over NATS.
    pub answer_bytes: usize,
    /// Whether the clock is right at the opening, whatever the file or a server knows of the time: an operator's word. It
    /// is of that moment, and not of later leaps.
    pub trust_clock: bool,
}

impl SqliteOptions {
    /// The usual options for a `sqlite:` address (`sqlite://shop.db`, `sqlite:///var/lib/shop.db`) or a path.
    ///
    /// # Errors
    /// When the address is not SQLite's, or means a database in memory: two connections would see two of them.
    pub fn new(url: &str) -> Result<Self, OpenError> {
        let refuse = |why: &str| Err(OpenError::Address(url.to_owned(), why.to_owned()));
        let path = match url.split_once(':') {
            Some(("sqlite", rest)) => rest.strip_prefix("//").unwrap_or(rest),
            Some((scheme, _)) if scheme.len() > 1 && url.contains("://") => {
                return refuse("only sqlite:// addresses are served");
            }
            _ => url,
        };
        if path.contains('?') {
            return refuse("nothing may follow the file's name");
        }
        if path.is_empty() || path == ":memory:" || path.ends_with(['/', '.']) {
            return refuse("name a file");
        }
        Ok(Self {
            path: PathBuf::from(path),
            synchronous: Synchronous::default(),
            busy_timeout: Duration::from_millis(400),
            queue: 4096,
            readers: 4,
            create: true,
            take_over: true,
            file_mode: files::PRIVATE,
            retention: Some(Retention::default()),
            future_tolerance: Head::AHEAD,
            past_tolerance: Head::BEHIND,
            answer_bytes: crate::answer::MOST,
            trust_clock: false,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same options for a file at this path.
    pub(super) fn at(&self, path: &Path) -> Self {
        Self { path: path.to_owned(), ..self.clone() }
    }

    /// The file beside it, by whose lock processes agree who migrates.
    pub(super) fn lock_path(&self) -> PathBuf {
        self.beside(".lock")
    }

    /// The file whose locks decide which process writes next. It is not the lock file: a process that hangs while it waits
    /// for its turn to write does not keep others from starting.
    pub(super) fn turn_path(&self) -> PathBuf {
        self.beside(".turn")
    }

    pub(super) fn beside(&self, ending: &str) -> PathBuf {
        files::beside(&self.path, ending)
    }

    /// For reading: it leaves the file as it is, its journal too.
    pub(super) fn reading(&self) -> SqliteConnectOptions {
        // An answer is one row.
        connect::reading(&self.path, self.busy_timeout).row_buffer_size(4)
    }

    pub(super) fn connect(&self) -> SqliteConnectOptions {
        self.as_it_is().journal_mode(SqliteJournalMode::Wal)
    }

    /// For writing, in the journal mode that the file has.
    pub(super) fn as_it_is(&self) -> SqliteConnectOptions {
        connect::writing(&self.path, self.busy_timeout, self.synchronous)
            // SQLite's thread must not wait for us in the middle of a transaction.
            .row_buffer_size(1024)
            // A checkpoint syncs the file; at the default of 1000 pages that is the tail of the latency. 32 MiB of log,
            // most of which is moved beside the writer: see `checkpoint`.
            .pragma("wal_autocheckpoint", "8000")
            // A log that a reader has made longer than that is cut when it begins anew.
            .pragma("journal_size_limit", "33554432")
    }
}

impl FromStr for SqliteOptions {
    type Err = OpenError;

    fn from_str(url: &str) -> Result<Self, OpenError> {
        Self::new(url)
    }
}
