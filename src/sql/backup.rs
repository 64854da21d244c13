//! Copies of a SQLite file: made while other programs write to it, looked through, and put in its place.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection};
use tokio::time::{self, Instant};

use super::inspect::{Contents, contents};
use super::migrate::{Schema, migrate, schema};
use super::sqlite::{OpenError, SqliteOptions};
use super::verify::{verify, verify_file};
use super::{holders, lock};
use crate::clock;
use crate::hints::hints;
use crate::operation::Persist;
use crate::sqlite::files;

/// A copy that does not grow for so long is not made any more.
const STALLS: Duration = Duration::from_secs(300);
/// How often it is looked how far it is.
const LOOK: Duration = Duration::from_millis(200);

/// What a copy holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Copied {
    /// Where it is.
    pub file: PathBuf,
    /// What is in it.
    #[serde(flatten)]
    pub contents: Contents,
    /// How many values were compared, and are right.
    pub compared: u64,
    /// Whether its schema is an older one than this program's: then only the file itself was checked, and nothing in it.
    pub older: bool,
}

/// What [`restore`] has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Restored {
    /// What stands at the path of the database now.
    #[serde(flatten)]
    pub copied: Copied,
    /// Where the file is that stood there before, if one did.
    pub before: Option<PathBuf>,
    /// How many operations that one had applied since the backup; none if it cannot be read.
    pub newer: Option<u64>,
}

/// What is done at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// So many bytes are copied.
    Copied(u64),
    /// This check of [`verify`] runs over the copy.
    Checks(&'static str),
}

/// Why there is no copy, or it was not put in place. The database is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// A file cannot be opened, or is none of this program's.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file to be written is there already.
    #[error("{} is there already, and is not overwritten: name another file, or remove it", .0.display())]
    Exists(PathBuf),
    /// The file is the database itself.
    #[error("{} is the database itself", .0.display())]
    Itself(PathBuf),
    /// It cannot be written.
    #[error("{}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The disk does not take it.
    #[error("{} has not grown for {} s: its disk, or that of the database, does not answer", path.display(), STALLS.as_secs())]
    Stalls {
        /// The file.
        path: PathBuf,
    },
    /// What was copied is not what it must be.
    #[error(
        "{wrong} values in {} are not what they must be, so that there is no copy of it: {} names them, and says what to do",
        path.display(), hints().verify
    )]
    Unclean {
        /// The file that was copied.
        path: PathBuf,
        /// How many values.
        wrong: u64,
    },
    /// A program has the database open.
    #[error(
        "{} is open in {by}: stop it, and the bots that use the file directly, and try again. Nothing was changed",
        path.display()
    )]
    InUse {
        /// The database.
        path: PathBuf,
        /// Which programs.
        by: String,
    },
    /// Another database is there.
    #[error(
        "{} is another database than the backup ({here}, and not {backup}): move it away if it is not needed. Nothing was \
         changed",
        path.display()
    )]
    Another {
        /// The database.
        path: PathBuf,
        /// Its id.
        here: String,
        /// The id of the backup.
        backup: String,
    },
}

/// A file that is removed unless it is put in its place.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm", "-journal"] {
            let _ = fs::remove_file(files::beside(&self.0, end));
        }
    }
}

/// Writes a copy of the database to a new file: its state at one moment. Other programs go on reading and writing meanwhile; the
/// log of the database grows until the copy is made. What was copied is [verified](verify), on the disk, and only then called
/// by its name. The mode of the file is that of the options. A database that has not been brought to the schema of this program
/// yet is copied as it is, so that an older program can go back to it; of that one only the file itself is checked.
///
/// Cancel safe: dropping the future leaves no file.
///
/// # Errors
/// See [`CopyError`]. No file is left then.
pub async fn backup<O: Persist>(
    options: &SqliteOptions,
    to: &Path,
    progress: impl FnMut(Step) + Send,
) -> Result<Copied, CopyError> {
    if to.symlink_metadata().is_ok() {
        return Err(CopyError::Exists(to.to_owned()));
    }
    let (part, copied) = copy::<O>(options, to, options.file_mode, false, progress).await?;
    if to.symlink_metadata().is_ok() {
        return Err(CopyError::Exists(to.to_owned()));
    }
    put(&part, to)?;
    Ok(copied)
}

