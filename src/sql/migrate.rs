//! Bringing a file to the present schema: all that it lacks, in one transaction.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use sqlx::migrate::{Migrate, MigrateError, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, SqlSafeStr};

use super::take_over::{RECORD, TakeOver};
use super::{OpenError, derive};
use crate::operation::{Deriving, Migration};
use crate::store::patience::patiently;

/// What every database has: its id, the ledger, the dead letters.
const LEDGER: Migration =
    Migration::new(1, "ledger", include_str!("../../migrations/sqlite/0001_ledger.sql"));

/// Applies the ledger's migration and `tables`, as far as the file lacks them: all, or none. Returns whether it was another
/// program's file until then.
pub(super) async fn migrate(
    file: &Path,
    tables: &[Migration],
    connection: &mut SqliteConnection,
) -> Result<bool, OpenError> {
    let path = || file.to_owned();
    let taken = run(file, tables, connection).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => {
            OpenError::Newer { path: path(), version }
        }
        MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) if OpenError::has_a_name(&e) => {
            OpenError::of(file, e)
        }
        error => OpenError::Migrate { path: path(), error },
    })?;
    if let Some(taken) = &taken {
        taken.tell(file);
    }
    // They were prepared on the schema before.
    let cleared = connection.clear_cached_statements().await;
    cleared.map(|()| taken.is_some()).map_err(|error| OpenError::Sqlite { path: path(), error })
}

/// Which changes of schema a file of this framework has, of those that this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// All of them.
    Current,
    /// The first ones.
    Older,
}

/// Whether all changes of schema that this program knows have been made, and no other.
pub(super) async fn is_current(
    path: &Path,
    tables: &[Migration],
    connection: &mut SqliteConnection,
) -> Result<(), OpenError> {
    match schema(path, tables, connection).await? {
        Schema::Current => Ok(()),
        Schema::Older => Err(OpenError::Older { path: path.to_owned() }),
    }
}

/// # Errors
/// The file is newer, or none of this framework's.
pub(super) async fn schema(
    path: &Path,
    tables: &[Migration],
    connection: &mut SqliteConnection,
) -> Result<Schema, OpenError> {
    let path = || path.to_owned();
    let made = applied(connection).await.map_err(|error| match error {
        MigrateError::Execute(error) => OpenError::Sqlite { path: path(), error },
        error => OpenError::Migrate { path: path(), error },
    })?;
    let known: HashSet<i64> = versions(tables).iter().map(|version| version.whole.version).collect();
    match made.difference(&known).max() {
        Some(version) => Err(OpenError::Newer { path: path(), version: *version }),
        None if made.len() == known.len() => Ok(Schema::Current),
        None if made.contains(&LEDGER.version) => Ok(Schema::Older),
        None => Err(OpenError::Older { path: path() }),
    }
}

/// One version: a migration, or several that are its parts.
struct Version<'a> {
    /// With the statements of all parts, so that what is recorded does not depend on the file.
    whole: sqlx::migrate::Migration,
    parts: Vec<&'a Migration>,
}

impl Version<'_> {
    fn deriving(&self) -> Option<&Deriving> {
        self.parts[0].deriving.as_ref()
    }
}

fn versions(tables: &[Migration]) -> Vec<Version<'_>> {
    let mut parts: Vec<&Migration> = std::iter::once(&LEDGER).chain(tables).collect();
    parts.sort_by_key(|part| part.version); // stable: parts stay in the order of the list
    let versions = parts.chunk_by(|one, other| one.version == other.version);
    versions
        .map(|parts| {
            let text = AssertSqlSafe(joined(parts)).into_sql_str();
            let description = Cow::Borrowed(parts[0].description);
            let kind = MigrationType::Simple;
            let whole = sqlx::migrate::Migration::new(parts[0].version, description, kind, text, false);
            Version { whole, parts: parts.to_vec() }
        })
        .collect()
}

fn joined(parts: &[&Migration]) -> String {
    parts.iter().map(|part| part.sql).collect::<Vec<_>>().join("\n;\n")
}

