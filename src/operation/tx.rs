//! The transaction in which a function applies its request, and why it does not.

use std::fmt;

use futures_util::future::BoxFuture;

#[cfg(feature = "sqlite")]
use super::tx_on::{Guard, Seen, TxOn};
use crate::cause::Refusal;
use crate::head::Head;

/// The transaction in which [`Apply::apply`](super::Apply::apply) runs. It reads and changes rows, and does nothing else.
///
/// Its statements are for whichever database is behind it: one function serves both, as far as they read the same SQL (`$1` is
/// a parameter of both). What is bound and read are the types that both have: numbers (`i64`, `i32`, `f64`), text, bytes, `Option`s
/// of them; `bool` is a number on SQLite. Where that is not enough, `sqlite` and `postgres` give the same for one database, with
/// all of its types, and tell which one it is.
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
/// ```compile_fail,E0616
/// # use eitherway::operation::Tx;
/// async fn take(tx: &mut Tx<'_>) {
///     tx.sqlite().map(|on| on.connection);
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
    on: On<'c>,
    #[cfg(not(feature = "sqlite"))]
    _never: &'c std::convert::Infallible,
}

/// On which database.
#[cfg(feature = "sqlite")]
enum On<'c> {
    Sqlite(TxOn<'c, sqlx::Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(TxOn<'c, sqlx::Postgres>),
}

impl fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tx").finish_non_exhaustive()
    }
}

#[cfg(feature = "sqlite")]
mod any {
    use sqlx::any::AnyRow;
    #[cfg(feature = "postgres")]
    use sqlx::postgres::PgArguments;
    use sqlx::sqlite::SqliteArguments;
    use sqlx::{Any, Error, Execute, FromRow, Sqlite, SqliteConnection};

    use super::{Guard, On, Seen, Tx, TxOn};

    /// Runs the same on the database that it is.
    macro_rules! on {
        ($tx:expr, $query:expr, ($on:ident, $same:ident) => $run:expr) => {{
            let mut query = $query;
            let arguments = query.take_arguments().map_err(Error::Encode)?.unwrap_or_default();
            let (persistent, sql) = (query.persistent(), query.sql());
            match &mut $tx.on {
                On::Sqlite($on) => {
                    let arguments: SqliteArguments = arguments.convert_into().map_err(Error::Encode)?;
                    let $same = sqlx::query_with(sql, arguments).persistent(persistent);
                    $run
                }
                #[cfg(feature = "postgres")]
                On::Postgres($on) => {
                    let arguments: PgArguments = arguments.convert_into().map_err(Error::Encode)?;
                    let $same = sqlx::query_with(sql, arguments).persistent(persistent);
                    $run
                }
            }
        }};
    }

    impl<'c> Tx<'c> {
        pub(crate) fn of_sqlite(
            connection: &'c mut SqliteConnection,
            guard: &'c mut dyn Guard<Sqlite>,
        ) -> Self {
            Self { on: On::Sqlite(TxOn::new(connection, guard)) }
        }

        #[cfg(feature = "postgres")]
        pub(crate) fn of_postgres(
            connection: &'c mut sqlx::PgConnection,
            guard: &'c mut dyn Guard<sqlx::Postgres>,
        ) -> Self {
            Self { on: On::Postgres(TxOn::new(connection, guard)) }
        }

        /// What its statements have come to.
        pub(crate) fn seen(self) -> Seen {
            match self.on {
                On::Sqlite(on) => on.seen(),
                #[cfg(feature = "postgres")]
                On::Postgres(on) => on.seen(),
            }
        }

        /// The same with SQLite's own types, if it is SQLite.
        #[cfg_attr(not(feature = "postgres"), allow(clippy::unnecessary_wraps))]
        pub fn sqlite(&mut self) -> Option<&mut TxOn<'c, Sqlite>> {
            match &mut self.on {
                On::Sqlite(on) => Some(on),
                #[cfg(feature = "postgres")]
                On::Postgres(_) => None,
            }
        }

        /// The same with PostgreSQL's own types, if it is PostgreSQL.
        #[cfg(feature = "postgres")]
        pub fn postgres(&mut self) -> Option<&mut TxOn<'c, sqlx::Postgres>> {
            match &mut self.on {
                On::Postgres(on) => Some(on),
                On::Sqlite(_) => None,
            }
        }

        /// Runs a statement and returns how many rows it changed.
        ///
        /// Dropped before its end, the statement may have run: the effects of a call stand or fall together.
        ///
        /// # Errors
        /// The database's; or that the statement is not `SELECT`, `INSERT`, `UPDATE` or `DELETE`, which refuses the request
        /// whatever becomes of this error. On PostgreSQL any error ends the call: only a [`Refusal`](super::Refusal) comes behind it.
        pub async fn execute<'q>(&mut self, query: impl Execute<'q, Any> + 'q) -> Result<u64, Error> {
            on!(self, query, (on, same) => on.execute(same).await)
        }

        /// The first row of a query, if there is one: a tuple, or a type that derives `sqlx::FromRow`.
        ///
        /// # Errors
        /// As [`execute`](Self::execute); or that the row cannot be read as an `R`.
        pub async fn fetch_optional<'q, R>(
            &mut self,
            query: impl Execute<'q, Any> + 'q,
        ) -> Result<Option<R>, Error>
        where
            R: for<'r> FromRow<'r, AnyRow>,
        {
            let row = on!(self, query, (on, same) => {
                on.row(same).await?.map(|row| AnyRow::try_from(&row)).transpose()?
            });
            row.map(|row| R::from_row(&row)).transpose()
        }

        /// All rows of a query.
        ///
        /// # Errors
        /// As [`fetch_optional`](Self::fetch_optional).
        pub async fn fetch_all<'q, R>(&mut self, query: impl Execute<'q, Any> + 'q) -> Result<Vec<R>, Error>
        where
            R: for<'r> FromRow<'r, AnyRow>,
        {
            let rows: Vec<AnyRow> = on!(self, query, (on, same) => {
                on.rows(same).await?.iter().map(AnyRow::try_from).collect::<Result<_, _>>()?
            });
            rows.iter().map(R::from_row).collect()
        }
    }
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
    /// The database refuses a query.
    #[cfg(feature = "sqlite")]
    Database(sqlx::Error),
}

impl From<Refusal> for ApplyError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[cfg(feature = "sqlite")]
impl From<sqlx::Error> for ApplyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}
