//! The transaction in which a function applies its request, and why it does not.

use std::fmt;

use futures_util::future::BoxFuture;

use crate::cause::Refusal;
use crate::head::Head;

/// The transaction in which [`Apply::apply`](super::Apply::apply) runs. It reads and changes rows, and does nothing else.
///
/// It owns no connection and gives none away, so nothing outlives the call and nothing ends the transaction early:
///
/// ```compile_fail,E0521
/// # use eitherway::operation::Tx;
/// async fn keep(tx: &mut Tx<'_>) {
///     tokio::spawn(async move { tx.execute(sqlx::query("UPDATE shelf SET count = count + 1")).await });
/// }
/// ```
///
/// ```compile_fail,E0599
/// # use eitherway::operation::Tx;
/// async fn end(tx: &mut Tx<'_>) {
///     tx.lock_handle().await.map(|mut handle| handle.remove_commit_hook());
/// }
/// ```
///
/// ```compile_fail
/// # use eitherway::operation::Tx;
/// async fn swap(one: &mut Tx<'_>, other: &mut Tx<'_>) {
///     std::mem::swap(one, other);
/// }
/// ```
pub struct Tx<'c> {
    #[cfg(feature = "sqlite")]
    connection: &'c mut sqlx::SqliteConnection,
    /// Why a statement may not run, as the end of a sentence that begins with the operation.
    #[cfg(feature = "sqlite")]
    forbids: fn(&str) -> Result<(), String>,
    #[cfg(feature = "sqlite")]
    forbidden: Option<String>,
    #[cfg(not(feature = "sqlite"))]
    _never: &'c std::convert::Infallible,
}

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteQueryResult, SqliteRow};
    use sqlx::{Error, Execute, FromRow, SqliteConnection};

    use super::Tx;

    impl<'c> Tx<'c> {
        pub(crate) const fn new(
            connection: &'c mut SqliteConnection,
            forbids: fn(&str) -> Result<(), String>,
        ) -> Self {
            Self { connection, forbids, forbidden: None }
        }

        /// The first statement that was refused, and why.
        pub(crate) fn forbidden(self) -> Option<String> {
            self.forbidden
        }

        /// Runs a statement and returns how many rows it changed.
        ///
        /// Dropped before its end, the statement may have run: the effects of a call stand or fall together.
        ///
        /// # Errors
        /// SQLite's; or that the statement is not `SELECT`, `INSERT`, `UPDATE` or `DELETE`, which refuses the request
        /// whatever becomes of this error.
        pub async fn execute<'q, E>(&mut self, query: E) -> Result<SqliteQueryResult, Error>
        where
            E: Execute<'q, Sqlite> + 'q,
        {
            let query = self.allowed(query)?;
            query.execute(&mut *self.connection).await
        }

        /// The first row of a query, if there is one: a tuple, or a type that derives `sqlx::FromRow`.
        ///
        /// # Errors
        /// As [`execute`](Self::execute); or that the row cannot be read as an `R`.
        pub async fn fetch_optional<'q, R>(
            &mut self,
            query: impl Execute<'q, Sqlite> + 'q,
        ) -> Result<Option<R>, Error>
        where
            R: for<'r> FromRow<'r, SqliteRow>,
        {
            let query = self.allowed(query)?;
            let row = query.fetch_optional(&mut *self.connection).await?;
            row.map(|row| R::from_row(&row)).transpose()
        }

        /// All rows of a query.
        ///
        /// # Errors
        /// As [`fetch_optional`](Self::fetch_optional).
        pub async fn fetch_all<'q, R>(
            &mut self,
            query: impl Execute<'q, Sqlite> + 'q,
        ) -> Result<Vec<R>, Error>
        where
            R: for<'r> FromRow<'r, SqliteRow>,
        {
            let query = self.allowed(query)?;
            let rows = query.fetch_all(&mut *self.connection).await?;
            rows.iter().map(R::from_row).collect()
        }

        fn allowed<'q>(&mut self, mut query: impl Execute<'q, Sqlite> + 'q) -> Result<Allowed, Error> {
            let arguments = query.take_arguments().map_err(Error::Encode)?.unwrap_or_default();
            let persistent = query.persistent();
            let sql = query.sql();
            if let Err(why) = (self.forbids)(sql.as_str()) {
                let why = format!("its statement `{}` {why}", sql.as_str());
                self.forbidden.get_or_insert(why.clone());
                return Err(Error::InvalidArgument(why));
            }
            Ok(sqlx::query_with(sql, arguments).persistent(persistent))
        }
    }

    type Allowed = sqlx::query::Query<'static, Sqlite, SqliteArguments>;
}

/// How a request is applied from its payload; for [`operations!`](crate::operations).
pub type ApplyFn =
    for<'a> fn(&'a [u8], &'a mut Tx<'_>, &'a Head) -> BoxFuture<'a, Result<Vec<u8>, ApplyError>>;

/// Why a request was not applied.
#[derive(Debug)]
#[non_exhaustive]
pub enum ApplyError {
    /// The operation refuses it.
    Refused(Refusal),
    /// SQLite refuses a query.
    #[cfg(feature = "sqlite")]
    Sqlite(sqlx::Error),
}

impl From<Refusal> for ApplyError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[cfg(feature = "sqlite")]
impl From<sqlx::Error> for ApplyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlite(error)
    }
}