/// Puts a backup in the place of the database. It is copied, brought to the schema of this program, and [verified](verify) first;
/// the file that stood there is kept beside it, called `….before-TIME`. Its mode stays, and so do its user and its group where this
/// process may set them; where it may not, the log says so. There is a whole database at the path at every moment.
///
/// Refuses while a program has the database open, and keeps this framework's programs from opening it meanwhile.
///
/// Dropping the future before it has put the file in place changes nothing.
///
/// # Errors
/// See [`CopyError`]. Nothing is changed then.
pub async fn restore<O: Persist>(
    options: &SqliteOptions,
    from: &Path,
    progress: impl FnMut(Step) + Send,
) -> Result<Restored, CopyError> {
    let target = options.path();
    if same(from, target) {
        return Err(CopyError::Itself(target.to_owned()));
    }
    // Said before a long copy is made.
    Alone::with(options).await?.close().await;
    let mode = files::mode_of(target).unwrap_or(options.file_mode);
    let owners = files::owners_of(target);
    let (part, copied) = copy::<O>(&options.at(from), target, mode, true, progress).await?;
    if let Some((user, group)) = owners
        && let Err(error) = files::give(&part.0, (user, group))
    {
        let file = target.display();
        tracing::warn!("{file} belongs to the user who restores it: {error}; chown {user}:{group} {file}");
    }
    let _lock = lock::lock(options).await?;
    let mut alone = Alone::with(options).await?;
    let newer = alone.compare(&copied.contents).await?;
    let before = keep(target)?;
    put(&part, target)?;
    alone.close().await;
    Ok(Restored { copied, before, newer })
}

/// Whether two paths lead to one file.
fn same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// A verified copy beside `to`; `bring`: to the schema of this program.
async fn copy<O: Persist>(
    from: &SqliteOptions,
    to: &Path,
    mode: u32,
    bring: bool,
    mut progress: impl FnMut(Step) + Send,
) -> Result<(Part, Copied), CopyError> {
    let path = from.path();
    if !path.is_file() {
        let why = "there is no such database".to_owned();
        return Err(OpenError::Address(path.display().to_string(), why).into());
    }
    let part = files::beside(to, &format!(".part-{}", std::process::id()));
    let failed = |error| CopyError::Write { path: part.clone(), error };
    // Private from its first moment on; SQLite fills a file that is empty.
    files::create_new(&part, mode).map_err(failed)?;
    let part = Part(part);
    let text = part.0.to_str().ok_or_else(|| CopyError::Write {
        path: part.0.clone(),
        error: io::Error::other("its name is not UTF-8"),
    })?;
    let of_source = |error| CopyError::Open(OpenError::of(path, error));
    // It changes nothing; one that can only read would leave two files beside the database.
    let mut source = from.reading().read_only(false).connect().await.map_err(of_source)?;
    schema(path, O::MIGRATIONS, &mut source).await?;
    fill(&mut source, text, &part.0, &mut progress).await?.map_err(of_source)?;
    source.close().await.map_err(of_source)?;
    let options = from.at(&part.0);
    let (contents, older) = look::<O>(&options, bring).await?;
    let told = |check| progress(Step::Checks(check));
    let verdict =
        if older { verify_file(&options, told).await? } else { verify::<O>(&options, told).await? };
    if !verdict.is_clean() {
        return Err(CopyError::Unclean { path: path.to_owned(), wrong: verdict.wrong.values().sum() });
    }
    File::open(&part.0)
        .and_then(|file| file.sync_all())
        .map_err(|error| CopyError::Write { path: part.0.clone(), error })?;
    let compared = verdict.compared.values().sum();
    Ok((part, Copied { file: to.to_owned(), contents, compared, older }))
}

/// What a copy holds, and whether its schema is an older one; `bring`: once it is not any more.
async fn look<O: Persist>(options: &SqliteOptions, bring: bool) -> Result<(Contents, bool), OpenError> {
    let path = options.path();
    let failed = |error| OpenError::of(path, error);
    // As it is: no log beside the copy.
    let mut connection = options.as_it_is().connect().await.map_err(failed)?;
    let older = schema(path, O::MIGRATIONS, &mut connection).await? == Schema::Older;
    if older && bring {
        migrate(path, O::MIGRATIONS, &mut connection).await?;
    }
    let contents = contents(path, &mut connection).await?;
    connection.close().await.map_err(failed)?;
    Ok((contents, older && !bring))
}

