//! The dead letters of a database: what could not be understood or applied, for a person to look at.

use serde_json::Value;
use sqlx::sqlite::SqliteConnection;
use sqlx::{ColumnIndex, Connection, Decode, Row, Type};

use super::{SqlService, SqliteOptions, error, sqlite};
use crate::error::{Cause, Code};
use crate::headers::{DROPPED, UNREAD};
use crate::operation::Persist;
use crate::sqlite::{limit, names};
use crate::store::DeadLetter;
use crate::store::reader::Bind;

const LIST: &str = "
    SELECT id, at, code, reason, subject, headers, payload FROM dead_letters ORDER BY id DESC LIMIT $1";
const SHOW: &str = "SELECT id, at, code, reason, subject, headers, payload FROM dead_letters WHERE id = $1";
const DROP: &str = "DELETE FROM dead_letters WHERE id = $1";
const IDS: &str = "SELECT id FROM dead_letters ORDER BY id";
const GROUPS: &str = "
    SELECT same.subject, same.code, same.letters, same.first, same.last, same.newest, letter.reason
    FROM (SELECT subject, code, count(*) AS letters, min(at) AS first, max(at) AS last, max(id) AS newest
          FROM dead_letters GROUP BY subject, code) AS same
    JOIN dead_letters AS letter ON letter.id = same.newest
    ORDER BY same.newest DESC LIMIT $1";
const OF_GROUP: &str = "
    SELECT id FROM dead_letters WHERE subject = $1 AND code = $2 AND id <= $3 ORDER BY id LIMIT $4";

/// Dead letters that came on one subject and failed with one code.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct LetterGroup {
    /// The subject they came on.
    pub subject: String,
    /// The name of the code of their causes.
    pub code: String,
    /// How many there are.
    pub count: u64,
    /// When the first of them was taken, in unix milliseconds.
    pub first: i64,
    /// When the last of them was.
    pub last: i64,
    /// The number of the newest.
    pub newest: i64,
    /// Why that one is here.
    pub reason: String,
}

/// A dead letter as it lies in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredDeadLetter {
    /// The number of its row.
    pub id: i64,
    /// When it was first taken, in unix milliseconds.
    pub at: i64,
    /// The name of the code of its cause.
    pub code: String,
    /// Why it is here.
    pub reason: String,
    /// The subject it came on.
    pub subject: String,
    /// The headers of the message.
    pub headers: Vec<(String, String)>,
    /// The bytes of the message.
    pub payload: Vec<u8>,
}

/// The dead letters of a database, over a connection of their own.
#[derive(Debug)]
pub struct DeadLetters(Letters);

#[derive(Debug)]
enum Letters {
    Sqlite(SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::postgres::PgConnection),
}

/// Does the same on a connection to either, within a limit.
macro_rules! on {
    ($me:expr, $connection:ident => $job:expr) => {
        match &mut $me.0 {
            Letters::Sqlite($connection) => limit::within(async { $job }).await.map_err(|e| error::cause(&e)),
            #[cfg(feature = "postgres")]
            Letters::Postgres($connection) => {
                limit::within(async { $job }).await.map_err(crate::postgres::cause)
            }
        }
    };
}

impl DeadLetters {
    /// Opens them. The database must be there, and have been opened by [`SqlService`] once.
    ///
    /// # Errors
    /// An error of SQLite.
    pub async fn open(options: &SqliteOptions) -> Result<Self, Cause> {
        if let Err(e) = names::check(options.path()) {
            let file = options.path().display();
            return Err(Cause::new(Code::STORAGE, format!("cannot open {file}: {e}")));
        }
        let connection = limit::within(sqlite::beside(options)).await.map_err(|e| error::cause(&e))?;
        Ok(Self(Letters::Sqlite(connection)))
    }

    /// The same on PostgreSQL, for a database of these operations.
    ///
    /// # Errors
    /// The server's.
    #[cfg(feature = "postgres")]
    pub async fn open_postgres<O: crate::operation::Persist>(
        options: &crate::postgres::PostgresOptions,
    ) -> Result<Self, Cause> {
        let options = options.of::<O>().map_err(|e| Cause::new(Code::DATABASE, e.to_string()))?;
        crate::postgres::connect(&options).await.map(|connection| Self(Letters::Postgres(connection)))
    }

