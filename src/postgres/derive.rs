//! What a function works out for the statements of a migration, in pages: memory is bounded.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use crate::operation::Deriving;

/// How many texts are looked at together.
const PAGE: i64 = 1000;

const NEXT: &str = "SELECT id, text FROM derived WHERE id > $1 ORDER BY id LIMIT $2";
const FILL: &str = "UPDATE derived SET value = r.value FROM unnest($1::bigint[], $2::text[]) r (id, value) WHERE derived.id = r.id";
const REST: &str = "DELETE FROM derived WHERE value IS NULL";

/// Whether there are texts at all.
pub(super) async fn is_due(deriving: &Deriving, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let due = AssertSqlSafe(format!("SELECT EXISTS ({})", deriving.of));
    sqlx::query_scalar(due).persistent(false).fetch_one(connection).await
}

/// Fills the table `derived`. Answers what the statements are about to change; nothing, where the table is empty.
pub(super) async fn fill(
    deriving: &Deriving,
    connection: &mut PgConnection,
) -> Result<Option<String>, sqlx::Error> {
    let collect =
        format!("INSERT INTO derived (text) SELECT * FROM ({}) t ON CONFLICT (text) DO NOTHING", deriving.of);
    sqlx::query(AssertSqlSafe(collect)).persistent(false).execute(&mut *connection).await?;
    let mut last = 0;
    loop {
        let page = sqlx::query_as(NEXT).bind(last).bind(PAGE).persistent(false);
        let rows: Vec<(i64, String)> = page.fetch_all(&mut *connection).await?;
        let Some((id, _)) = rows.last() else { break };
        last = *id;
        let values = rows.iter().filter_map(|(id, text)| Some((*id, (deriving.value)(text)?)));
        let (ids, values): (Vec<i64>, Vec<String>) = values.unzip();
        sqlx::query(FILL).bind(ids).bind(values).persistent(false).execute(&mut *connection).await?;
    }
    sqlx::query(REST).persistent(false).execute(&mut *connection).await?;
    let says = format!("SELECT ({}) WHERE EXISTS (SELECT 1 FROM derived)", deriving.says);
    sqlx::query_scalar(AssertSqlSafe(says)).persistent(false).fetch_optional(connection).await
}