/// Returns what was taken over, if another program had made the file.
async fn run(
    path: &Path,
    tables: &[Migration],
    connection: &mut SqliteConnection,
) -> Result<Option<TakeOver>, MigrateError> {
    let versions = versions(tables);
    let applied = applied(connection).await?;
    if versions.iter().all(|version| applied.contains(&version.whole.version)) {
        // Nothing is written, so no lock is waited for: only compares.
        apply(&versions, None, connection).await?;
        again(path, &versions, connection).await?;
        return Ok(None);
    }
    // One transaction around all of them: whatever stops it, a file of the Python bot is still one.
    let mut whole = connection.begin_with("BEGIN IMMEDIATE").await?;
    let mut taken = TakeOver::begin(path, tables, &mut whole).await?;
    for (place, version) in versions.iter().enumerate() {
        if applied.contains(&version.whole.version) {
            continue;
        }
        let needed = match derived(path, version, &mut whole).await {
            Ok(_) => needed(version, &mut whole).await,
            Err(error) => Err(error),
        };
        let result = match needed {
            Ok(statements) => {
                let this = apply(&versions, Some((place, statements)), &mut whole);
                patiently(&said(path, version), this).await
            }
            Err(error) => Err(MigrateError::ExecuteMigration(error, version.whole.version)),
        };
        if let Err(error) = result {
            // An error of this one would hide the one that is told.
            let _ = whole.rollback().await;
            return Err(error);
        }
    }
    if let Some(taken) = &mut taken {
        taken.end(&mut whole).await?;
    }
    whole.commit().await?;
    Ok(taken)
}

/// Does again what is done whenever there is something of it.
async fn again(
    path: &Path,
    versions: &[Version<'_>],
    connection: &mut SqliteConnection,
) -> Result<(), MigrateError> {
    for version in versions {
        let Some(deriving) = version.deriving() else { continue };
        if !derive::is_due(deriving, connection).await? {
            continue;
        }
        let mut whole = match connection.begin_with("BEGIN IMMEDIATE").await {
            Ok(whole) => whole,
            // It is no reason not to open the file.
            Err(error) => {
                tracing::warn!(
                    "{}: {} waits for the next start: {error}",
                    path.display(),
                    version.whole.description
                );
                continue;
            }
        };
        if derived(path, version, &mut whole).await? {
            let statements = sqlx::raw_sql(AssertSqlSafe(joined(&version.parts))).execute(&mut *whole);
            patiently(&said(path, version), statements).await?;
        }
        whole.commit().await?;
    }
    Ok(())
}

/// Has a function work out what the statements of a version need, and says what they are about to change. Returns whether that is
/// anything.
async fn derived(
    path: &Path,
    version: &Version<'_>,
    connection: &mut SqliteConnection,
) -> Result<bool, sqlx::Error> {
    let Some(deriving) = version.deriving() else { return Ok(false) };
    let says = derive::fill(deriving, connection).await?;
    if let Some(says) = &says {
        tracing::info!("{}: {says}", path.display());
    }
    Ok(says.is_some())
}

fn said(path: &Path, version: &Version<'_>) -> String {
    format!("{}: {}", path.display(), version.whole.description)
}

/// The versions that are recorded in the file. A file that has not been opened yet has no record.
async fn applied(connection: &mut SqliteConnection) -> Result<HashSet<i64>, MigrateError> {
    let recorded = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1)";
    if !sqlx::query_scalar(recorded).bind(RECORD).fetch_one(&mut *connection).await? {
        return Ok(HashSet::new());
    }
    let list = connection.list_applied_migrations(RECORD).await?;
    Ok(list.into_iter().map(|applied| applied.version).collect())
}

/// The statements of the parts that this file needs.
async fn needed(version: &Version<'_>, connection: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    let mut needed = Vec::with_capacity(version.parts.len());
    for part in &version.parts {
        let holds = match part.only_if {
            None => Some(true),
            Some(query) => sqlx::query_scalar(query).persistent(false).fetch_one(&mut *connection).await?,
        };
        if holds == Some(true) {
            needed.push(*part);
        }
    }
    Ok(joined(&needed))
}

/// Compares what is recorded, and applies the versions up to `next`, whose statements are given.
async fn apply(
    versions: &[Version<'_>],
    next: Option<(usize, String)>,
    connection: &mut SqliteConnection,
) -> Result<(), MigrateError> {
    let mut list: Vec<_> = versions.iter().map(|version| version.whole.clone()).collect();
    let mut target = None;
    if let Some((place, statements)) = next {
        target = Some(list[place].version);
        list[place].sql = AssertSqlSafe(statements).into_sql_str();
    }
    let mut migrator = Migrator::with_migrations(list);
    migrator.set_locking(false); // the file's lock serves; sqlx has none on SQLite
    // Not `run`: its bound on `Acquire` makes a future that cannot be spawned.
    migrator.run_direct(target, connection, false).await
}
