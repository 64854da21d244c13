//! Opening a SQLite file: options, the lock, the connections.

use std::fs::{self, File};
use std::io::ErrorKind;
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
use super::place::Place;
use super::take_over;
use super::witness::Witness;
use tokio::sync::oneshot;
use tokio::time;

use crate::files;
use crate::operation::Migration;
use crate::request::Head;

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
    /// Whether a file that another program has made, and that has none of our tables, is brought to our schema.
    pub take_over: bool,
    /// Who may read and write a new file, and what lies beside it: its owner alone, 0600. On Unix.
    pub file_mode: u32,
    /// How long what is kept, if what is old is to be removed.
    pub retention: Option<Retention>,
    /// How far in the future something may claim to have happened; what claims more is refused. A service takes what its
    /// database takes.
    pub future_tolerance: Duration,
    /// The most bytes of an answer that is a list: of a longer one the oldest entries are left out. 1 MB, so that it is the
    /// same over NATS.
    pub answer_bytes: usize,
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
            take_over: true,
            file_mode: files::PRIVATE,
            retention: Some(Retention::default()),
            future_tolerance: Head::AHEAD,
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
        self.as_it_is().journal_mode(SqliteJournalMode::Wal)
    }

    /// For writing, in the journal mode that the file has.
    fn as_it_is(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            // See `create`: SQLite would let everybody read it.
            .create_if_missing(false)
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
    /// Another process has the lock beside the file, and keeps it.
    #[error(
        "another process holds the lock {path} for more than {LOCK_PATIENCE:?}, by which processes agree who opens a \
         database: one that is starting hangs, or another program has taken it. Find it (fuser {path}) and end it, \
         then try again",
        path = path.display()
    )]
    Locked {
        /// The lock's file.
        path: PathBuf,
    },
    /// The file is gone, and what was new in it lies beside it.
    #[error(
        "the database {path} is empty or gone, and its log {path}-wal lies beside it: a new database would throw away \
         what is in there. Put the file back, or remove {path}-wal to begin with an empty one",
        path = path.display()
    )]
    LogAlone {
        /// Which.
        path: PathBuf,
    },
    /// What an operation would run will not do.
    #[error("{0}")]
    Unsound(super::Unsound),
    /// The file was exchanged in the moment of opening.
    #[error("the database {} was deleted or replaced while it was being opened; try again", path.display())]
    Exchanged {
        /// Which.
        path: PathBuf,
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
    /// Another program holds the file's lock.
    #[error(
        "cannot open the database {}: it is locked. Another program is writing to it: stop that one, or wait until it is done, and \
         start again. The file is as it was",
        path.display()
    )]
    Busy {
        /// Which.
        path: PathBuf,
    },
    /// The file would be taken over, and another program has it open.
    #[error(
        "cannot take over the database {}: {by} has it open, and what another program writes to it afterwards does not count. \
         Stop the Python bot and its database service, and whatever else may write here, and start again. The file is as it was",
        path.display()
    )]
    InUse {
        /// Which.
        path: PathBuf,
        /// The processes.
        by: String,
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
    #[error("cannot migrate the database {}: {error}. The file is as it was", path.display())]
    Migrate {
        /// Which.
        path: PathBuf,
        /// Why.
        error: MigrateError,
    },
}

