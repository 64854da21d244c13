//! The dead letters of a database: what could not be understood or applied, for a person to look at.

use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Connection, Row};

use super::{DeadLetter, SqliteOptions, SqlxService, error, sqlite};
use crate::error::Cause;
use crate::operation::Persist;

const LIST: &str = "
    SELECT id, at, code, reason, subject, headers, payload FROM dead_letters ORDER BY id DESC LIMIT $1";
const SHOW: &str = "SELECT id, at, code, reason, subject, headers, payload FROM dead_letters WHERE id = $1";
const DROP: &str = "DELETE FROM dead_letters WHERE id = $1";
const IDS: &str = "SELECT id FROM dead_letters ORDER BY id";
#[cfg(feature = "nats")]
const IS_BURIED: &str = "
    SELECT EXISTS (SELECT 1 FROM dead_letters WHERE subject = $1 AND headers = $2 AND payload = $3)";

/// A dead letter as it lies in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuriedLetter {
    /// Its number.
    pub id: i64,
    /// When it was first taken, in unix milliseconds.
    pub at: i64,
    /// The name of the code of its cause.
    pub code: String,
    /// Why it is here.
    pub reason: String,
    /// The subject it came on.
    pub subject: String,
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// The dead letters of a database, over a connection of their own.
#[derive(Debug)]
pub struct DeadLetters(SqliteConnection);

impl DeadLetters {
    /// Opens them. The database must be there, and have been opened by [`SqlxService`] once.
    ///
    /// # Errors
    /// SQLite's.
    pub async fn open(options: &SqliteOptions) -> Result<Self, Cause> {
        sqlite::beside(options).await.map(Self).map_err(|e| error::cause(&e))
    }

    /// The newest `limit` of them, newest first.
    ///
    /// # Errors
    /// SQLite's.
    pub async fn list(&mut self, limit: u32) -> Result<Vec<BuriedLetter>, Cause> {
        let rows = sqlx::query(LIST).bind(i64::from(limit)).fetch_all(&mut self.0).await;
        let rows = rows.map_err(|e| error::cause(&e))?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|e| error::cause(&e))
    }

    /// The numbers of all of them, oldest first.
    ///
    /// # Errors
    /// SQLite's.
    pub async fn ids(&mut self) -> Result<Vec<i64>, Cause> {
        sqlx::query_scalar(IDS).fetch_all(&mut self.0).await.map_err(|e| error::cause(&e))
    }

    /// The one of this number.
    ///
    /// # Errors
    /// SQLite's.
    pub async fn show(&mut self, id: i64) -> Result<Option<BuriedLetter>, Cause> {
        let row =
            sqlx::query(SHOW).bind(id).fetch_optional(&mut self.0).await.map_err(|e| error::cause(&e))?;
        row.as_ref().map(read).transpose().map_err(|e| error::cause(&e))
    }

    /// Removes one; false if there is none of this number.
    ///
    /// # Errors
    /// SQLite's: it is still there then.
    pub async fn drop_letter(&mut self, id: i64) -> Result<bool, Cause> {
        let done = sqlx::query(DROP).bind(id).execute(&mut self.0).await.map_err(|e| error::cause(&e))?;
        Ok(done.rows_affected() > 0)
    }

    /// Closes the connection. Dropping does too, later.
    pub async fn close(self) {
        if let Err(e) = self.0.close().await {
            tracing::debug!("closing the dead letters: {e}");
        }
    }
}

impl<O: Persist> SqlxService<O> {
    /// Whether this very letter is kept already: somebody delivers again what was kept and not acknowledged.
    #[cfg(feature = "nats")]
    pub(crate) async fn is_buried(&self, letter: &DeadLetter) -> Result<bool, Cause> {
        sqlx::query_scalar(IS_BURIED)
            .bind(letter.subject.as_str())
            .bind(headers(letter))
            .bind(letter.payload.as_slice())
            .fetch_one(self.readers())
            .await
            .map_err(|e| error::cause(&e))
    }
}

/// The headers of a letter, as they are written: a JSON object.
pub(super) fn headers(letter: &DeadLetter) -> String {
    let headers: serde_json::Map<_, _> =
        letter.headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    serde_json::Value::from(headers).to_string()
}

fn read(row: &SqliteRow) -> Result<BuriedLetter, sqlx::Error> {
    let headers: String = row.try_get(5)?;
    let headers: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&headers).unwrap_or_default();
    Ok(BuriedLetter {
        id: row.try_get(0)?,
        at: row.try_get(1)?,
        code: row.try_get(2)?,
        reason: row.try_get(3)?,
        subject: row.try_get(4)?,
        headers: headers
            .into_iter()
            .map(|(name, value)| (name, value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect(),
        payload: row.try_get(6)?,
    })
}
