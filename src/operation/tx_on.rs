//! The rows of one database, for a function that applies a request.

use std::fmt;

use futures_util::future::BoxFuture;
use sqlx::database::HasStatementCache;
use sqlx::query::Query;
use sqlx::{Database, Error, Execute, Executor, FromRow, IntoArguments};

/// What a database lets its functions do.
pub(crate) trait Guard<DB: Database>: Send {
    /// Why a statement may not run, as the end of a sentence that begins with it.
    fn allows<'a>(
        &'a mut self,
        connection: &'a mut DB::Connection,
        sql: &'a str,
        arguments: &'a DB::Arguments,
    ) -> BoxFuture<'a, Result<Result<(), String>, Error>>;

    /// Whether an error is no fault of the call that meets it.
    fn is_of_the_environment(&self, error: &Error) -> bool;

    /// Whether nothing can follow a statement that has failed.
    fn ends_with_an_error(&self) -> bool;

    /// How many rows a statement has changed.
    fn changed(&self, done: &DB::QueryResult) -> u64;
}

/// What the statements of a call have come to.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The first statement that was refused, and why.
    pub(crate) forbidden: Option<String>,
    /// The first error behind which nothing can follow.
    pub(crate) failed: Option<String>,
    /// The first error that is no fault of the call.
    pub(crate) environment: Option<Error>,
    /// Whether a statement was sent and not waited for.
    pub(crate) running: bool,
}

/// [`Tx`](super::Tx) on one database, with all of its types.
pub struct TxOn<'c, DB: Database> {
    connection: &'c mut DB::Connection,
    guard: &'c mut dyn Guard<DB>,
    seen: Seen,
}

impl<DB: Database> fmt::Debug for TxOn<'_, DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TxOn").field("database", &DB::NAME).finish_non_exhaustive()
    }
}

impl<'c, DB> TxOn<'c, DB>
where
    DB: Database + HasStatementCache,
    DB::Arguments: IntoArguments<DB>,
    for<'e> &'e mut DB::Connection: Executor<'e, Database = DB>,
{
    pub(super) fn new(connection: &'c mut DB::Connection, guard: &'c mut dyn Guard<DB>) -> Self {
        Self { connection, guard, seen: Seen::default() }
    }

    pub(super) fn seen(self) -> Seen {
        self.seen
    }

    /// As [`Tx::execute`](super::Tx::execute).
    ///
    /// # Errors
    /// The same.
    pub async fn execute<'q>(&mut self, query: impl Execute<'q, DB> + 'q) -> Result<u64, Error> {
        let query = self.allowed(query).await?;
        let done = query.execute(&mut *self.connection).await;
        let done = self.over(done)?;
        Ok(self.guard.changed(&done))
    }

    /// As [`Tx::fetch_optional`](super::Tx::fetch_optional).
    ///
    /// # Errors
    /// The same.
    pub async fn fetch_optional<'q, R>(
        &mut self,
        query: impl Execute<'q, DB> + 'q,
    ) -> Result<Option<R>, Error>
    where
        R: for<'r> FromRow<'r, DB::Row>,
    {
        let row = self.row(query).await?;
        row.map(|row| R::from_row(&row)).transpose()
    }

    /// As [`Tx::fetch_all`](super::Tx::fetch_all).
    ///
    /// # Errors
    /// The same.
    pub async fn fetch_all<'q, R>(&mut self, query: impl Execute<'q, DB> + 'q) -> Result<Vec<R>, Error>
    where
        R: for<'r> FromRow<'r, DB::Row>,
    {
        self.rows(query).await?.iter().map(R::from_row).collect()
    }

    pub(super) async fn row<'q>(
        &mut self,
        query: impl Execute<'q, DB> + 'q,
    ) -> Result<Option<DB::Row>, Error> {
        let query = self.allowed(query).await?;
        let row = query.fetch_optional(&mut *self.connection).await;
        self.over(row)
    }

    pub(super) async fn rows<'q>(&mut self, query: impl Execute<'q, DB> + 'q) -> Result<Vec<DB::Row>, Error> {
        let query = self.allowed(query).await?;
        let rows = query.fetch_all(&mut *self.connection).await;
        self.over(rows)
    }

    /// The statement, if it may run: prepared in any case, so that it is what it seems to be.
    async fn allowed<'q>(
        &mut self,
        mut query: impl Execute<'q, DB> + 'q,
    ) -> Result<Query<'static, DB, DB::Arguments>, Error> {
        if let Some(why) = &self.seen.failed {
            return Err(Error::InvalidArgument(format!("a statement before this one has failed: {why}")));
        }
        let arguments = query.take_arguments().map_err(Error::Encode)?.unwrap_or_default();
        let persistent = query.persistent();
        let sql = query.sql();
        self.seen.running = true;
        let allowed = self.guard.allows(self.connection, sql.as_str(), &arguments).await;
        if let Err(why) = self.over(allowed)? {
            let why = format!("its statement `{}` {why}", sql.as_str());
            self.seen.forbidden.get_or_insert(why.clone());
            return Err(Error::InvalidArgument(why));
        }
        self.seen.running = true;
        Ok(sqlx::query_with(sql, arguments).persistent(persistent))
    }

    /// What a statement came to.
    fn over<T>(&mut self, done: Result<T, Error>) -> Result<T, Error> {
        self.seen.running = false;
        let error = match done {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let of_the_environment = self.guard.is_of_the_environment(&error);
        if of_the_environment || self.guard.ends_with_an_error() {
            self.seen.failed.get_or_insert_with(|| error.to_string());
        }
        if !of_the_environment {
            return Err(error);
        }
        let said = Error::Protocol(error.to_string());
        self.seen.environment.get_or_insert(error);
        Err(said)
    }
}
