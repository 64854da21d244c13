//! What is looked at when a database is opened: that every statement of every operation can be prepared, works on the rows
//! it is given and on nothing that is the framework's.
//!
//! What a statement reads and writes is asked of SQLite itself, which lists the tables that a prepared statement opens, its
//! triggers' included: no spelling of a name, no view and no comment hides one.

#[cfg(test)]
mod tests;

use std::any::TypeId;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Row};

use super::batch::strings::HOST;
use super::reads::QuerySql;
use super::sweep;
use crate::operation::{Migration, Persist, Spec};
use crate::store::text::{self, Statement};
use crate::store::uses::Uses;

/// SQL that is refused: a statement of an operation, or a trigger of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsound {
    /// Which, as the beginning of a sentence: "the operation hit: its statement 2".
    pub what: String,
    /// What is wrong, as the end of it.
    pub why: String,
}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.why)
    }
}

/// Stands for the rows of a batch while statements are looked at: a temporary table that no statement can name.
struct RowsTable(String);

impl RowsTable {
    async fn create(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let name = format!("rows_{}", uuid::Uuid::new_v4().simple());
        let sql = format!("CREATE TEMP TABLE {name} (id TEXT, at INTEGER, op BLOB)");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
        Ok(Self(name))
    }

    fn source(&self, name: &str) -> String {
        // Not put together before it is read: so a statement is seen to read the columns that it names, and no others.
        format!("{name} (id, at, op) AS NOT MATERIALIZED (SELECT id, at, op FROM temp.{}), {HOST}", self.0)
    }

    async fn drop(self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let sql = format!("DROP TABLE temp.{}", self.0);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
    }
}

/// Every table of the file, with the pages at which it and its indices begin.
const PAGES: &str = "SELECT tbl_name, rootpage FROM main.sqlite_schema WHERE rootpage > 0";

/// The page of the list of what is temporary, which is not the rows of a batch.
const LIST: i64 = 1;

/// The number of the file among the databases of a connection, and that of what is temporary.
const FILE: i64 = 0;
const TEMPORARY: i64 = 1;

/// The column of the payload among those of the rows: the id and the time stand before it.
const OP: i64 = 2;

/// The functions whose values differ from run to run, as SQLite lists their calls.
const CHANCE: [&str; 2] = ["random(", "randomblob("];

/// A set of operations, and the schema of the database that they were looked at with.
type LookedAt = (TypeId, String);

/// What this process has found sound: operations on a schema, whatever file has it, and their queries as they run. It takes
/// some milliseconds.
static SOUND: LazyLock<Mutex<HashMap<LookedAt, Arc<[QuerySql]>>>> = LazyLock::new(Mutex::default);

/// How many of them are kept.
const KEPT: usize = 16;

const SCHEMA: &str =
    "SELECT group_concat(name || ' ' || coalesce(sql, ''), char(10) ORDER BY name) FROM main.sqlite_schema";

/// As [`OURS`](crate::store::uses::OURS).
const FRAME: &str = "
    SELECT coalesce(group_concat(type || ' ' || name || ' ' || coalesce(sql, ''), char(10) ORDER BY type, name), '')
    FROM main.sqlite_schema WHERE lower(tbl_name) IN ('ledger', 'meta', 'dead_letters')";

/// A trigger on the ledger fires for a row that is not inserted, too; one on the others, as often as the framework writes.
const ON_OURS: &str = "
    SELECT name, lower(tbl_name) FROM main.sqlite_schema
    WHERE type = 'trigger' AND lower(tbl_name) IN ('ledger', 'meta', 'dead_letters', '_sqlx_migrations') LIMIT 1";

/// Whether the ledger takes an id once. One that is not there at all fails where it is used.
const LEDGER: &str = "
    SELECT count(*) = 0 OR (sum(pk) = 1 AND max(name = 'id' AND pk = 1)) FROM pragma_table_info('ledger', 'main')";

