//! What the writer does on PostgreSQL: one connection of its own, and one call of the function for a batch, in a transaction if
//! there are functions to be called behind it.

use std::time::{Duration, Instant};

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use tokio::sync::watch;
use tokio::time;

use super::apply::Calls;
use super::batch::BatchOutcome;
use super::fault::Fault;
use super::function::{ALL, ALONE, Function};
use super::letters::{self, DEAD_LETTER_INSERT};
use super::link::{Connected, Link};
use super::options::PostgresOptions;
use super::{batch, fold, sweep, versions};
use crate::error::Cause;
use crate::operation::{Persist, Spec};
use crate::sql::trim::Trim;
use crate::store::queue::Write;
use crate::store::record::Record;
use crate::store::record::Removal;
use crate::store::writer::{Applied, Backend};
use crate::store::{DeadLetter, call};

/// The pause before something is repeated.
const PAUSE: Duration = Duration::from_millis(30);

pub(super) struct PostgresWriter {
    link: Link,
    call: String,
    calls: Calls,
    function: Function,
    /// When to look for unused functions next.
    versions: Instant,
    specs: &'static [Spec],
    silences: Vec<&'static str>,
    /// For how long what is unknown is repeated.
    limit: Duration,
    trim: Trim,
}

impl PostgresWriter {
    pub(super) fn new<O: Persist>(
        options: &PostgresOptions,
        connected: Option<Connected>,
        function: &Function,
        trouble: watch::Sender<Option<String>>,
    ) -> Self {
        Self {
            link: Link::new(options.clone(), connected, trouble),
            call: function.call(),
            calls: Calls::of::<O>(options.statement_timeout),
            function: function.clone(),
            versions: Instant::now(),
            specs: O::SPECS,
            silences: call::silences::<O>(),
            limit: options.repeat_timeout,
            trim: Trim::new(),
        }
    }

    /// Drops dead letters that are too many.
    async fn trim(&mut self) -> Result<(), Fault> {
        let mut connection = self.link.take().await?;
        let trimmed = sqlx::query(AssertSqlSafe(letters::trim())).execute(&mut connection);
        let trimmed = self.link.within(trimmed).await;
        self.link.keep(connection, trimmed).map(drop)
    }

    /// Keeps this version's function, and drops those of versions that are gone.
    async fn look_at_versions(&mut self) -> Result<(), Fault> {
        let mut connection = self.link.take().await?;
        let looked = self.link.within(versions::look(&mut connection, &self.function.name)).await;
        self.link.keep(connection, looked)
    }

    /// Makes the function again.
    async fn make(&mut self) -> Result<(), Fault> {
        let mut connection = self.link.take().await?;
        let text = sqlx::raw_sql(AssertSqlSafe(self.function.text.as_str()));
        let made = self.link.within(text.execute(&mut connection)).await;
        self.link.keep(connection, made).map(drop)
    }

    /// One call of the function, and what follows it.
    async fn call(&mut self, json: &str, answer_bytes: i64, writes: &[Write]) -> Result<BatchOutcome, Fault> {
        let mut connection = self.link.take().await?;
        let call = sqlx::query(AssertSqlSafe(self.call.as_str())).bind(json).bind(answer_bytes);
        if !self.calls.are_in(writes) {
            let rows = self.link.within(call.fetch_all(&mut connection)).await;
            return Ok(batch::read_outcomes(&self.link.keep(connection, rows)?, writes)?);
        }
        let told = self.calls.transaction(&self.link, &mut connection, call, writes).await;
        let undo = sqlx::raw_sql("ROLLBACK");
        if told.as_ref().is_err_and(|fault| !fault.spoils())
            && self.link.within(undo.execute(&mut connection)).await.is_err()
        {
            return told;
        }
        self.link.keep(connection, told)
    }
}

/// Whether something that may be done twice is done once more: while its fate is unknown, or another transaction was in the way.
struct Tries {
    begun: Instant,
    limit: Duration,
    unknown: bool,
}

impl Tries {
    fn new(limit: Duration) -> Self {
        Self { begun: Instant::now(), limit, unknown: false }
    }

    /// Waits a moment for the next try.
    ///
    /// # Errors
    /// There is none: what is told instead.
    async fn again(&mut self, fault: Fault) -> Result<(), Fault> {
        self.unknown |= fault.is_unknown();
        let repeats = self.unknown && (fault.is_unknown() || fault.is_unconnected());
        if !(repeats || fault.is_conflict()) || self.begun.elapsed() >= self.limit {
            return Err(if self.unknown { Fault::Unrepeated(Box::new(fault)) } else { fault });
        }
        tracing::debug!("once more: {}", fault.cause());
        if !fault.is_conflict() {
            time::sleep(PAUSE).await;
        }
        Ok(())
    }
}

