//! Working out again what a database must hold.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, Row};

use super::migrate::is_current;
use super::sqlite::{OpenError, SqliteOptions, looking};
use crate::operation::{Invariant, Persist};
use crate::sqlite::names;

/// How many findings of one check are told one by one.
pub(crate) const TOLD: i64 = 100;

/// The file itself, before anything in it. Where the first of all tables and views, by a hash of their names, is a view, SQLite's
/// own check passes over pages that nothing uses: so they are counted. The one around the byte by which a file is locked is in use.
const FILE: &str = "
    WITH said (said) AS MATERIALIZED (SELECT integrity_check FROM pragma_integrity_check)
    SELECT 'file', 'integrity', said, 'ok' FROM said
    UNION ALL
    SELECT 'file', 'pages', (SELECT count(*) FROM dbstat) + freelist_count + (page_count > 0x40000000 / page_size), page_count
    FROM pragma_page_count, pragma_freelist_count, pragma_page_size, pragma_auto_vacuum
    WHERE auto_vacuum = 0 AND NOT EXISTS (SELECT 1 FROM said WHERE said <> 'ok')";

/// A value that is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check that found it.
    pub check: &'static str,
    /// The row it is about.
    pub row: String,
    /// The column.
    pub column: String,
    /// The value found; `None` if it is NULL or there is no such row.
    #[serde(rename = "stands")]
    pub actual: Option<String>,
    /// The value expected.
    #[serde(rename = "must_stand")]
    pub expected: Option<String>,
}

/// What [`verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// Values that were compared, by check.
    pub compared: BTreeMap<&'static str, u64>,
    /// How many of them are wrong, by check; only checks that have any.
    pub wrong: BTreeMap<&'static str, u64>,
    /// The first hundred wrong ones of each check.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// Whether everything is as it must be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.wrong.is_empty()
    }

    /// What a check has compared, and what of it is wrong: row, column, what is there, what is expected.
    pub(crate) fn take(
        &mut self,
        check: &'static str,
        compared: u64,
        wrong: u64,
        found: impl IntoIterator<Item = [Option<String>; 4]>,
    ) {
        *self.compared.entry(check).or_default() += compared;
        if wrong > 0 {
            *self.wrong.entry(check).or_default() += wrong;
        }
        self.findings.extend(found.into_iter().map(|[row, column, actual, expected]| Finding {
            check,
            row: row.unwrap_or_default(),
            column: column.unwrap_or_default(),
            actual,
            expected,
        }));
    }
}

/// Works out again everything that the database derives from its baseline, its events and its ledger, and compares.
/// Reads one state of the file from beginning to end; writers are not held up meanwhile. `progress` is called
/// with the name of each check before it runs.
///
/// # Errors
/// When there is no such file, it has not been migrated to this program's schema, or cannot be read.
pub async fn verify<O: Persist>(
    options: &SqliteOptions,
    progress: impl FnMut(&'static str) + Send,
) -> Result<Verdict, OpenError> {
    let checks = O::NAMES.iter().zip(O::CHECKS);
    let checks = checks.flat_map(|(name, checks)| checks.iter().map(|check| (*name, *check)));
    let mut connection = open(options).await?;
    is_current(options.path(), O::MIGRATIONS, &mut connection).await?;
    all(options.path(), connection, checks, progress).await
}

/// The same of the file itself, and nothing in it: of an older schema no more can be worked out.
pub(super) async fn verify_file(
    options: &SqliteOptions,
    progress: impl FnMut(&'static str) + Send,
) -> Result<Verdict, OpenError> {
    all(options.path(), open(options).await?, std::iter::empty(), progress).await
}

async fn open(options: &SqliteOptions) -> Result<SqliteConnection, OpenError> {
    let path = options.path();
    if !path.is_file() {
        return Err(OpenError::Address(path.display().to_string(), "there is no such database".to_owned()));
    }
    names::check(path).map_err(|error| OpenError::File { path: path.to_owned(), error })?;
    // It changes nothing. It could write: the last one to close tidies up, and a connection that can only read would
    // leave two files beside the database.
    looking(options).await.map_err(|error| OpenError::of(path, error))
}

async fn all(
    path: &Path,
    mut connection: SqliteConnection,
    checks: impl Iterator<Item = (&'static str, Invariant)> + Send,
    mut progress: impl FnMut(&'static str) + Send,
) -> Result<Verdict, OpenError> {
    let failed = |error| OpenError::of(path, error);
    // One transaction: every check sees the same state.
    sqlx::query("BEGIN").execute(&mut connection).await.map_err(failed)?;
    let file = ("", Invariant::new("file", FILE));
    let mut verdict = Verdict::default();
    for (operation, check) in std::iter::once(file).chain(checks) {
        progress(check.name);
        run(operation, &check, &mut connection, &mut verdict).await.map_err(failed)?;
    }
    connection.close().await.map_err(failed)?;
    Ok(verdict)
}

/// The statement of a check that an operation has: counts in the first row, then what is wrong.
pub(super) fn comparing(operation: &str, check: &Invariant) -> String {
    format!(
        "WITH applied (id, at, answer) AS (SELECT id, occurred_at, answer FROM ledger WHERE operation = '{operation}'),
              compared (about, field, actual, expected) AS MATERIALIZED ({}\n),
              wrong AS (SELECT * FROM compared WHERE actual IS NOT expected)
         SELECT (SELECT count(*) FROM compared), (SELECT count(*) FROM wrong), NULL, NULL
         UNION ALL
         SELECT * FROM (SELECT CAST(about AS TEXT), CAST(field AS TEXT), CAST(actual AS TEXT), CAST(expected AS TEXT)
                        FROM wrong LIMIT {TOLD})",
        check.sql
    )
}

async fn run(
    operation: &str,
    check: &Invariant,
    connection: &mut SqliteConnection,
    verdict: &mut Verdict,
) -> Result<(), sqlx::Error> {
    let rows: Vec<SqliteRow> =
        sqlx::query(AssertSqlSafe(comparing(operation, check))).fetch_all(connection).await?;
    let Some((counts, findings)) = rows.split_first() else { return Ok(()) };
    let [compared, wrong] = [counts.try_get::<i64, _>(0)?, counts.try_get::<i64, _>(1)?];
    let mut found = Vec::with_capacity(findings.len());
    for row in findings {
        found.push([row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?]);
    }
    verdict.take(check.name, compared.unsigned_abs(), wrong.unsigned_abs(), found);
    Ok(())
}