impl OpenError {
    /// What an error of SQLite's means at the opening of a file.
    pub(super) fn of(path: &Path, error: sqlx::Error) -> Self {
        let path = path.to_owned();
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

pub(super) struct Opened {
    pub(super) writer: SqliteConnection,
    pub(super) readers: SqlitePool,
    pub(super) database: String,
    pub(super) place: Place,
    pub(super) witness: Witness,
}

pub(super) async fn open(options: &SqliteOptions, tables: &[Migration]) -> Result<Opened, OpenError> {
    let sqlite = |error| OpenError::of(&options.path, error);
    let file = |error| OpenError::File { path: options.path.clone(), error };
    // Held until the end of this function: creating and migrating are for one process at a time.
    let _lock = lock(options).await?;
    create(options)?;
    let place = Place::new(&options.path).map_err(file)?;
    let journal = take_over::keeps_journal(&options.path);
    let first = if journal { options.as_it_is() } else { options.connect() };
    let mut writer = first.connect().await.map_err(sqlite)?;
    take_over::may_begin(options, &mut writer).await?;
    migrate(&options.path, tables, &mut writer).await?;
    if journal {
        sqlx::query("PRAGMA journal_mode = WAL").execute(&mut writer).await.map_err(sqlite)?;
    }
    never_wait(&mut writer).await.map_err(sqlite)?;
    writable(&options.path, &mut writer).await?;
    let database: String = sqlx::query_scalar("SELECT value FROM meta WHERE key = 'database_id'")
        .fetch_one(&mut writer)
        .await
        .map_err(sqlite)?;
    let witness = Witness::of(&database, &mut writer).await.map_err(sqlite)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(options.readers)
        .test_before_acquire(false)
        .connect_with(options.at(place.said()).reading())
        .await
        .map_err(sqlite)?;
    match place.compare() {
        Ok((difference, open)) if difference.is_of_the_file() => place.settle(open),
        _ => return Err(OpenError::Exchanged { path: options.path.clone() }),
    }
    Ok(Opened { writer, readers, database, place, witness })
}

/// Creates an empty file if there is none, and if that is wanted. One that is there and larger is left as it is.
fn create(options: &SqliteOptions) -> Result<(), OpenError> {
    let path = &options.path;
    let failed = |error| OpenError::File { path: path.clone(), error };
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
    // SQLite would begin anew, and throw the log away.
    if bytes(path) == 0 && bytes(&options.beside("-wal")) > 0 {
        return Err(OpenError::LogAlone { path: path.clone() });
    }
    if options.create {
        match files::create_new(path, options.file_mode) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            created => return created.map(drop).map_err(failed),
        }
    }
    files::warn_of_readers(path, options.file_mode);
    Ok(())
}

/// A process that has opened a file it cannot write never can, whatever is put right later: SQLite shares what it has
/// mapped among all of the process's connections. So that is said at once.
async fn writable(path: &Path, writer: &mut SqliteConnection) -> Result<(), OpenError> {
    // To begin is not enough: on such a file SQLite begins to read.
    // And what only this file and its copies hold is there from the first opening on.
    const TRY: &str = "
        BEGIN IMMEDIATE; UPDATE meta SET value = value WHERE key = 'database_id'; ROLLBACK;
        INSERT INTO meta (key, value) SELECT 'secret', lower(hex(randomblob(16)))
        WHERE NOT EXISTS (SELECT 1 FROM meta WHERE key = 'secret')";
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

/// A connection that looks at the file, and changes nothing. It could write: the last one to close tidies up, and one that
/// can only read would leave two files beside the database.
pub(super) async fn looking(options: &SqliteOptions) -> Result<SqliteConnection, sqlx::Error> {
    options.reading().read_only(false).create_if_missing(false).pragma("query_only", "1").connect().await
}

/// A connection beside the writer's, which waits for the lock as SQLite does.
pub(super) async fn beside(options: &SqliteOptions) -> Result<SqliteConnection, sqlx::Error> {
    options.connect().create_if_missing(false).connect().await
}

/// The writer waits for the lock by itself: SQLite's pauses are long, and would miss the moment that it is free.
async fn never_wait(writer: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("PRAGMA busy_timeout = 0").execute(writer).await.map(drop)
}

/// Takes the lock beside the file; waits for the process that holds it, with a limit.
pub(super) async fn lock(options: &SqliteOptions) -> Result<File, OpenError> {
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
    let file = files::lock(&path, &options.path, options.file_mode).map_err(failed)?;
    let (told, mut locked) = oneshot::channel();
    // Waits in the system's queue, which is fair. In a thread that nobody waits for: it may be there for long.
    let waiting = std::thread::Builder::new().name("lock".to_owned()).spawn(move || {
        // Too late, it is given back at once.
        let _ = told.send(file.lock().map(|()| file));
    });
    waiting.map_err(failed)?;
    let locked = match time::timeout(PATIENCE, &mut locked).await {
        Ok(locked) => Ok(locked),
        Err(_) => {
            let (file, lock) = (options.path.display(), path.display());
            tracing::warn!(
                "another process is opening {file}: waiting for its lock {lock}, {LOCK_PATIENCE:?} at the most. Is one \
                 stopped or hanging?"
            );
            time::timeout(LOCK_PATIENCE - PATIENCE, &mut locked).await
        }
    };
    match locked {
        Ok(Ok(file)) => file.map_err(failed),
        Ok(Err(ended)) => Err(failed(std::io::Error::other(ended))),
        Err(_) => Err(OpenError::Locked { path }),
    }
}

/// How long opening may take elsewhere before it is said, and before it is an error: sooner than an operation on the
/// database may take, so that this is what is told.
const PATIENCE: Duration = Duration::from_secs(1);
const LOCK_PATIENCE: Duration = Duration::from_secs(4);
