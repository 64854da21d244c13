//! What the migrations have made, written down with them: what was dropped by hand since is made again where that takes no time,
//! and named where it does.

use std::collections::BTreeMap;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::hints::hints;

/// Tables, their columns, views, indexes, functions and triggers of the schema, in an order in which they can be made: what each is called, and
/// the statement that makes it; none for a table or a column. Those that every version of a program has for itself are not among them.
const OBJECTS: &str = "
    WITH here (n) AS (SELECT to_regnamespace(current_setting('search_path'))::oid)
    SELECT name, made_by FROM (
        SELECT 1, c.oid, CASE c.relkind WHEN 'v' THEN 'view ' WHEN 'i' THEN 'index ' ELSE 'table ' END || c.relname,
            CASE c.relkind
                WHEN 'v' THEN format('CREATE OR REPLACE VIEW %I AS %s', c.relname, pg_get_viewdef(c.oid))
                WHEN 'i' THEN pg_get_indexdef(c.oid) END
        FROM pg_class c JOIN here ON c.relnamespace = n
        WHERE c.relkind IN ('r', 'p', 'v', 'i') AND c.relname NOT LIKE '\\_sqlx%'
        UNION ALL SELECT 4, c.oid, format('column %s of %s', a.attname, c.relname), NULL
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN here ON c.relnamespace = n
        WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND c.relname NOT LIKE '\\_sqlx%'
        UNION ALL SELECT 2, p.oid, 'function ' || p.oid::regprocedure, pg_get_functiondef(p.oid)
        FROM pg_proc p JOIN here ON p.pronamespace = n
        WHERE p.prokind = 'f' AND p.proname !~ '^(apply|fold)_[0-9a-f]{16}$'
        UNION ALL SELECT 3, t.oid, format('trigger %s of %s', t.tgname, c.relname), pg_get_triggerdef(t.oid)
        FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN here ON c.relnamespace = n WHERE NOT t.tgisinternal
    ) o (kind, number, name, made_by) ORDER BY kind, number";

const KEPT: &str = "SELECT value::text FROM meta WHERE key = 'objects'";
const KEEP: &str = "
    INSERT INTO meta (key, value) VALUES ('objects', $1) ON CONFLICT (key) DO UPDATE SET value = excluded.value";

/// Without these, and a column of these tables, nothing can be served; what an operation lacks is found when its statements are looked at.
const NEEDED: [&str; 4] = ["table ledger", "table dead_letters", "index ledger_pkey", "index meta_pkey"];
const TABLES: [&str; 3] = [" of ledger", " of dead_letters", " of meta"];

/// The name of each, and what makes it, in the order in which they were made.
type Objects = Vec<(String, Option<String>)>;

async fn objects(connection: &mut PgConnection) -> Result<Objects, sqlx::Error> {
    sqlx::query_as(OBJECTS).fetch_all(connection).await
}

/// What is not there that was written down.
async fn missing(connection: &mut PgConnection) -> Result<Objects, sqlx::Error> {
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

/// What was dropped by hand and is not made again here.
#[derive(Debug, Default)]
pub(super) struct Lost(Objects);

impl Lost {
    /// Why nothing can be served without it, and what to do, if that is so.
    pub(super) fn needed(&self, schema: &str) -> Option<String> {
        let of = |name: &str| name.starts_with("column ") && TABLES.iter().any(|table| name.ends_with(table));
        let needed = self.0.iter().filter(|(name, _)| NEEDED.contains(&name.as_str()) || of(name));
        Self(needed.cloned().collect()).any(schema)
    }

    /// The same of all of it.
    pub(super) fn any(&self, schema: &str) -> Option<String> {
        let (indexes, rows): (Vec<_>, Vec<_>) = self.0.iter().partition(|(_, made_by)| made_by.is_some());
        let of = if rows.is_empty() { &indexes } else { &rows };
        let names = of.iter().map(|(name, _)| format!("the {name}")).collect::<Vec<_>>().join(", ");
        let statements =
            of.iter().filter_map(|(_, made_by)| made_by.as_deref()).collect::<Vec<_>>().join("; ");
        let lacks = format!("the schema {schema} lacks {names}, which was dropped by hand");
        match (rows.is_empty(), indexes.is_empty()) {
            (false, _) => Some(format!("{lacks}, with what was in it: restore a backup (pg_restore)")),
            (true, false) => Some(format!("{lacks}. Make it again: {statements}")),
            (true, true) => None,
        }
    }
}

/// Makes again what is missing and holds no rows, and names the rest: an index may take long, and a table or a column is lost.
pub(super) async fn restore(connection: &mut PgConnection) -> Result<Lost, sqlx::Error> {
    let (rows, others): (Objects, Objects) =
        missing(connection).await?.into_iter().partition(|(_, made_by)| made_by.is_none());
    let mut lost = Lost::default();
    for (name, _) in rows {
        // A column of a table that is gone is gone with it.
        let with_it = |(table, _): &(String, _)| {
            table.strip_prefix("table ").is_some_and(|table| name.ends_with(&format!(" of {table}")))
        };
        if !lost.0.iter().any(with_it) {
            tracing::warn!("the {name} was dropped by hand");
            lost.0.push((name, None));
        }
    }
    let is_whole = lost.0.is_empty();
    for (name, made_by) in others {
        let Some(statement) = made_by.clone() else { continue };
        if name.starts_with("index ") {
            if is_whole {
                tracing::warn!(
                    "the {name} was dropped by hand, without which much is slower, or fails. Make it again: {statement}"
                );
            }
            lost.0.push((name, made_by));
            continue;
        }
        match sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *connection).await {
            Ok(_) => tracing::warn!(
                "the {name} was dropped by hand: made again; verify the database ({})",
                hints().verify
            ),
            // What it belonged to is gone.
            Err(e) if !is_whole && e.as_database_error().is_some() => {}
            Err(e) => return Err(e),
        }
    }
    Ok(lost)
}
