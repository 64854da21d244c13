//! Opening a SQLite file: the lock, the file, the connections.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnection, SqlitePoolOptions};
use sqlx::{ConnectOptions, SqlitePool};

use super::error;
use super::lock::lock;
use super::migrate::migrate;
pub use super::open_error::OpenError;
pub use super::options::SqliteOptions;
use super::take_over;
use super::witness::Witness;
use crate::hints::option;
use crate::operation::Migration;
use crate::sqlite::database_file::DatabaseFile;
use crate::sqlite::{content, files};

pub(super) struct Opened {
    pub(super) writer: SqliteConnection,
    pub(super) readers: SqlitePool,
    pub(super) database: String,
    pub(super) db_file: DatabaseFile,
    pub(super) witness: Witness,
}

pub(super) async fn open(options: &SqliteOptions, tables: &[Migration]) -> Result<Opened, OpenError> {
    let exchanged = || OpenError::Exchanged { path: options.path.clone() };
    // Held until the end of this function: creating and migrating are for one process at a time.
    let _lock = lock(options).await?;
    create(options)?;
    let db_file = DatabaseFile::new(&options.path).map_err(|error| match error.kind() {
        // It was there a moment ago.
        ErrorKind::NotFound => exchanged(),
        _ => OpenError::File { path: options.path.clone(), error },
    })?;
    let opened = open_it(options, tables, &db_file).await;
    match db_file.compare() {
        Ok((difference, open)) if difference.is_of_the_file() => db_file.adopt(open),
        // Whatever has failed, if anything: it is not this file that failed.
        Ok(_) => return Err(exchanged()),
        Err(_) if opened.is_ok() || !options.path.exists() => return Err(exchanged()),
        Err(_) => {}
    }
    let (writer, readers, database, witness) = opened?;
    Ok(Opened { writer, readers, database, db_file, witness })
}

/// The connections, the id of the database, and what only it holds.
async fn open_it(
    options: &SqliteOptions,
    tables: &[Migration],
    db_file: &DatabaseFile,
) -> Result<(SqliteConnection, SqlitePool, String, Witness), OpenError> {
    let sqlite = |error| OpenError::of(&options.path, error);
    let journal = content::keeps_journal(&options.path);
    let first = if journal { options.as_it_is() } else { options.connect() };
    let mut writer = first.connect().await.map_err(sqlite)?;
    take_over::may_begin(options, &mut writer).await?;
    if migrate(&options.path, tables, &mut writer).await? {
        confine(options);
    } else {
        files::warn_of_readers(&options.path, options.file_mode);
    }
    if journal {
        sqlx::query("PRAGMA journal_mode = WAL").execute(&mut writer).await.map_err(sqlite)?;
    }
    if fs::metadata(&options.path).is_ok_and(|file| file.len() <= ONE_PAGE) {
        // A file that has its tables is not taken for a new one when its log is lost. Another process in the way has done this.
        sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(&mut writer).await.map_err(sqlite)?;
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
        // The pool would log each wait for a reader, in a flood of them.
        .acquire_slow_threshold(Duration::MAX)
        .connect_with(options.at(db_file.said()).reading())
        .await
        .map_err(sqlite)?;
    Ok((writer, readers, database, witness))
}

/// Creates an empty file if there is none, and if that is wanted. One that is there and larger is left as it is.
fn create(options: &SqliteOptions) -> Result<(), OpenError> {
    let path = &options.path;
    let failed = |error| OpenError::File { path: path.clone(), error };
    // What cannot be looked at is told when it is opened.
    if files::is_log_alone(path).unwrap_or(false) {
        return Err(OpenError::LogAlone { path: path.clone() });
    }
    if options.store.create {
        files::create(path, options.file_mode).map_err(failed)?;
    }
    Ok(())
}

/// A file of another program is as private as one of ours from the moment on that it is taken over.
fn confine(options: &SqliteOptions) {
    for end in ["-wal", "-shm", ".lock", ".turn"] {
        let _ = files::confine(&options.beside(end), options.file_mode);
    }
    if let Some(before) = files::confine(&options.path, options.file_mode) {
        let (file, mode) = (options.path.display(), options.file_mode);
        tracing::info!(
            "{file} holds private messages, and its mode was {before:04o}: it is {:04o} from now on. To let other users read \
             it, chmod it and say {}",
            before & mode,
            option("file-mode")
        );
    }
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
        // Another process is writing: so the file can be written.
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

/// The length of a file that has no tables yet, or has them only in its log.
const ONE_PAGE: u64 = 4096;
