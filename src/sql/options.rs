//! How a SQLite file is opened.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};

use super::Retention;
use super::address::{is_of_libpq, shown};
use super::open_error::OpenError;
use crate::request::Head;
use crate::setters::setters;
use crate::sqlite::{Synchronous, connect, files};

/// How to open a SQLite database: a builder.
///
/// ```
/// use std::time::Duration;
///
/// use eitherway::sql::{SqliteOptions, Synchronous};
///
/// # fn main() -> Result<(), eitherway::sql::OpenError> {
/// let options = SqliteOptions::new("sqlite://shop.db")?
///     .synchronous(Synchronous::Full)
///     .busy_timeout(Duration::from_secs(1));
/// # drop(options);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    pub(super) path: PathBuf,
    pub(super) synchronous: Synchronous,
    pub(super) busy_timeout: Duration,
    pub(super) queue: usize,
    pub(super) readers: u32,
    pub(super) create: bool,
    pub(super) take_over: bool,
    pub(super) file_mode: u32,
    pub(super) retention: Option<Retention>,
    pub(super) folding: Option<Duration>,
    pub(super) future_tolerance: Duration,
    pub(super) past_tolerance: Duration,
    pub(super) answer_bytes: usize,
    pub(super) trust_clock: bool,
}

impl SqliteOptions {
    /// The usual options for a `sqlite:` address (`sqlite://shop.db`, `sqlite:///var/lib/shop.db`) or a path.
    ///
    /// # Errors
    /// When the address is not SQLite's, or means a database in memory: two connections would see two of them.
    pub fn new(url: &str) -> Result<Self, OpenError> {
        let refuse = |why: &str| Err(OpenError::Address(url.to_owned(), why.to_owned()));
        let refuse_secret = |why: &str| Err(OpenError::Address(shown(url), why.to_owned()));
        if is_of_libpq(url) {
            return refuse_secret("the form host=… of libpq is not read: write postgres://HOST/DATABASE");
        }
        let path = match url.split_once(':') {
            Some(("sqlite", rest)) => rest.strip_prefix("//").unwrap_or(rest),
            Some((scheme, _))
                if !url.contains("://")
                    && ["postgres", "postgresql"].iter().any(|own| scheme.eq_ignore_ascii_case(own)) =>
            {
                return refuse_secret("two slashes stand behind the scheme: postgres://HOST/DATABASE");
            }
            Some((scheme, _)) if scheme.len() > 1 && url.contains("://") => {
                return refuse_secret("only sqlite:// addresses are served");
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
            busy_timeout: Duration::from_millis(350),
            queue: 4096,
            readers: 4,
            create: true,
            take_over: true,
            file_mode: files::PRIVATE,
            retention: Some(Retention::default()),
            folding: Some(Duration::from_millis(100)),
            future_tolerance: Head::AHEAD,
            past_tolerance: Head::BEHIND,
            answer_bytes: crate::answer::MOST,
            trust_clock: false,
        })
    }

    setters! {
        /// How durable a commit is. Default: [`Synchronous::Normal`].
        synchronous: Synchronous,
        /// How long an operation waits for a lock that another connection holds before it fails as `busy`. Default: 350 ms.
        /// Each operation for itself, from when it was handed to the database.
        busy_timeout: Duration,
        /// How many writes may wait; more are refused as `overloaded`. Default: 4096.
        queue: usize,
        /// The number of connections for reading. Default: 4.
        readers: u32,
        /// Whether a missing file is created. Default: yes.
        create: bool,
        /// Whether a file that another program has made, and that has none of our tables, is migrated. Default: yes.
        take_over: bool,
        /// The mode of a new file and of those beside it, on Unix. Default: 0600.
        file_mode: u32,
        /// How long what operations append waits until it is folded, while much is appended; up to 20 times as long else.
        /// `None`: it is not folded here. Default: 100 ms.
        folding: Option<Duration>,
        /// Retention periods, or `None` if nothing is to be removed. Default: those of the operations.
        retention: Option<Retention>,
        /// How far in the future an operation may claim to have happened; one that claims more is refused. A service takes
        /// what its database takes. Default: [`Head::AHEAD`].
        future_tolerance: Duration,
        /// How long ago an operation may claim to have happened. Default: [`Head::BEHIND`].
        past_tolerance: Duration,
        /// The largest answer that is a list, in bytes; the oldest entries of a longer one are left out. Default: 1 MB, so
        /// that the answer is the same over NATS.
        answer_bytes: usize,
        /// Whether the clock is right at the opening, whatever the file or a server knows of the time: an operator's word. It
        /// does not cover later leaps. Default: no.
        trust_clock: bool,
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
