//! Folding on PostgreSQL: one call of a function for a portion, on a connection beside the writer's, in whichever process has
//! the lock.

use std::fmt::Write as _;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::Row;

use super::function::Function;
use super::options::PostgresOptions;
use super::reader::read;
use super::readers::Readers;
use super::sweep;
use crate::error::Cause;
use crate::operation::{Fold, Persist};
use crate::store::fold::{Folder, Portion, distinct};
use crate::store::reader::Bind;

const FRAME: &str = include_str!("fold.sql");

/// The lock of who folds, or sweeps. It comes before all others.
pub(super) const LOCK: &str = "hashtext(current_schema()), -1";

/// What each operation appends to, in this dialect.
pub(super) fn of_kinds<O: Persist>() -> Vec<&'static [Fold]> {
    O::FOLDS.iter().zip(O::POSTGRES).map(|(same, dialect)| dialect.folds.unwrap_or(same)).collect()
}

/// The text of the function; nothing, where there is nothing to fold.
pub(super) fn function<O: Persist>() -> String {
    let mut folds = String::new();
    for fold in distinct(&of_kinds::<O>()) {
        let find = sweep::over(
            fold.rule.find,
            "sweep (now, horizon, most) AS (SELECT eitherway_now, eitherway_now, $2)",
        );
        let _ = writeln!(
            folds,
            "    WHEN '{}' THEN
        SELECT count(*), array_agg(DISTINCT f.key) INTO eitherway_rows, eitherway_gone FROM (\n{find}) f (key);
        IF eitherway_rows > 0 THEN",
            fold.name
        );
        for statement in fold.rule.remove {
            let statement = sweep::over(
                statement,
                "gone (key) AS (SELECT unnest(eitherway_gone)),
                 sweep (now, horizon) AS (SELECT eitherway_now, eitherway_now)",
            );
            let _ = writeln!(folds, "            {};", statement.trim_end());
        }
        folds.push_str("        END IF;\n");
    }
    if folds.is_empty() {
        return String::new();
    }
    format!(";\n{}", FRAME.replace("{LOCK}", LOCK).replace("{FOLDS}", folds.trim_end()))
}

pub(super) struct PostgresFolder {
    connection: Readers,
    call: std::sync::Arc<str>,
    limit: Duration,
}

impl PostgresFolder {
    pub(super) fn new(options: &PostgresOptions, function: &Function) -> Self {
        Self {
            connection: Readers::new(&options.clone().readers(1)),
            call: format!("SELECT {}($1, $2)", function.fold).into(),
            limit: options.statement_timeout,
        }
    }
}

impl Folder for PostgresFolder {
    fn fold(&self, fold: &'static Fold) -> BoxFuture<'_, Result<Portion, Cause>> {
        Box::pin(async move {
            let most = i64::try_from(fold.rule.batch_size).unwrap_or(i64::MAX);
            let binds = vec![Bind::Text(fold.name.to_owned()), Bind::Number(most)];
            // What is done twice finds nothing the second time.
            let rows = read(&self.connection, 2, self.limit, self.call.clone(), binds).await;
            let rows = rows.map_err(|fault| fault.cause())?;
            let rows = rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>(0));
            let rows = rows.map_err(super::cause)?;
            Ok(u64::try_from(rows).map_or(Portion::Elsewhere, Portion::Rows))
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.connection.close())
    }
}
