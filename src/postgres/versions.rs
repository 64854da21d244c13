//! The functions of several versions of a program in one schema: a writer records once a day which one it uses, and what no writer has
//! used for long is dropped.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

/// How often it is looked.
pub(super) const EVERY: std::time::Duration = std::time::Duration::from_secs(3600);

/// Writes down that `$1` is used, and begins to count for those of which nothing is known. Returns those that no writer has used for 30
/// days, as a name and as what is dropped.
const LOOK: &str = "
    WITH functions (name, whole) AS (
        SELECT proname::text, oid::regprocedure::text FROM pg_proc
        WHERE pronamespace = to_regnamespace(current_schema()) AND proname ~ '^apply_[0-9a-f]{16}$'),
    clock (now) AS (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint),
    used AS (
        INSERT INTO meta AS m (key, value) SELECT 'used.' || name, now::text FROM functions, clock ORDER BY name
        ON CONFLICT (key) DO UPDATE SET value = excluded.value
        WHERE m.key = 'used.' || $1 AND excluded.value::bigint - m.value::bigint NOT BETWEEN 0 AND 86400000)
    SELECT name, whole FROM functions JOIN meta ON key = 'used.' || name, clock
    WHERE name <> $1 AND value::bigint < now - 30 * 86400000::bigint";

/// Keeps the function of this name, and drops the unused ones. A writer that needs a dropped one creates it again.
pub(super) async fn look(connection: &mut PgConnection, own: &str) -> Result<(), sqlx::Error> {
    let unused: Vec<(String, String)> = sqlx::query_as(LOOK).bind(own).fetch_all(&mut *connection).await?;
    for (name, whole) in unused {
        // And that which folds, of the same version.
        let folds = name.replacen("apply_", "fold_", 1);
        let drop = AssertSqlSafe(format!("DROP FUNCTION IF EXISTS {whole}; DROP FUNCTION IF EXISTS {folds}"));
        sqlx::raw_sql(drop).execute(&mut *connection).await?;
        sqlx::query("DELETE FROM meta WHERE key = 'used.' || $1")
            .bind(&name)
            .execute(&mut *connection)
            .await?;
        tracing::info!("no version of the program has used the function {name} for 30 days: dropped");
    }
    Ok(())
}
