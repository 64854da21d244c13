//! A batch with operations that are applied by functions: the function of the statements first, which writes the ledger and takes
//! the locks for all of them; then those, one by one, each under a savepoint. All in one transaction of the writer's connection.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgArguments, PgConnection, PgQueryResult};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres};

use super::batch::BatchOutcome;
use super::fault::Fault;
use super::link::Link;
use super::{audit, batch};
use crate::error::{Cause, Code};
use crate::operation::{ApplyFn, Guard, Persist, Spec, Tx};
use crate::store::call::{Called, LONGEST, TOGETHER, ended, keep};
use crate::store::queue::Write;
use crate::store::text;
use crate::store::writer::Outcome;

/// So many statements of functions are remembered as judged.
const JUDGED: usize = 1000;

/// Where tables are looked for is written down, so that no function changes it: another table would be the ledger then.
const BEGIN: &str = "BEGIN; SELECT set_config('eitherway.tables', current_schemas(true)::text, true)";

const FIRST: &str = "SAVEPOINT operation";
const NEXT: &str = "RELEASE operation; SAVEPOINT operation";
const UNDO: &str = "ROLLBACK TO operation";

/// The row is still there, of this transaction, and in the same table as ever. An answer that `verify` could not read fails.
const END: &str = "
    UPDATE ledger SET answer = $2
    WHERE id = $1 AND xmin = pg_current_xact_id()::xid AND (starts_with($2, '!') OR $2::jsonb IS NOT NULL)
        AND current_setting('eitherway.tables') = current_schemas(true)::text";

const FORGET: &str = "DELETE FROM ledger WHERE id = ANY ($1)";

/// What batches with such operations are applied by.
pub(super) struct Calls {
    applies: &'static [Option<ApplyFn>],
    specs: &'static [Spec],
    /// How long one call may take: less than the server waits for the next statement.
    limit: Duration,
    judged: HashSet<String>,
}

/// Judges the statements of functions as PostgreSQL plans them, each once.
struct Judge<'c>(&'c mut HashSet<String>);

impl Guard<Postgres> for Judge<'_> {
    fn allows<'a>(
        &'a mut self,
        connection: &'a mut PgConnection,
        sql: &'a str,
        arguments: &'a PgArguments,
    ) -> BoxFuture<'a, Result<Result<(), String>, sqlx::Error>> {
        Box::pin(async move {
            if self.0.contains(sql) {
                return Ok(Ok(()));
            }
            if let Err(why) = text::is_of_rows(sql) {
                return Ok(Err(why));
            }
            // The server takes one statement here, and explains none that does anything but read and change rows.
            let explain = sqlx::query_with(AssertSqlSafe(audit::explaining(sql)), arguments.clone());
            let allowed = audit::explain(connection, explain).await?.spares();
            if allowed.is_ok() {
                if self.0.len() >= JUDGED {
                    self.0.clear();
                }
                self.0.insert(sql.to_owned());
            }
            Ok(allowed)
        })
    }

    fn is_of_the_environment(&self, error: &sqlx::Error) -> bool {
        Fault::is_of_the_environment(error)
    }

    fn ends_with_an_error(&self) -> bool {
        true
    }

    fn changed(&self, done: &PgQueryResult) -> u64 {
        done.rows_affected()
    }
}

impl Calls {
    pub(super) fn of<O: Persist>(statement_timeout: Duration) -> Self {
        let limit = LONGEST.min(statement_timeout.mul_f32(0.8));
        Self { applies: O::APPLY, specs: O::SPECS, limit, judged: HashSet::new() }
    }

    /// Whether there are any among these.
    pub(super) fn are_in(&self, writes: &[Write]) -> bool {
        writes.iter().any(|write| self.applies[write.index].is_some())
    }