/// The queries, each for one question, in the order of the operations; empty for what is none.
pub(super) fn questions<O: Persist>() -> impl Iterator<Item = QuerySql> {
    let question =
        |(spec, answer): (&Spec, &&'static str)| QuerySql::alone(if spec.writes() { "" } else { answer });
    O::SPECS.iter().zip(O::ANSWERS).map(question)
}

/// Looks at all statements of all operations; answers the queries as they run, in the order of the operations.
///
/// # Errors
/// What SQLite says of anything but a statement; inside, the first statement that will not do.
pub(super) async fn audit<O: Persist>(
    connection: &mut SqliteConnection,
) -> Result<Result<Arc<[QuerySql]>, Unsound>, sqlx::Error> {
    let schema: Option<String> = sqlx::query_scalar(SCHEMA).fetch_one(&mut *connection).await?;
    let looked_at = (TypeId::of::<O>(), schema.unwrap_or_default());
    let sound = || SOUND.lock();
    if let Some(queries) = sound().get(&looked_at) {
        return Ok(Ok(Arc::clone(queries)));
    }
    let stand = RowsTable::create(connection).await?;
    let found = match look::<O>(connection, &stand).await {
        Ok(None) => queries::<O>(connection, &stand).await.map(Ok),
        Ok(Some(unsound)) => Ok(Err(unsound)),
        Err(e) => Err(e),
    };
    stand.drop(connection).await?;
    let found = found?;
    if let Ok(queries) = &found {
        let mut sound = sound();
        if sound.len() >= KEPT {
            sound.clear();
        }
        sound.insert(looked_at, Arc::clone(queries));
    }
    Ok(found)
}

/// The queries as they run: which of them are asked together, and which have one answer for all who ask the same.
async fn queries<O: Persist>(
    connection: &mut SqliteConnection,
    stand: &RowsTable,
) -> Result<Arc<[QuerySql]>, sqlx::Error> {
    let (pages, asked) = (Pages::of(connection).await?, stand.source("asked"));
    let mut queries: Vec<QuerySql> = questions::<O>().collect();
    for (query, answer) in queries.iter_mut().zip(O::ANSWERS).filter(|(query, _)| !query.alone.is_empty()) {
        complete(connection, &pages, query, answer, &asked).await?;
    }
    Ok(queries.into())
}

async fn complete(
    connection: &mut SqliteConnection,
    pages: &Pages,
    query: &mut QuerySql,
    answer: &str,
    asked: &str,
) -> Result<(), sqlx::Error> {
    let Ok(uses) = uses(connection, pages, answer, asked).await? else { return Ok(()) };
    query.is_shared = !uses.request && !uses.chance;
    if let Some(sql) = QuerySql::together(answer, uses.columns).filter(|_| query.is_shared)
        && explain(connection, pages, &sql).await?.is_ok()
    {
        query.together = Some(sql.into());
    }
    Ok(())
}

/// What the changes of schema say, before any of them is made.
pub(super) fn migrations(tables: &[Migration]) -> Result<(), Unsound> {
    for part in tables {
        let texts = [Some(part.sql), part.only_if, part.tells];
        if texts.iter().flatten().any(|sql| text::names(sql, "ledger")) {
            let what = format!("the migration {} ({})", part.version, part.description);
            return Err(Unsound { what, why: "names the ledger, which is the framework's".to_owned() });
        }
    }
    Ok(())
}

async fn look<O: Persist>(
    connection: &mut SqliteConnection,
    stand: &RowsTable,
) -> Result<Option<Unsound>, sqlx::Error> {
    let trigger: Option<(String, String)> = sqlx::query_as(ON_OURS).fetch_optional(&mut *connection).await?;
    if let Some((name, table)) = trigger {
        let why = format!(
            "fires on the {table}, which is the framework's, and for requests that are there already: drop it"
        );
        return Ok(Some(Unsound { what: format!("the trigger {name}"), why }));
    }
    let takes_ids_once: i64 = sqlx::query_scalar(LEDGER).fetch_one(&mut *connection).await?;
    if takes_ids_once == 0 {
        let why = "has lost its primary key, the id: restore a backup of the file".to_owned();
        return Ok(Some(Unsound { what: "the table ledger".to_owned(), why }));
    }
    let pages = Pages::of(connection).await?;
    let (new, asked) = (stand.source("new"), stand.source("asked"));
    for (kind, spec) in O::SPECS.iter().enumerate() {
        let unsound = |text: String, why| {
            Ok(Some(Unsound { what: format!("the operation {}: its {text}", spec.name), why }))
        };
        for (number, sql) in O::STATEMENTS[kind].iter().enumerate() {
            let uses = uses(connection, &pages, sql, &new).await?;
            if let Err(why) = uses.and_then(|uses| uses.changes("new")) {
                return unsound(format!("statement {}", number + 1), why);
            }
        }
        if !O::ANSWERS[kind].is_empty() {
            let uses = uses(connection, &pages, O::ANSWERS[kind], &asked).await?;
            if let Err(why) = uses.and_then(|uses| uses.answers(spec.writes().then_some("asked"))) {
                return unsound("answer".to_owned(), why);
            }
        }
        let sweeps = O::SWEEPS[kind].iter().enumerate().map(|(n, sweep)| (format!("sweep {}", n + 1), sweep));
        let folds = O::FOLDS[kind].iter().map(|fold| (format!("fold {}", fold.name), &fold.rule));
        for (what, rule) in sweeps.chain(folds) {
            for (part, sql) in rule.remove.iter().enumerate() {
                let text = || format!("{what}, statement {}", part + 1);
                let uses = match Statement::read(sql) {
                    Ok(_) => explain(connection, &pages, &sweep::over_gone(sql)).await?,
                    Err(why) => Err(why),
                };
                if let Err(why) = uses.and_then(|uses| uses.spares()) {
                    return unsound(text(), why);
                }
            }
        }
    }
    Ok(None)
}

/// The framework's own tables as the file has them now, with what hangs on them: indices and triggers.
///
/// # Errors
/// What SQLite says.
pub(super) async fn frame(connection: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    sqlx::query_scalar(FRAME).fetch_one(connection).await
}

/// Whether the statements and the answer of an operation can be prepared on the tables as they are now.
///
/// # Errors
/// What SQLite says.
pub(super) async fn prepares(
    connection: &mut SqliteConnection,
    statements: &[&str],
    answer: &str,
) -> Result<(), sqlx::Error> {
    let texts = statements.iter().map(|sql| ("new", *sql)).chain([("asked", answer)]);
    for (name, sql) in texts.filter(|(_, sql)| !sql.is_empty()) {
        if let Ok(statement) = Statement::read(sql) {
            let source = format!("{name} (id, at, op) AS (SELECT NULL, NULL, NULL), {HOST}");
            opcodes(connection, &statement.over(&source)).await?;
        }
    }
    Ok(())
}

/// Where the tables of a file are: by the page, whose it is.
struct Pages(BTreeMap<i64, String>);

impl Pages {
    async fn of(connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let rows: Vec<(String, i64)> = sqlx::query_as(PAGES).fetch_all(connection).await?;
        Ok(Self(rows.into_iter().map(|(table, page)| (page, table)).collect()))
    }

    fn table(&self, database: i64, page: i64) -> String {
        let table = self.0.get(&page).filter(|_| database == FILE);
        table.cloned().unwrap_or_else(|| {
            if database == FILE { "sqlite_schema" } else { "of another database" }.to_owned()
        })
    }
}

/// What a statement over these rows does; or why it cannot be one.
async fn uses(
    connection: &mut SqliteConnection,
    pages: &Pages,
    sql: &str,
    source: &str,
) -> Result<Result<Uses, String>, sqlx::Error> {
    match Statement::read(sql) {
        Ok(statement) => explain(connection, pages, &statement.over(source)).await,
        Err(why) => Ok(Err(why)),
    }
}

async fn explain(
    connection: &mut SqliteConnection,
    pages: &Pages,
    sql: &str,
) -> Result<Result<Uses, String>, sqlx::Error> {
    let rows = match opcodes(connection, sql).await {
        Ok(rows) => rows,
        Err(e) => match e.as_database_error() {
            Some(said) if !super::error::is_of_the_environment(&e) => {
                return Ok(Err(format!("cannot be prepared: {}", said.message())));
            }
            _ => return Err(e),
        },
    };
    let (mut uses, mut of_the_batch, mut columns) = (Uses::default(), HashSet::new(), Vec::new());
    for row in &rows {
        let (opcode, p1, p2, p3): (&str, i64, i64, i64) =
            (row.try_get("opcode")?, row.try_get("p1")?, row.try_get("p2")?, row.try_get("p3")?);
        match opcode {
            "OpenRead" if p3 == TEMPORARY && p2 != LIST => {
                uses.batch = true;
                of_the_batch.insert(p1);
            }
            "OpenRead" | "ReopenIdx" => uses.reads.push(pages.table(p3, p2)),
            "OpenWrite" => uses.writes.push(pages.table(p3, p2)),
            "Clear" => uses.writes.push(pages.table(p2, p1)),
            "VUpdate" => uses.writes.push("a virtual table".to_owned()),
            "ResultRow" => (uses.rows, uses.columns) = (true, p2),
            "Column" => columns.push((p1, p2)),
            "Function" | "PureFunc" => {
                let function: Option<String> = row.try_get_unchecked("p4")?;
                uses.chance |= function.is_some_and(|name| CHANCE.iter().any(|of| name.starts_with(of)));
            }
            _ => {}
        }
    }
    uses.request = columns.iter().any(|(cursor, column)| *column < OP && of_the_batch.contains(cursor));
    Ok(Ok(uses))
}

async fn opcodes(connection: &mut SqliteConnection, sql: &str) -> Result<Vec<SqliteRow>, sqlx::Error> {
    sqlx::query(AssertSqlSafe(format!("EXPLAIN {sql}"))).persistent(false).fetch_all(connection).await
}