    /// The newest `limit` of them, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&mut self, limit: u32) -> Result<Vec<StoredDeadLetter>, Cause> {
        on!(self, c => {
            let rows = sqlx::query(LIST).bind(i64::from(limit)).fetch_all(c).await?;
            rows.iter().map(read).collect()
        })
    }

    /// The numbers of all of them, oldest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn ids(&mut self) -> Result<Vec<i64>, Cause> {
        on!(self, c => sqlx::query_scalar(IDS).fetch_all(c).await)
    }

    /// The same by subject and code: at most `limit` groups, the one with the newest letter first.
    ///
    /// # Errors
    /// The database's.
    pub async fn groups(&mut self, limit: u32) -> Result<Vec<LetterGroup>, Cause> {
        on!(self, c => {
            let rows = sqlx::query(GROUPS).bind(i64::from(limit)).fetch_all(c).await?;
            rows.iter().map(read_group).collect()
        })
    }

    /// The numbers of the letters of a group up to `newest`, oldest first and at most `limit`.
    ///
    /// # Errors
    /// The database's.
    pub async fn ids_of(
        &mut self,
        subject: &str,
        code: &str,
        newest: i64,
        limit: u32,
    ) -> Result<Vec<i64>, Cause> {
        on!(self, c => {
            let query = sqlx::query_scalar(OF_GROUP).bind(subject).bind(code).bind(newest);
            query.bind(i64::from(limit)).fetch_all(c).await
        })
    }

    /// The one of this number.
    ///
    /// # Errors
    /// The database's.
    pub async fn show(&mut self, id: i64) -> Result<Option<StoredDeadLetter>, Cause> {
        on!(self, c => {
            let row = sqlx::query(SHOW).bind(id).fetch_optional(c).await?;
            row.as_ref().map(read).transpose()
        })
    }

    /// Removes one; false if there is none of this number.
    ///
    /// # Errors
    /// The database's: it is still there then, as a rule.
    pub async fn drop_letter(&mut self, id: i64) -> Result<bool, Cause> {
        on!(self, c => sqlx::query(DROP).bind(id).execute(c).await.map(|done| done.rows_affected() > 0))
    }

    /// Closes the connection. Dropping does too, later.
    pub async fn close(self) {
        let closed = match self.0 {
            Letters::Sqlite(connection) => limit::within(connection.close()).await,
            #[cfg(feature = "postgres")]
            Letters::Postgres(connection) => limit::within(connection.close()).await,
        };
        if let Err(e) = closed {
            tracing::debug!("closing the dead letters: {e}");
        }
    }
}

impl<O: Persist> SqlService<O> {
    /// Whether this very letter is kept already: what was kept and not acknowledged is delivered again.
    pub(super) async fn has_dead_letter(&self, letter: &DeadLetter) -> Result<bool, Cause> {
        let reader = &self.shared.reader;
        let binds = vec![
            Bind::Text(letter.subject.clone()),
            Bind::Text(letter.headers_json()),
            Bind::Bytes(letter.payload.clone()),
        ];
        let found = reader.look_up(reader.texts().has_dead_letter.to_owned(), binds).await;
        found.map(|found| !found.is_empty()).map_err(|e| reader.cause(&e))
    }
}

impl StoredDeadLetter {
    /// How many letters it stands for, if these were dropped because there were too many.
    #[must_use]
    pub fn dropped(&self) -> Option<u64> {
        let (_, value) = self.headers.iter().find(|(name, _)| DROPPED.is(name))?;
        value.parse().ok()
    }

    /// Its headers, without what stands for those that cannot be read.
    pub fn readable_headers(&self) -> impl Iterator<Item = &(String, String)> {
        self.headers.iter().filter(|(name, _)| !UNREAD.is(name))
    }

    /// The bytes of its header in base64, if it cannot be read; [`headers`](Self::headers) are what can be read of it.
    #[must_use]
    pub fn unread_header(&self) -> Option<&str> {
        self.headers.iter().find(|(name, _)| UNREAD.is(name)).map(|(_, value)| value.as_str())
    }
}

fn read_group<R: Row>(row: &R) -> Result<LetterGroup, sqlx::Error>
where
    usize: ColumnIndex<R>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
{
    Ok(LetterGroup {
        subject: row.try_get(0)?,
        code: row.try_get(1)?,
        count: row.try_get::<i64, _>(2)?.unsigned_abs(),
        first: row.try_get(3)?,
        last: row.try_get(4)?,
        newest: row.try_get(5)?,
        reason: row.try_get(6)?,
    })
}

fn read<R: Row>(row: &R) -> Result<StoredDeadLetter, sqlx::Error>
where
    usize: ColumnIndex<R>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
{
    let headers: String = row.try_get(5)?;
    let headers: serde_json::Map<String, Value> = serde_json::from_str(&headers).unwrap_or_default();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let values = |name: &String, value: &Value| match value {
        Value::Array(values) => values.iter().map(|value| (name.clone(), text(value))).collect(),
        value => vec![(name.clone(), text(value))],
    };
    Ok(StoredDeadLetter {
        id: row.try_get(0)?,
        at: row.try_get(1)?,
        code: row.try_get(2)?,
        reason: row.try_get(3)?,
        subject: row.try_get(4)?,
        headers: headers.iter().flat_map(|(name, value)| values(name, value)).collect(),
        payload: row.try_get(6)?,
    })
}