    /// Applies these in one transaction, for as long as one may take; `call` is that of the function. After an error it is still open.
    pub(super) async fn transaction(
        &mut self,
        link: &Link,
        connection: &mut PgConnection,
        call: Query<'_, Postgres, PgArguments>,
        writes: &[Write],
    ) -> Result<BatchOutcome, Fault> {
        link.within(sqlx::raw_sql(BEGIN).execute(&mut *connection)).await?;
        let rows = link.within(call.fetch_all(&mut *connection)).await?;
        let mut told = batch::read_outcomes(&rows, writes)?;
        let (mut savepoint, mut begun, mut later) = (FIRST, None, Vec::new());
        for ((write, outcome), known) in writes.iter().zip(&mut told.outcomes).zip(&told.known) {
            let (Some(function), None, false) = (self.applies[write.index], &outcome, known) else {
                continue;
            };
            if begun.get_or_insert_with(Instant::now).elapsed() >= TOGETHER.min(self.limit) {
                *outcome = Some(Outcome::Later);
                later.push(write);
                continue;
            }
            link.within(sqlx::raw_sql(savepoint).execute(&mut *connection)).await?;
            *outcome = Some(self.one(link, connection, function, write).await?);
            savepoint = NEXT;
        }
        if !later.is_empty() {
            forget(link, connection, &later).await?;
        }
        link.within(sqlx::raw_sql("COMMIT").execute(connection)).await?;
        Ok(told)
    }

    async fn one(
        &mut self,
        link: &Link,
        connection: &mut PgConnection,
        function: ApplyFn,
        write: &Write,
    ) -> Result<Outcome, Fault> {
        let spec = &self.specs[write.index];
        let mut judge = Judge(&mut self.judged);
        let mut tx = Tx::of_postgres(connection, &mut judge);
        let called = Called::of(function, write, &mut tx, self.limit).await;
        let mut seen = tx.seen();
        if let Some(error) = seen.environment.take() {
            return Err(error.into());
        }
        // The database has not answered: that is no fault of the function.
        let stalled = seen.running && matches!(called, Called::Late(_));
        if seen.running {
            // What it has not waited for is waited for here: the answer stands before that of the next statement.
            match link.within(sqlx::query("SELECT 1").execute(&mut *connection)).await {
                Ok(_) => {}
                Err(Fault::Server(e)) if !Fault::is_lost(&e) => seen.failed = Some(e.to_string()),
                Err(fault) => return Err(fault),
            }
        }
        let called = match called.after(seen) {
            Called::Answer(answer) => match end(link, connection, write, &answer).await {
                Ok(true) => return Ok(Outcome::Answer(answer)),
                Ok(false) => return Err(Fault::Ended(ended(spec))),
                Err(fault) if fault.is_of(&["22"]) => Called::Undone(fault.cause().to_string()),
                // The ledger is not where it was.
                Err(fault) if fault.is_of_an_operation() => return Err(Fault::Ended(ended(spec))),
                Err(fault) => return Err(fault),
            },
            called => called,
        };
        link.within(sqlx::raw_sql(UNDO).execute(&mut *connection)).await?;
        if let Called::Refused(refusal) = called {
            return match end(link, connection, write, &keep(&refusal)).await? {
                true => Ok(Outcome::Refused(Cause::Refused(Box::new(refusal)))),
                false => Err(Fault::Ended(ended(spec))),
            };
        }
        forget(link, connection, &[write]).await?;
        if stalled {
            let why = format!("{}: the database has not answered within {:?}", spec.name, self.limit);
            return Ok(Outcome::Refused(Cause::new(Code::BUSY, why)));
        }
        Ok(called.failed(spec))
    }
}

/// Takes rows of this transaction out of the ledger: nothing of them has happened.
async fn forget(link: &Link, connection: &mut PgConnection, writes: &[&Write]) -> Result<(), Fault> {
    let ids: Vec<_> = writes.iter().map(|write| write.id.to_string()).collect();
    link.within(sqlx::query(FORGET).bind(ids).execute(connection)).await.map(drop)
}

/// Keeps what was answered; whether that could be.
async fn end(link: &Link, connection: &mut PgConnection, write: &Write, answer: &str) -> Result<bool, Fault> {
    let kept = sqlx::query(END).bind(write.id.to_string()).bind(answer).execute(connection);
    Ok(link.within(kept).await?.rows_affected() == 1)
}
