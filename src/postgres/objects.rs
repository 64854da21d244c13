//! What the migrations have made, written down with them: what was dropped by hand since is made again where that takes no time,
//! and named where it does.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::hints::hints;

/// Tables, views, indexes, functions and triggers of the schema, in an order in which they can be made: what each is called, and
/// the statement that makes it; none for a table. Those that every version of a program has for itself are not among them.
const OBJECTS: &str = "
    WITH here (n) AS (SELECT to_regnamespace(current_setting('search_path'))::oid)
    SELECT name, made_by FROM (
        SELECT 1, c.oid, CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'i' THEN 'index ' ELSE 'table ' END || c.relname,
            CASE c.relkind
                WHEN 'v' THEN format('CREATE OR REPLACE VIEW %I AS %s', c.relname, pg_get_viewdef(c.oid))
                WHEN 'i' THEN pg_get_indexdef(c.oid) END
        FROM pg_class c JOIN here ON c.relnamespace = n
        WHERE c.relkind IN ('r', 'p', 'v', 'i') AND c.relname NOT LIKE '\\_sqlx%'
        UNION ALL SELECT 2, p.oid, 'function ' || p.oid::regprocedure, pg_get_functiondef(p.oid)
        FROM pg_proc p JOIN here ON p.pronamespace = n
        WHERE p.prokind = 'f' AND p.proname !~ '^(apply|fold)_[0-9a-f]{16}$'
        UNION ALL SELECT 3, t.oid, format('trigger %s of %s', t.tgname, c.relname), pg_get_triggerdef(t.oid)
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN here ON c.relnamespace = n WHERE NOT t.tgisinternal
    ) o (kind, number, name, made_by) ORDER BY kind, number";

const KEPT: &str = "SELECT value::text FROM meta WHERE key = 'objects'";
const KEEP: &str = "
    INSERT INTO meta (key, value) VALUES ('objects', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// Without these nothing can be served; what an operation lacks is found when its statements are looked at.
const NEEDED: [&str; 2] = ["table ledger", "table dead_letters"];

/// The name of each, and what makes it, in the order in which they were made.
type Objects = Vec<(String, Option<String>)>;

async fn objects(connection: &mut PgConnection) -> Result<Objects, sqlx::Error> {
    sqlx::query_as(OBJECTS).fetch_all(connection).await
}

/// What is not there that was written down.
pub(super) async fn missing(connection: &mut PgConnection) -> Result<Objects, sqlx::Error> {
    let kept: Option<String> = sqlx::query_scalar(KEPT).fetch_optional(&mut *connection).await?;
    let Some(kept) = kept.and_then(|kept| serde_json::from_str::<Objects>(&kept).ok()) else {
        return Ok(Objects::new());
    };
    let there: BTreeMap<_, _> = objects(connection).await?.into_iter().collect();
    Ok(kept.into_iter().filter(|(name, _)| !there.contains_key(name)).collect())
}

/// Writes down what is there, as the migrations have left it.
pub(super) async fn keep(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let there = objects(connection).await?;
    let there = serde_json::to_string(&there).map_err(|e| sqlx::Error::Encode(e.into()))?;
    sqlx::query(KEEP).bind(there).execute(connection).await.map(drop)
}

/// Makes again what is missing and holds no rows, and names the rest: an index may take long, and a table is lost. Answers with the tables
/// without which nothing can be served.
pub(super) async fn repair(
    missing: &Objects,
    connection: &mut PgConnection,
) -> Result<Vec<String>, sqlx::Error> {
    let mut lost = Vec::new();
    for (name, made_by) in missing {
        match made_by.as_deref() {
            None if NEEDED.contains(&name.as_str()) => lost.push(format!("the {name}")),
            None => tracing::warn!("the {name} was dropped by hand"),
            // What it belonged to is gone.
            Some(_) if !lost.is_empty() => {}
            Some(index) if name.starts_with("index ") => tracing::warn!(
                "the {name} was dropped by hand, without which much is slower, or fails. Make it again: {index}"
            ),
            Some(made_by) => {
                sqlx::raw_sql(AssertSqlSafe(made_by.to_owned())).execute(&mut *connection).await?;
                tracing::warn!(
                    "the {name} was dropped by hand: made again; verify the database ({})",
                    hints().verify
                );
            }
        }
    }
    Ok(lost)
}