/// Copies, as long as the copy grows.
async fn fill(
    source: &mut SqliteConnection,
    text: &str,
    part: &Path,
    progress: &mut (impl FnMut(Step) + Send),
) -> Result<Result<(), sqlx::Error>, CopyError> {
    let mut filling = std::pin::pin!(sqlx::query("VACUUM INTO $1").bind(text.to_owned()).execute(source));
    let (mut bytes, mut since) = (0, Instant::now());
    loop {
        match time::timeout(LOOK, filling.as_mut()).await {
            Ok(filled) => return Ok(filled.map(drop)),
            Err(_) => {
                let now = fs::metadata(part).map_or(0, |file| file.len());
                if now != bytes {
                    (bytes, since) = (now, Instant::now());
                    progress(Step::Copied(bytes));
                }
                if since.elapsed() >= STALLS {
                    return Err(CopyError::Stalls { path: part.to_owned() });
                }
            }
        }
    }
}

/// The database, while no other program has it open; none where there is none, or it cannot be read.
struct Alone {
    connection: Option<SqliteConnection>,
    path: PathBuf,
}

impl Alone {
    /// # Errors
    /// Another program has it open.
    async fn with(options: &SqliteOptions) -> Result<Self, CopyError> {
        let path = options.path().to_owned();
        let in_use = || {
            let by = holders::of(&path);
            let by = if by.is_empty() { "another program".to_owned() } else { by.join(", ") };
            CopyError::InUse { path: path.clone(), by }
        };
        if !path.is_file() {
            return Ok(Self { connection: None, path });
        }
        // SQLite takes the log away only where no other connection is.
        let opened = async {
            let mut connection = options.reading().read_only(false).connect().await?;
            let mode: String =
                sqlx::query_scalar("PRAGMA journal_mode = DELETE").fetch_one(&mut connection).await?;
            sqlx::query("BEGIN EXCLUSIVE").execute(&mut connection).await?;
            Ok::<_, sqlx::Error>((connection, mode))
        };
        match opened.await {
            Ok((connection, mode)) if mode == "delete" => Ok(Self { connection: Some(connection), path }),
            Ok(_) => Err(in_use()),
            Err(error) if super::error::is_busy(&error) => Err(in_use()),
            // A damaged one is what a backup is for; who has it open the system tells.
            Err(_) if holders::of(&path).is_empty() => Ok(Self { connection: None, path }),
            Err(_) => Err(in_use()),
        }
    }

    /// Lets other programs open it again.
    async fn close(self) {
        if let Some(connection) = self.connection {
            let _ = connection.close().await;
        }
    }

    /// How many operations it has applied since the backup.
    ///
    /// # Errors
    /// It is another database.
    async fn compare(&mut self, backup: &Contents) -> Result<Option<u64>, CopyError> {
        let path = self.path.clone();
        let Some(connection) = &mut self.connection else { return Ok(None) };
        let id = sqlx::query_scalar::<_, String>("SELECT value FROM meta WHERE key = 'database_id'");
        match id.fetch_one(&mut *connection).await {
            Ok(here) if here != backup.database => {
                return Err(CopyError::Another { path, here, backup: backup.database.clone() });
            }
            Ok(_) => {}
            Err(_) => return Ok(None),
        }
        let newer = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM ledger WHERE applied_at > $1");
        let newer = newer.bind(backup.newest.unwrap_or_default()).fetch_one(connection).await;
        Ok(newer.ok().map(i64::unsigned_abs))
    }
}

/// Gives the file at this path, and its log, another name, and leaves the first one to it until something takes its place.
fn keep(path: &Path) -> Result<Option<PathBuf>, CopyError> {
    let time = clock::rfc3339(clock::now()).replace([':', '-'], "");
    let before = files::beside(path, &format!(".before-{time}"));
    let failed = |error| CopyError::Write { path: before.clone(), error };
    for end in ["-wal", "-shm"] {
        // Of a damaged file, or of none: a log that stayed would be read into the backup.
        match fs::rename(files::beside(path, end), files::beside(&before, end)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
    }
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    fs::hard_link(path, &before).or_else(|_| fs::rename(path, &before)).map_err(failed)?;
    Ok(Some(before))
}

/// Calls a file by its name, on the disk too.
fn put(part: &Part, to: &Path) -> Result<(), CopyError> {
    let failed = |error| CopyError::Write { path: to.to_owned(), error };
    fs::rename(&part.0, to).map_err(failed)?;
    let directory = to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)
}
