//! Opening a SQLite file: options, the lock, the connections.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, SqlitePool};

use super::Retention;
use super::error;
use super::migrate::migrate;
use tokio::time;

use crate::operation::Migration;

/// How durable a commit is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Survives the end of the process; a power cut may take the last commits.
    #[default]
    Normal,
    /// Survives a power cut; several times slower.
    Full,
}

/// How to open a SQLite database.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    path: PathBuf,
    /// How durable a commit is.
    pub synchronous: Synchronous,
    /// How long to wait for somebody else's lock before an operation fails as `busy`.
    pub busy_timeout: Duration,
    /// How many writes may wait; more are refused as `overloaded`.
    pub queue: usize,
    /// Connections for reading.
    pub readers: u32,
    /// Whether a missing file is created.
    pub create: bool,
    /// How long what is kept, if what is old is to be removed.
    pub retention: Option<Retention>,
    /// Whether the clock is right at the opening, whatever the file or a server knows of the time: an operator's word. It
    /// is of that moment, and not of later leaps.
    pub trust_clock: bool,
}

impl SqliteOptions {
    /// The usual options for a `sqlite:` address (`sqlite://rosey.db`, `sqlite:///var/lib/rosey.db`) or a path.
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
            retention: Some(Retention::default()),
            trust_clock: false,
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file beside it, by whose lock processes agree who migrates.
    pub(super) fn lock_path(&self) -> PathBuf {
        self.beside(".lock")
    }

    /// The one by whose locks they agree who writes next. Not the same: whoever hangs while he waits for his turn to
    /// write keeps nobody from starting.
    pub(super) fn turn_path(&self) -> PathBuf {
        self.beside(".turn")
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(ending);
        PathBuf::from(name)
    }

    /// For reading: it leaves the file as it is, its journal too.
    pub(super) fn reading(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .read_only(true)
            .busy_timeout(self.busy_timeout)
            // An answer is one row.
            .row_buffer_size(4)
            .disable_statement_logging()
    }

    fn connect(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .create_if_missing(self.create)
            .journal_mode(SqliteJournalMode::Wal)
            // SQLite's thread must not wait for us in the middle of a transaction.
            .row_buffer_size(1024)
            .synchronous(match self.synchronous {
                Synchronous::Normal => SqliteSynchronous::Normal,
                Synchronous::Full => SqliteSynchronous::Full,
            })
            .busy_timeout(self.busy_timeout)
            // A checkpoint syncs the file; at the default of 1000 pages that is the tail of the latency. 32 MiB of log,
            // most of which is moved beside the writer: see `checkpoint`.
            .pragma("wal_autocheckpoint", "8000")
            .disable_statement_logging()
    }
}

impl FromStr for SqliteOptions {
    type Err = OpenError;

    fn from_str(url: &str) -> Result<Self, OpenError> {
        Self::new(url)
    }
}

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The address is not one.
    #[error("database address {0:?}: {1}")]
    Address(String, String),
    /// The file, or the lock beside it, cannot be opened.
    #[error("cannot open {}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// SQLite says no.
    #[error("cannot open the database {}: {error}", path.display())]
    Sqlite {
        /// Which.
        path: PathBuf,
        /// Why.
        error: sqlx::Error,
    },
    /// The file, or what SQLite keeps beside it, cannot be written.
    #[error(
        "cannot write to the database {}: it, its -wal and its -shm file and their folder must be writable for this \
         user",
        path.display()
    )]
    ReadOnly {
        /// Which.
        path: PathBuf,
    },
    /// The file was written by a newer program.
    #[error("the database {} is newer than this program (it has the change of schema {version}); use a newer rosey", path.display())]
    Newer {
        /// Which.
        path: PathBuf,
        /// The change that this program does not know.
        version: i64,
    },
    /// The file has not been opened by this program for writing yet.
    #[error("the database {} is not of this program's schema yet; `rosey serve` or `rosey up` brings it there", path.display())]
    Older {
        /// Which.
        path: PathBuf,
    },
    /// A change of schema failed; the file is as it was before the first one of this start.
    #[error("cannot migrate the database {}: {error}", path.display())]
    Migrate {
        /// Which.
        path: PathBuf,
        /// Why.
        error: MigrateError,
    },
}

