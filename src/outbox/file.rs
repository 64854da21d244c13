//! Opening the file: the lock, the look at what is there, the connection.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row};

use super::error::OutboxError;
use super::options::{OutboxOptions, beside};
use super::store::{self, Held};
use crate::files;
use crate::sql::place::Place;
use crate::sql::{Synchronous, names};

/// Of the outbox among SQLite's files: `RsOb`.
const APPLICATION: i64 = 0x5273_4f62;
const VERSION: i64 = 1;
const TABLES: &str = include_str!("../../migrations/outbox/0001_outbox.sql");
/// Room that is not needed any more can be given back (see `store::shrink`); one sync a commit, and other processes may
/// read while one writes. Set once, in a file that holds nothing of another program.
const MODES: &str = "PRAGMA auto_vacuum = incremental; PRAGMA journal_mode = wal;";
/// How long the close of a file that cannot be used may take.
const CLOSING: Duration = Duration::from_secs(1);
/// What the file says it is: whose it is, in which version, and how many tables it has.
const WHOSE: &str = "SELECT (SELECT application_id FROM pragma_application_id), \
                     (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)";

/// An open outbox, and what it held when it was opened.
pub(super) struct Opened {
    pub(super) connection: SqliteConnection,
    /// Ours for as long as this lives.
    pub(super) lock: Lock,
    pub(super) place: Place,
    pub(super) held: Held,
}

/// Opens it for its one holder; creates it if it is missing.
pub(super) async fn open(options: &OutboxOptions) -> Result<Opened, OutboxError> {
    let path = options.path();
    let lock = lock(options)?;
    look(path)?;
    create(options)?;
    let place = Place::new(path).map_err(|error| OutboxError::File { path: path.to_owned(), error })?;
    let connected = connect(options).await;
    let mut connection = connected.map_err(|error| OutboxError::of_sqlite(path, error))?;
    match begin(path, &mut connection, &place).await {
        Ok(held) => Ok(Opened { connection, lock, place, held }),
        Err(error) => {
            // A connection that is dropped closes later, and would remove a log that is put there meanwhile.
            let _ = tokio::time::timeout(CLOSING, connection.close()).await;
            Err(error)
        }
    }
}

/// Looks at what is there, creates the tables of a new file, and reads what is held.
async fn begin(path: &Path, connection: &mut SqliteConnection, place: &Place) -> Result<Held, OutboxError> {
    let failed = |error| OutboxError::of_sqlite(path, error);
    if is_new(path, connection).await? {
        for sql in [MODES, "BEGIN IMMEDIATE;", TABLES, "COMMIT;"] {
            sqlx::raw_sql(sql).execute(&mut *connection).await.map_err(failed)?;
        }
    }
    let check: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await.map_err(failed)?;
    if check != "ok" {
        return Err(OutboxError::Damaged { path: path.to_owned(), why: check });
    }
    let held = store::held(connection).await.map_err(failed)?;
    let now = place.look().map_err(|why| {
        let error = std::io::Error::other(why);
        OutboxError::File { path: path.to_owned(), error }
    })?;
    place.settle(now);
    Ok(held)
}

/// The holder's connection.
pub(super) async fn connect(options: &OutboxOptions) -> Result<SqliteConnection, sqlx::Error> {
    SqliteConnectOptions::new()
        .filename(options.path())
        // See `create`.
        .create_if_missing(false)
        .synchronous(match options.synchronous {
            Synchronous::Normal => SqliteSynchronous::Normal,
            Synchronous::Full => SqliteSynchronous::Full,
        })
        .busy_timeout(Duration::from_millis(400))
        .disable_statement_logging()
        .connect()
        .await
}

/// A connection that only reads, beside the process that holds the outbox.
pub(super) async fn read(path: &Path) -> Result<SqliteConnection, OutboxError> {
    if !path.exists() {
        return Err(OutboxError::Missing { path: path.to_owned() });
    }
    names::check(path).map_err(|error| OutboxError::File { path: path.to_owned(), error })?;
    look(path)?;
    let options = SqliteConnectOptions::new().filename(path).create_if_missing(false).read_only(true);
    let connected = options.busy_timeout(Duration::from_secs(2)).disable_statement_logging().connect().await;
    let mut connection = connected.map_err(|error| OutboxError::of_sqlite(path, error))?;
    if is_new(path, &mut connection).await? {
        return Err(OutboxError::Missing { path: path.to_owned() });
    }
    Ok(connection)
}

/// Whether it has no tables yet.
async fn is_new(path: &Path, connection: &mut SqliteConnection) -> Result<bool, OutboxError> {
    let whose = async {
        let row = sqlx::query(WHOSE).fetch_one(connection).await?;
        Ok::<(i64, i64, i64), sqlx::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
    };
    match whose.await.map_err(|error| OutboxError::of_sqlite(path, error))? {
        (0, 0, 0) => Ok(true),
        (APPLICATION, VERSION, _) => Ok(false),
        (APPLICATION, _, _) => Err(OutboxError::Newer { path: path.to_owned() }),
        _ => Err(OutboxError::Another { path: path.to_owned() }),
    }
}

/// The lock beside the file, until it is dropped.
///
/// It is given back explicitly: a process that this one is just starting has a copy of every open file for a moment, and
/// closing ours alone would leave the lock with it.
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Takes the lock beside the file, or reports that another process holds it. The system releases it when its holder ends,
/// however it ends.
fn lock(options: &OutboxOptions) -> Result<Lock, OutboxError> {
    let path = options.path();
    let failed = |error| OutboxError::File { path: path.to_owned(), error };
    let file = files::lock(&beside(path, ".lock"), path, options.file_mode).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(OutboxError::Held { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Creates an empty file if there is none: SQLite would let all users read it, and what it keeps beside it.
fn create(options: &OutboxOptions) -> Result<(), OutboxError> {
    let path = options.path();
    match files::create_new(path, options.file_mode) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            files::warn_of_readers(path, options.file_mode);
            Ok(())
        }
        Err(error) => Err(OutboxError::File { path: path.to_owned(), error }),
    }
}

/// SQLite starts a new database where it finds an empty file or none, and deletes the log beside it: that must not
/// happen to events that were acknowledged.
fn look(path: &Path) -> Result<(), OutboxError> {
    let bytes = |path: &Path| match fs::metadata(path) {
        // A pipe, for one, would be waited for without limit.
        Ok(file) if !file.is_file() => {
            let error = std::io::Error::new(ErrorKind::InvalidInput, "it is no ordinary file");
            Err(OutboxError::File { path: path.to_owned(), error })
        }
        Ok(file) => Ok(Some(file.len())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OutboxError::File { path: path.to_owned(), error }),
    };
    let (file, log) = (bytes(path)?, bytes(&beside(path, "-wal"))?);
    if file.unwrap_or(0) == 0 && log.unwrap_or(0) > 0 {
        let why = "its log lies beside it, and the file itself is empty or gone".to_owned();
        return Err(OutboxError::Damaged { path: path.to_owned(), why });
    }
    Ok(())
}
