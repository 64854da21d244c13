//! What a function works out for the statements of a migration, in pages: memory is bounded.

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, FromRow as _};

use crate::operation::Deriving;

/// How many texts are looked at together.
const PAGE: usize = 1000;

/// As bytes: a text of another program's may be none.
const NEXT: &str = "SELECT id, CAST(text AS BLOB) FROM derived WHERE id > $1 ORDER BY id LIMIT $2";
const FILL: &str =
    "UPDATE derived SET value = r.value ->> 1 FROM json_each($1) r WHERE derived.id = r.value ->> 0";
const REST: &str = "DELETE FROM derived WHERE value IS NULL";

/// Whether there are texts at all.
pub(super) async fn is_due(
    deriving: &Deriving,
    connection: &mut SqliteConnection,
) -> Result<bool, sqlx::Error> {
    let due = AssertSqlSafe(format!("SELECT EXISTS ({})", deriving.of));
    sqlx::query_scalar(due).persistent(false).fetch_one(connection).await
}

/// Fills the table `derived`. Answers what the statements are about to change; nothing, where the table is empty.
pub(super) async fn fill(
    deriving: &Deriving,
    connection: &mut SqliteConnection,
) -> Result<Option<String>, sqlx::Error> {
    let collect = format!(
        "INSERT INTO derived (text) SELECT * FROM ({}) WHERE true ON CONFLICT (text) DO NOTHING",
        deriving.of
    );
    sqlx::query(AssertSqlSafe(collect)).persistent(false).execute(&mut *connection).await?;
    let mut last = 0;
    loop {
        let page =
            sqlx::query(NEXT).bind(last).bind(i64::try_from(PAGE).unwrap_or(i64::MAX)).persistent(false);
        let rows = page.fetch_all(&mut *connection).await?;
        let rows = rows.iter().map(<(i64, Vec<u8>)>::from_row).collect::<Result<Vec<_>, _>>()?;
        let Some((id, _)) = rows.last() else { break };
        last = *id;
        let values = rows.iter().filter_map(|(id, text)| {
            let value = (deriving.value)(std::str::from_utf8(text).ok()?)?;
            Some(serde_json::json!([id, value]))
        });
        let values = values.collect::<serde_json::Value>().to_string();
        sqlx::query(FILL).bind(values).persistent(false).execute(&mut *connection).await?;
    }
    sqlx::query(REST).persistent(false).execute(&mut *connection).await?;
    let says = format!("SELECT ({}) WHERE EXISTS (SELECT 1 FROM derived)", deriving.says);
    sqlx::query_scalar(AssertSqlSafe(says)).persistent(false).fetch_optional(connection).await
}
