//! Working out again what a database on PostgreSQL must hold.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row};
use tokio::time::{self, Duration};

use super::fault::Fault;
use super::link::TargetSession;
use super::options::PostgresOptions;
use super::{link, migrate};
use crate::operation::{Invariant, Persist};
use crate::sql::{OpenError, TOLD, Verdict};

/// How long one check may take.
const LIMIT: Duration = Duration::from_secs(1800);

/// One state of the database from beginning to end, and no limit of the server's: a check reads whole tables.
const BEGIN: &str = "
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

/// As [`sql::verify`](crate::sql::verify()), on PostgreSQL.
///
/// # Errors
/// When the server cannot be reached, or the schema has not been migrated to this program's.
pub async fn verify<O: Persist>(
    options: &PostgresOptions,
    mut progress: impl FnMut(&'static str) + Send,
) -> Result<Verdict, OpenError> {
    let options = &options.of::<O>()?;
    let connected = link::connect(options, TargetSession::Reading).await;
    let mut connection = connected.map_err(|fault| options.failed(fault))?.connection;
    let begun = time::timeout(options.statement_timeout, async {
        migrate::is_current::<O>(options, &mut connection).await?;
        let begun = sqlx::raw_sql(BEGIN).execute(&mut connection).await;
        begun.map(drop).map_err(|e| options.failed(e.into()))
    });
    begun.await.unwrap_or_else(|_| Err(options.failed(Fault::Silent)))?;
    let mut verdict = Verdict::default();
    for (kind, name) in O::NAMES.iter().enumerate() {
        for check in O::POSTGRES[kind].checks.unwrap_or(O::CHECKS[kind]) {
            progress(check.name);
            let run = time::timeout(LIMIT, run(name, check, &mut connection, &mut verdict)).await;
            let run = run.unwrap_or(Err(Fault::Silent));
            run.map_err(|fault| OpenError::Server {
                server: options.shown().to_owned(),
                cause: format!("the check {}: {}", check.name, options.granting(fault).cause()),
            })?;
        }
    }
    let _ = time::timeout(options.connect_timeout, connection.close()).await;
    Ok(verdict)
}

/// The statement of a check: counts in the first row, then what is wrong.
fn comparing(operation: &str, check: &Invariant) -> String {
    format!(
        "WITH applied (id, at, answer) AS (
             SELECT id, occurred_at, CASE WHEN answer NOT LIKE '!%' THEN answer::jsonb END
             FROM ledger WHERE operation = '{operation}'),
         compared (about, field, actual, expected) AS MATERIALIZED (
             SELECT about::text, field::text, actual::text, expected::text
             FROM ({}\n) c (about, field, actual, expected)),
         wrong AS (SELECT * FROM compared WHERE actual IS DISTINCT FROM expected)
         SELECT (SELECT count(*) FROM compared)::text, (SELECT count(*) FROM wrong)::text, NULL, NULL
         UNION ALL (SELECT about, field, actual, expected FROM wrong LIMIT {TOLD})",
        check.sql
    )
}

async fn run(
    operation: &str,
    check: &Invariant,
    connection: &mut PgConnection,
    verdict: &mut Verdict,
) -> Result<(), Fault> {
    let sql = AssertSqlSafe(comparing(operation, check));
    let rows: Vec<PgRow> = sqlx::query(sql).fetch_all(connection).await?;
    let text = |row: &PgRow, place: usize| row.try_get::<Option<String>, _>(place);
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push([text(row, 0)?, text(row, 1)?, text(row, 2)?, text(row, 3)?]);
    }
    let mut found = found.into_iter();
    let counts = found.next().unwrap_or_default();
    let number =
        |text: &Option<String>| text.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default();
    verdict.take(check.name, number(&counts[0]), number(&counts[1]), found);
    Ok(())
}
