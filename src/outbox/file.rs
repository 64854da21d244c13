//! Opening the file: the lock, the look at what is there, the connection.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection, Row};

use super::error::OutboxError;
use super::options::OutboxOptions;
use super::store::{self, Totals};
use crate::namespace::{Namespace, NamespaceError};
use crate::sqlite::database_file::DatabaseFile;
use crate::sqlite::{connect, files, names};

/// Of the outbox among SQLite's files: `RsOb`.
const APPLICATION: i64 = 0x5273_4f62;
const VERSION: i64 = 1;
/// Of one that is kept for a namespace: a program that does not know what that is does not open it.
const MARKED: i64 = 2;
const TABLES: &str = include_str!("../../migrations/outbox/0001_outbox.sql");
const MARK: &str = include_str!("../../migrations/outbox/0002_kept_for.sql");
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
    pub(super) db_file: DatabaseFile,
    pub(super) held: Totals,
    /// The namespace that it is kept for.
    pub(super) namespace: Namespace,
}

/// Opens it for its one holder; creates it if it is missing.
pub(super) async fn open(options: &OutboxOptions) -> Result<Opened, OutboxError> {
    let path = options.path();
    let lock = lock(options)?;
    look(path)?;
    let failed = |error| OutboxError::File { path: path.to_owned(), error };
    // SQLite would let every user read it, and what it keeps beside it.
    if !files::create(path, options.file_mode).map_err(failed)? {
        files::warn_of_readers(path, options.file_mode);
    }
    let db_file = DatabaseFile::new(path).map_err(failed)?;
    let connected = holding(options).await;
    let mut connection = connected.map_err(|error| OutboxError::of_sqlite(path, error))?;
    match begin(options, &mut connection, &db_file).await {
        Ok((held, namespace)) => Ok(Opened { connection, lock, db_file, held, namespace }),
        Err(error) => {
            // A connection that is dropped closes later, and would remove a log that is put there meanwhile.
            let _ = tokio::time::timeout(CLOSING, connection.close()).await;
            Err(error)
        }
    }
}

/// Looks at what is there and whether it is for this namespace, creates the tables of a new file, and reads what is held.
async fn begin(
    options: &OutboxOptions,
    connection: &mut SqliteConnection,
    db_file: &DatabaseFile,
) -> Result<(Totals, Namespace), OutboxError> {
    let path = options.path();
    let failed = |error| OutboxError::of_sqlite(path, error);
    let kept = match is_there(path, connection).await? {
        Some(version) => kept_for(path, connection, version).await?,
        None => {
            let namespace = options.namespace.clone().unwrap_or_default();
            create_tables(connection, &namespace).await.map_err(failed)?;
            namespace
        }
    };
    if let Some(wanted) = options.namespace.clone().filter(|wanted| *wanted != kept) {
        return Err(OutboxError::Namespace { path: path.to_owned(), kept, wanted });
    }
    let check: String =
        sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await.map_err(failed)?;
    if check != "ok" {
        return Err(OutboxError::Damaged { path: path.to_owned(), why: check });
    }
    let held = store::held(connection).await.map_err(failed)?;
    let now = db_file.look().map_err(|why| {
        let error = std::io::Error::other(why);
        OutboxError::File { path: path.to_owned(), error }
    })?;
    db_file.adopt(now);
    Ok((held, kept))
}

async fn create_tables(connection: &mut SqliteConnection, namespace: &Namespace) -> Result<(), sqlx::Error> {
    for sql in [MODES, "BEGIN IMMEDIATE;", TABLES] {
        sqlx::raw_sql(sql).execute(&mut *connection).await?;
    }
    if !namespace.is_none() {
        sqlx::raw_sql(MARK).execute(&mut *connection).await?;
        let kept = sqlx::query("INSERT INTO kept_for (namespace) VALUES ($1)").bind(namespace.as_str());
        kept.execute(&mut *connection).await?;
    }
    sqlx::raw_sql("COMMIT;").execute(connection).await.map(drop)
}

/// The namespace that a file of this version is kept for: none, of one without a mark.
async fn kept_for(
    path: &Path,
    connection: &mut SqliteConnection,
    version: i64,
) -> Result<Namespace, OutboxError> {
    if version != MARKED {
        return Ok(Namespace::none());
    }
    let kept = sqlx::query_scalar::<_, String>("SELECT namespace FROM kept_for").fetch_one(connection).await;
    let kept = kept.map_err(|error| OutboxError::of_sqlite(path, error))?;
    kept.parse().map_err(|error: NamespaceError| OutboxError::Damaged {
        path: path.to_owned(),
        why: error.to_string(),
    })
}

/// The holder's connection.
pub(super) async fn holding(options: &OutboxOptions) -> Result<SqliteConnection, sqlx::Error> {
    connect::writing(options.path(), Duration::from_millis(400), options.synchronous).connect().await
}

/// A connection that only reads, beside the process that holds the outbox, and the namespace that the file is kept for.
pub(super) async fn read(path: &Path) -> Result<(SqliteConnection, Namespace), OutboxError> {
    if !path.exists() {
        return Err(OutboxError::Missing { path: path.to_owned() });
    }
    names::check(path).map_err(|error| OutboxError::File { path: path.to_owned(), error })?;
    look(path)?;
    let connected = connect::reading(path, Duration::from_secs(2)).connect().await;
    let mut connection = connected.map_err(|error| OutboxError::of_sqlite(path, error))?;
    let Some(version) = is_there(path, &mut connection).await? else {
        return Err(OutboxError::Missing { path: path.to_owned() });
    };
    let namespace = kept_for(path, &mut connection, version).await?;
    Ok((connection, namespace))
}

/// The version of what is there; none, if it has no tables yet.
async fn is_there(path: &Path, connection: &mut SqliteConnection) -> Result<Option<i64>, OutboxError> {
    let whose = async {
        let row = sqlx::query(WHOSE).fetch_one(connection).await?;
        Ok::<(i64, i64, i64), sqlx::Error>((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))
    };
    match whose.await.map_err(|error| OutboxError::of_sqlite(path, error))? {
        (0, 0, 0) => Ok(None),
        (APPLICATION, version @ (VERSION | MARKED), _) => Ok(Some(version)),
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
    let file = files::lock(&files::beside(path, ".lock"), path, options.file_mode).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(OutboxError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// SQLite starts a new database where it finds an empty file or none, and deletes the log beside it: that must not
/// happen to events that were acknowledged.
fn look(path: &Path) -> Result<(), OutboxError> {
    match files::is_log_alone(path) {
        Ok(false) => Ok(()),
        Ok(true) => {
            let why = "its log lies beside it, and the file itself is empty or gone".to_owned();
            Err(OutboxError::Damaged { path: path.to_owned(), why })
        }
        Err(error) => Err(OutboxError::File { path: path.to_owned(), error }),
    }
}