pub(super) struct Opened {
    pub(super) writer: SqliteConnection,
    pub(super) readers: SqlitePool,
    pub(super) database: String,
}

pub(super) async fn open(options: &SqliteOptions, tables: &[Migration]) -> Result<Opened, OpenError> {
    let sqlite = |error| OpenError::Sqlite { path: options.path.clone(), error };
    // Held until the end of this function: creating and migrating are for one process at a time.
    let _lock = lock(options).await?;
    let mut writer = options.connect().connect().await.map_err(sqlite)?;
    migrate(&options.path, tables, &mut writer).await?;
    never_wait(&mut writer).await.map_err(sqlite)?;
    writable(&options.path, &mut writer).await?;
    let database = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'database_id'")
        .fetch_one(&mut writer)
        .await
        .map_err(sqlite)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(options.readers)
        .test_before_acquire(false)
        .connect_with(options.reading())
        .await
        .map_err(sqlite)?;
    Ok(Opened { writer, readers, database })
}

/// A process that has opened a file it cannot write never can, whatever is put right later: SQLite shares what it has
/// mapped among all of the process's connections. So that is said at once.
async fn writable(path: &Path, writer: &mut SqliteConnection) -> Result<(), OpenError> {
    // To begin is not enough: on such a file SQLite begins to read.
    const TRY: &str = "BEGIN IMMEDIATE; UPDATE meta SET value = value WHERE key = 'database_id'; ROLLBACK";
    match sqlx::raw_sql(TRY).execute(writer).await {
        Err(e) if error::is_read_only(&e) => Err(OpenError::ReadOnly { path: path.to_owned() }),
        // Somebody else is writing: then one can.
        Err(e) if !error::is_busy(&e) => Err(OpenError::Sqlite { path: path.to_owned(), error: e }),
        _ => Ok(()),
    }
}

/// The writer's connection again, after the one before was lost.
pub(super) async fn reopen(options: &SqliteOptions) -> Result<SqliteConnection, sqlx::Error> {
    let mut connection = options.connect().create_if_missing(false).connect().await?;
    never_wait(&mut connection).await?;
    Ok(connection)
}

/// A connection beside the writer's, which waits for the lock as SQLite does.
pub(super) async fn beside(options: &SqliteOptions) -> Result<SqliteConnection, sqlx::Error> {
    options.connect().create_if_missing(false).connect().await
}

/// The writer waits for the lock by itself: SQLite's pauses are long, and would miss the moment that it is free.
async fn never_wait(writer: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA busy_timeout = 0").execute(writer).await.map(drop)
}

/// Takes the lock beside the file; waits for whoever holds it.
async fn lock(options: &SqliteOptions) -> Result<File, OpenError> {
    let directory = options.path.parent().filter(|dir| !dir.as_os_str().is_empty());
    if let Some(missing) = directory.filter(|dir| !dir.is_dir()) {
        let why = format!("the directory {} does not exist", missing.display());
        return Err(OpenError::Address(options.path.display().to_string(), why));
    }
    if !options.create && !options.path.is_file() {
        let why = "there is no such database".to_owned();
        return Err(OpenError::Address(options.path.display().to_string(), why));
    }
    let path = options.lock_path();
    let failed = |error| OpenError::File { path: path.clone(), error };
    let opened = path.clone();
    // Waits in the system's queue, which is fair.
    let mut locked = tokio::task::spawn_blocking(move || {
        let file = File::options().create(true).write(true).truncate(false).open(&opened)?;
        file.lock()?;
        Ok(file)
    });
    let locked = match time::timeout(PATIENCE, &mut locked).await {
        Ok(locked) => locked,
        Err(_) => {
            let file = options.path.display();
            tracing::warn!(
                "another process is opening {file}; waiting until it is done. Is one stopped or hanging?"
            );
            locked.await
        }
    };
    match locked {
        Ok(result) => result.map_err(failed),
        Err(panicked) => Err(failed(std::io::Error::other(panicked))),
    }
}

/// How long opening may take elsewhere before it is said.
const PATIENCE: Duration = Duration::from_secs(1);