/// Removes in one transaction, while no other transaction with keys and no fold runs.
async fn remove(connection: &mut PgConnection, removal: &Removal) -> Result<u64, sqlx::Error> {
    sqlx::query("BEGIN").execute(&mut *connection).await?;
    for (how, lock) in [("", fold::LOCK), ("_shared", ALONE), ("", ALL)] {
        let lock = format!("SELECT pg_advisory_xact_lock{how}({lock})");
        sqlx::query(AssertSqlSafe(lock)).execute(&mut *connection).await?;
    }
    let mut removed = 0;
    for statement in removal.sweep.remove {
        let statement = sqlx::query(AssertSqlSafe(sweep::over_gone(statement)))
            .bind(&removal.keys)
            .bind(removal.horizon)
            .bind(removal.now);
        removed = statement.execute(&mut *connection).await?.rows_affected();
    }
    if removed > 0 {
        let until = sqlx::query(sweep::REMOVED).bind(removal.sweep.name).bind(removal.horizon);
        until.execute(&mut *connection).await?;
    }
    sqlx::query("COMMIT").execute(connection).await?;
    Ok(removed)
}

impl Backend for PostgresWriter {
    type Failure = Fault;
    const SYSTEM: &'static str = "postgresql";

    async fn look(&mut self) {
        self.link.look().await;
        if self.versions <= Instant::now() {
            self.versions = Instant::now() + versions::EVERY;
            if let Err(fault) = self.look_at_versions().await {
                tracing::debug!("could not drop unused functions: {}", fault.cause());
            }
        }
    }

    async fn transaction(&mut self, writes: &[Write]) -> Result<Applied, Fault> {
        let json = batch::json(self.specs, writes);
        // One limit for the batch: what a list leaves out is claimed by the next request.
        let answer_bytes = writes.iter().map(|write| write.answer_bytes).min().unwrap_or_default();
        let answer_bytes = i64::try_from(answer_bytes).unwrap_or(i64::MAX);
        let mut tries = Tries::new(self.limit);
        let mut made = false;
        loop {
            match self.call(&json, answer_bytes, writes).await {
                Ok(told) => return Ok(told.applied(writes, &self.silences)),
                // Another version may have dropped the function as unused. Nothing was applied.
                Err(fault) if fault.lacks_function() && !std::mem::replace(&mut made, true) => {
                    if let Err(fault) = self.make().await {
                        tracing::debug!("the function is not made again: {}", fault.cause());
                    }
                }
                Err(fault) => tries.again(fault).await?,
            }
        }
    }

    async fn is_of_some(&mut self, failure: &Fault, _: &[Write]) -> bool {
        failure.is_of_an_operation()
    }

    async fn cause(&mut self, failure: Fault, _: &[Write]) -> Cause {
        failure.cause()
    }

    async fn keep_dead_letter(&mut self, letters: &[DeadLetter]) -> Result<(), Cause> {
        let columns = letters::Columns::of(letters);
        let buried = async {
            let mut connection = self.link.take().await?;
            let buried = columns.bind(sqlx::query(DEAD_LETTER_INSERT)).execute(&mut connection);
            let buried = self.link.within(buried).await;
            self.link.keep(connection, buried)
        };
        buried.await.map_err(|fault| fault.cause_of_the_frame())?;
        if self.trim.is_due(letters)
            && let Err(fault) = self.trim().await
        {
            // What fails is done with the next ones.
            tracing::debug!("too many dead letters are not dropped: {}", fault.cause());
        }
        Ok(())
    }

    async fn remove(&mut self, removal: &Removal) -> Result<u64, Cause> {
        let removed = async {
            let mut connection = self.link.take().await?;
            let removed = match self.link.within(remove(&mut connection, removal)).await {
                // Others are at work: it has time until the next round.
                Err(fault) if fault.is_of(&["55P03"]) => {
                    self.link.within(sqlx::raw_sql("ROLLBACK").execute(&mut connection)).await?;
                    0
                }
                removed => removed?,
            };
            // Only then: after an error the transaction is still open.
            self.link.keep(connection, Ok(removed))
        };
        removed.await.map_err(|fault: Fault| fault.cause())
    }

    async fn record(&mut self, record: &Record) -> Result<(), Cause> {
        let written = async {
            let mut connection = self.link.take().await?;
            let written = sqlx::query(record.statements).bind(&record.value).execute(&mut connection);
            let written = self.link.within(written).await;
            self.link.keep(connection, written)
        };
        written.await.map(drop).map_err(|fault| fault.cause_of_the_frame())
    }

    async fn close(mut self) {
        self.link.close().await;
    }
}
