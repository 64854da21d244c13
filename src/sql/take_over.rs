//! Taking over a file that another program has made: whether it may begin, what is found, what becomes of it, and what is said
//! of that.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::time;

use super::holders;
use super::lock::lock;
use super::open_error::OpenError;
use super::options::SqliteOptions;
use crate::clock;
use crate::hints::hints;
use crate::operation::Migration;

/// The row of `meta` that says when a file was taken over, in unix milliseconds. A file that this program has made has none.
pub(super) const TAKEN_OVER: &str = "taken_over";

/// What the name of a table has in it that a migration has set aside.
const ASIDE: &str = "_before_";

/// The tables of a file, without those that belong to SQLite or to other tables.
const TABLES: &str = "SELECT name FROM pragma_table_list
    WHERE schema = 'main' AND type = 'table' AND name NOT GLOB 'sqlite_*' ORDER BY name";

/// Where sqlx keeps what was applied.
pub(super) const RECORD: &str = "_sqlx_migrations";

/// Whether another program has made this file: it has tables, and no record of ours.
pub(super) async fn is_foreign(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    let tables: Vec<String> = sqlx::query_scalar(TABLES).persistent(false).fetch_all(connection).await?;
    Ok(!tables.is_empty() && !tables.iter().any(|table| table == RECORD))
}

/// Whether opening the file would take it over: for questions that come before that. A file that cannot be read would not: opening it
/// says why.
pub async fn is_due(options: &SqliteOptions) -> bool {
    // An empty file has no tables.
    if !std::fs::metadata(options.path()).is_ok_and(|file| file.is_file() && file.len() > 0) {
        return false;
    }
    // A process that is taking it over at this moment would find this one at the file.
    let Ok(_lock) = lock(options).await else { return false };
    let looking = options.reading().read_only(false).pragma("query_only", "1");
    let Ok(mut connection) = looking.connect().await else { return false };
    let foreign = is_foreign(&mut connection).await.unwrap_or(false);
    let _ = connection.close().await;
    foreign
}

/// Whether opening would create the file, or take it over from another program: not by a service that must not start.
pub async fn is_to_come(options: &SqliteOptions) -> bool {
    is_new(options.path()) || is_due(options).await
}

/// Whether the file would be created: then a service that must not start shall leave none behind. Where that cannot be
/// done, opening it says why, and says it at once.
fn is_new(file: &Path) -> bool {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    !file.exists() && folder.is_none_or(Path::is_dir)
}

/// Refuses to take a file over on the wrong command, or while another program works on it.
pub(super) async fn may_begin(
    options: &SqliteOptions,
    connection: &mut SqliteConnection,
) -> Result<(), OpenError> {
    let path = || options.path().to_owned();
    if !is_foreign(connection).await.map_err(|error| OpenError::of(options.path(), error))? {
        return Ok(());
    }
    if !options.take_over {
        return Err(OpenError::Older { path: path() });
    }
    let mut holders = Vec::new();
    for _ in 0..LOOKS {
        let file = path();
        holders = tokio::task::spawn_blocking(move || holders::of(&file)).await.unwrap_or_default();
        if holders.is_empty() {
            return Ok(());
        }
        time::sleep(PAUSE).await;
    }
    Err(OpenError::InUse { path: path(), by: holders.join(", ") })
}

/// How often it is looked, and the pause between: a command that has asked the file something is gone by then.
const LOOKS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// A file that is being taken over.
#[derive(Debug)]
pub(super) struct TakeOver {
    since: Instant,
    /// Its tables, each with its rows, and how many it has afterwards; none if it is not there any more.
    tables: Vec<(String, i64, Option<i64>)>,
    /// Tables that were set aside.
    aside: Vec<String>,
    /// Rows that were put right, by table.
    letters: Vec<(String, i64)>,
}

impl TakeOver {
    /// What is found in the file, if another program has made it; says so.
    pub(super) async fn begin(
        path: &Path,
        changes: &[Migration],
        connection: &mut SqliteConnection,
    ) -> Result<Option<Self>, sqlx::Error> {
        if !is_foreign(connection).await? {
            return Ok(None);
        }
        let since = Instant::now();
        let mut origin: Option<String> = None;
        for query in changes.iter().filter_map(|change| change.tells) {
            if origin.is_none() {
                origin = sqlx::query_scalar(query).persistent(false).fetch_one(&mut *connection).await?;
            }
        }
        let mut tables = Vec::new();
        for name in names(connection).await? {
            let rows = count(&name, connection).await?;
            tables.push((name, rows, None));
        }
        let found = list(tables.iter().map(|(name, rows, _)| format!("{name} {}", plural(*rows, "row"))));
        let origin = origin.map_or_else(String::new, |origin| format!("{origin}; "));
        tracing::info!("taking over {}: {origin}found {found}", path.display());
        Ok(Some(Self { since, tables, aside: Vec::new(), letters: Vec::new() }))
    }

    /// Looks at what became of it, and stores when it was taken over.
    pub(super) async fn end(&mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let now = names(connection).await?;
        for (name, _, after) in &mut self.tables {
            if now.contains(name) {
                *after = Some(count(name, connection).await?);
            }
        }
        let was = |name: &str| self.tables.iter().any(|(table, ..)| table == name);
        self.aside = now.into_iter().filter(|name| name.contains(ASIDE) && !was(name)).collect();
        self.letters =
            sqlx::query_as("SELECT subject, count(*) FROM dead_letters GROUP BY subject ORDER BY subject")
                .persistent(false)
                .fetch_all(&mut *connection)
                .await?;
        sqlx::query("INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING")
            .bind(TAKEN_OVER)
            .bind(clock::now().to_string())
            .persistent(false)
            .execute(connection)
            .await
            .map(drop)
    }

    /// Says what became of it.
    pub(super) fn tell(&self, path: &Path) {
        let kept = list(self.tables.iter().map(|(name, before, after)| match after {
            // More than there were: this program keeps a row of its own there.
            Some(after) => format!("{name} {} of {before}", after.min(before)),
            None => format!("{name} gone"),
        }));
        let took_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(took_ms, "took over {}: rows kept: {kept}", path.display());
        if !self.aside.is_empty() {
            tracing::info!(
                "set aside whole, because a column or a rule of theirs does not serve; what can be read of them was copied: {}",
                self.aside.join(", ")
            );
        }
        if !self.letters.is_empty() {
            let rows: i64 = self.letters.iter().map(|(_, rows)| rows).sum();
            let tables = list(self.letters.iter().map(|(name, rows)| format!("{name} {rows}")));
            tracing::info!(
                "{} had values that their columns cannot have ({tables}): they were put right, or left out, and stand as they \
                 were among the dead letters ({})",
                plural(rows, "row"),
                hints().dead_letters
            );
        }
    }
}

async fn names(connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(TABLES).persistent(false).fetch_all(connection).await
}

async fn count(table: &str, connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    // The name comes out of the file: quoted, as SQL quotes it.
    let sql = format!("SELECT count(*) FROM \"{}\"", table.replace('"', "\"\""));
    sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_one(connection).await
}

fn plural(number: i64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// How many are named in a line; the rest is counted.
const NAMED: usize = 20;

fn list(parts: impl ExactSizeIterator<Item = String>) -> String {
    let more = parts.len().saturating_sub(NAMED);
    let mut text = parts.take(NAMED).collect::<Vec<_>>().join(", ");
    if more > 0 {
        let _ = write!(text, " and {more} more tables");
    }
    // A table's name is what a stranger has chosen.
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
