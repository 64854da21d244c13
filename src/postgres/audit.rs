//! What is looked at when a database is opened: that every statement of every operation can be planned, reads the rows that it
//! is given, and works on nothing that is the framework's.
//!
//! What a statement reads and writes is asked of PostgreSQL itself, whose plan names the tables. What a trigger or a function
//! does is not in it.

use std::any::TypeId;
use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Execute, Executor, Postgres, Row};

use super::{fold, function, sweep};
use crate::operation::{Keys, Persist, RetentionRule};
use crate::sql::Unsound;
use crate::store::fold::distinct;
use crate::store::text::Statement;
use crate::store::uses::Uses;

/// What this process has found sound: operations in a database. It takes some milliseconds.
static SOUND: LazyLock<Mutex<HashSet<(TypeId, String)>>> = LazyLock::new(Mutex::default);

/// The database and its tables, as far as a change of them shows here.
const SCHEMA: &str = "
    SELECT current_schema() || ' ' || (SELECT max(version) FROM _sqlx_migrations) || ' ' ||
        (SELECT string_agg(attrelid::text || attname || atttypid::text, ',' ORDER BY attrelid, attnum) FROM pg_attribute
         WHERE attnum > 0 AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = to_regnamespace(current_schema())))";

/// Looks at all texts of all operations.
///
/// # Errors
/// The first that will not do; or what PostgreSQL says of anything else.
pub(super) async fn audit<O: Persist>(connection: &mut PgConnection) -> Result<Option<Unsound>, sqlx::Error> {
    let schema: Option<String> = sqlx::query_scalar(SCHEMA).fetch_one(&mut *connection).await?;
    let looked_at = (TypeId::of::<O>(), schema.unwrap_or_default());
    let sound = || SOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if sound().contains(&looked_at) {
        return Ok(None);
    }
    let unsound = look::<O>(connection).await?;
    if unsound.is_none() {
        sound().insert(looked_at);
    }
    Ok(unsound)
}

/// Rows of a batch, of which the plan tells whether they are read.
fn source(name: &str) -> String {
    format!(
        "{name} (id, at, op) AS MATERIALIZED (SELECT ''::text, 0::bigint, '{{}}'::jsonb),
         host (now, answer_bytes) AS (SELECT 0::bigint, 0::bigint)"
    )
}

async fn look<O: Persist>(connection: &mut PgConnection) -> Result<Option<Unsound>, sqlx::Error> {
    for kind in function::kinds::<O>() {
        let name = kind.spec.name;
        let unsound = |text: String, why: String| {
            Ok(Some(Unsound { what: format!("the operation {name}, on PostgreSQL: its {text}"), why }))
        };
        for (number, sql) in kind.statements.iter().enumerate() {
            let uses = uses(connection, sql, "new").await?;
            if let Err(why) = uses.and_then(|uses| uses.changes("new")) {
                return unsound(format!("statement {}", number + 1), why);
            }
        }
        if !kind.answer.is_empty() {
            let uses = uses(connection, kind.answer, "asked").await?;
            if let Err(why) = uses.and_then(|uses| uses.answers(kind.spec.writes().then_some("asked"))) {
                return unsound("answer".to_owned(), why);
            }
        }
        if let Keys::Of(sql) = kind.keys {
            let uses = uses(connection, sql, "new").await?;
            if let Err(why) = uses.and_then(|uses| uses.answers(Some("new"))) {
                return unsound("keys".to_owned(), why);
            }
        }
    }
    for (what, rule) in upkeep::<O>() {
        for (number, sql) in rule.remove.iter().enumerate() {
            let over =
                sweep::over_gone(sql).replace("$1::", "'[]'::").replace("$2::", "0::").replace("$3::", "0::");
            let uses = match Statement::read(sql) {
                Ok(_) => plan(connection, &over).await?,
                Err(why) => Err(why),
            };
            if let Err(why) = uses.and_then(|uses| uses.spares()) {
                let what = format!("{what}, on PostgreSQL: its statement {}", number + 1);
                return Ok(Some(Unsound { what, why }));
            }
        }
    }
    Ok(None)
}

/// What is done beside the operations, and how.
fn upkeep<O: Persist>() -> impl Iterator<Item = (String, &'static RetentionRule)> {
    let sweeps = sweep::sweeps::<O>().into_iter().skip(1);
    let sweeps = sweeps.map(|sweep| (format!("the sweep {}", sweep.name), sweep));
    let folds = distinct(&fold::of_kinds::<O>()).into_iter();
    sweeps.chain(folds.map(|fold| (format!("the fold {}", fold.name), &fold.rule)))
}

/// What a plan does.
fn walk(uses: &mut Uses, node: &Value, top: bool) {
    let text = |field: &str| node[field].as_str().unwrap_or_default();
    let table = node["Relation Name"].as_str().map(str::to_owned);
    if text("Node Type") == "ModifyTable" {
        uses.writes.extend(table);
        uses.rows |= top && node.get("Output").is_some();
    } else {
        uses.reads.extend(table);
    }
    let is_batch = |text: &str| text.strip_prefix("CTE ").is_some_and(|cte| cte == "new" || cte == "asked");
    uses.batch |= is_batch(text("Subplan Name"));
    for child in node["Plans"].as_array().into_iter().flatten() {
        walk(uses, child, false);
    }
}

/// What a statement over these rows does; or why it cannot be one.
async fn uses(
    connection: &mut PgConnection,
    sql: &str,
    name: &str,
) -> Result<Result<Uses, String>, sqlx::Error> {
    match Statement::read(sql) {
        Ok(statement) => plan(connection, &statement.over(&source(name))).await,
        Err(why) => Ok(Err(why)),
    }
}

async fn plan(connection: &mut PgConnection, sql: &str) -> Result<Result<Uses, String>, sqlx::Error> {
    match explain(connection, sqlx::raw_sql(AssertSqlSafe(explaining(sql)))).await {
        Ok(uses) => Ok(Ok(uses)),
        Err(e) => match e.as_database_error() {
            // Of the statement's, not of the server's or of the role's rights.
            Some(said)
                if said.code().is_some_and(|code| {
                    (code.starts_with("42") || code.starts_with("22")) && code != "42501"
                }) =>
            {
                Ok(Err(format!("cannot be planned: {}", said.message())))
            }
            _ => Err(e),
        },
    }
}

/// The statement that says what this one does, and does not do it.
pub(super) fn explaining(sql: &str) -> String {
    format!("EXPLAIN (VERBOSE, FORMAT JSON) {sql}")
}

/// What a statement does, by the answer to [`explaining`].
pub(super) async fn explain<'q>(
    connection: &mut PgConnection,
    explaining: impl Execute<'q, Postgres> + 'q,
) -> Result<Uses, sqlx::Error> {
    let row = connection.fetch_one(explaining).await?;
    let text: String = row.try_get_unchecked(0)?;
    let plan: Value = serde_json::from_str(&text).unwrap_or_default();
    let mut uses = Uses::default();
    for statement in plan.as_array().into_iter().flatten() {
        walk(&mut uses, &statement["Plan"], true);
    }
    Ok(uses)
}
