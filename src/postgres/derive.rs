//! What a function works out for the statements of a migration, and these statements: whenever there is something of it. In pages:
//! memory is bounded.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::fault::Fault;
use super::function::{MIGRATES, still};
use super::options::PostgresOptions;
use crate::operation::{Deriving, Migration, Persist};
use crate::store::patience::patiently;

/// How long all of it may take: as many rows as there are.
pub(super) const LIMIT: Duration = Duration::from_secs(3600);

/// How many texts are looked at together.
const PAGE: i64 = 1000;

const NEXT: &str = "SELECT id, text FROM derived WHERE id > $1 ORDER BY id LIMIT $2";
const FILL: &str = "UPDATE derived SET value = r.value FROM unnest($1::bigint[], $2::text[]) r (id, value) WHERE derived.id = r.id";
const REST: &str = "DELETE FROM derived WHERE value IS NULL";

/// The migrations for which a function works something out.
pub(super) fn all<O: Persist>() -> impl Iterator<Item = (&'static Migration, &'static Deriving)> {
    O::POSTGRES_MIGRATIONS.iter().filter_map(|one| Some((one, one.deriving.as_ref()?)))
}

/// Does what there is to do, each migration in one transaction.
pub(super) async fn all_that_is_due<O: Persist>(
    options: &PostgresOptions,
    connection: &mut PgConnection,
) -> Result<(), Fault> {
    for (one, deriving) in all::<O>() {
        if !is_due(deriving, connection).await? {
            continue;
        }
        let since = Instant::now();
        let mut whole = connection.begin().await?;
        sqlx::raw_sql(MIGRATES).execute(&mut *whole).await?;
        // Nobody applies, folds or removes anything beside this, of operations of which some may be alone.
        let alone = format!("SET LOCAL statement_timeout = 0; {}", still(true));
        sqlx::raw_sql(AssertSqlSafe(alone)).execute(&mut *whole).await?;
        let says = fill(deriving, &mut whole).await?;
        let place = format!("{}, schema {}", options.shown(), options.in_schema());
        if let Some(says) = &says {
            tracing::info!("{place}: {says}");
            let statements = sqlx::raw_sql(AssertSqlSafe(one.sql)).execute(&mut *whole);
            patiently(&format!("{place}: {}", one.description), statements).await?;
        }
        whole.commit().await?;
        if says.is_some() {
            let took_ms = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            tracing::info!(took_ms, "{place}: {}: done", one.description);
        }
    }
    Ok(())
}

/// Whether there are texts at all.
async fn is_due(deriving: &Deriving, connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let due = AssertSqlSafe(format!("SELECT EXISTS ({})", deriving.of));
    sqlx::query_scalar(due).persistent(false).fetch_one(connection).await
}

/// Fills the table `derived`. Answers what the statements are about to change; nothing, where the table is empty.
async fn fill(deriving: &Deriving, connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
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
