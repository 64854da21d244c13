//! Folding on PostgreSQL: one call of a function for a portion, on a connection beside the writer's, in whichever process has
//! the lock.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use tokio::time;

use super::fault::Fault;
use super::function::Function;
use super::options::PostgresOptions;
use super::reader::read;
use super::readers::Readers;
use crate::error::Cause;
use crate::operation::Fold;
use crate::store::fold::{Folder, Portion};
use crate::store::reader::Bind;

pub(super) struct PostgresFolder {
    connection: Readers,
    call: Arc<str>,
    /// What makes the function.
    text: Arc<str>,
    limit: Duration,
}

impl PostgresFolder {
    pub(super) fn new(options: &PostgresOptions, function: &Function) -> Self {
        Self {
            connection: Readers::new(&options.clone().readers(1)),
            call: format!("SELECT {}($1, $2)", function.fold).into(),
            text: function.text.as_str().into(),
            limit: options.statement_timeout,
        }
    }

    async fn call(&self, fold: &'static Fold) -> Result<Vec<PgRow>, Fault> {
        let most = i64::try_from(fold.rule.batch_size).unwrap_or(i64::MAX);
        let binds = vec![Bind::Text(fold.name.to_owned()), Bind::Number(most)];
        // What is done twice finds nothing the second time.
        read(&self.connection, 2, (self.limit, self.limit), Arc::clone(&self.call), binds).await
    }

    /// Makes the function again.
    async fn make(&self) -> Result<(), Fault> {
        let mut reader = self.connection.take().await?;
        let text = sqlx::raw_sql(AssertSqlSafe(Arc::clone(&self.text)));
        match time::timeout(self.limit, text.execute(reader.connection())).await {
            Ok(made) => made.map_err(|error| self.connection.fault(error))?,
            Err(_) => return Err(Fault::Silent),
        };
        reader.give_back();
        Ok(())
    }
}

impl Folder for PostgresFolder {
    fn fold(&self, fold: &'static Fold) -> BoxFuture<'_, Result<Portion, Cause>> {
        Box::pin(async move {
            let mut rows = self.call(fold).await;
            // It was dropped by hand.
            if rows.as_ref().is_err_and(Fault::lacks_function) && self.make().await.is_ok() {
                rows = self.call(fold).await;
            }
            let rows = rows.map_err(|fault| fault.cause())?;
            let rows = rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>(0));
            let rows = rows.map_err(|e| Fault::from(e).cause())?;
            Ok(u64::try_from(rows).map_or(Portion::Elsewhere, Portion::Rows))
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.connection.close())
    }
}
