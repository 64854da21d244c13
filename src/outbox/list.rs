//! What is in an outbox, for people.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::error::OutboxError;
use super::file;
use super::options::horizon;

// `$1`: what was taken until then is too old, even if it is not set aside yet.
const WAITING: &str =
    "SELECT operation, sum(taken_at > $1), sum(taken_at <= $1), min(taken_at) FROM waiting GROUP BY 1";
const ASIDE: &str = "SELECT operation, sum(code <> 'expired'), sum(code = 'expired') FROM aside GROUP BY 1";
const REFUSALS: &str = "SELECT id, operation, occurred_at, aside_at, code, reason FROM aside WHERE code <> 'expired' \
                        ORDER BY aside_at DESC, id LIMIT 20";

/// What is in an outbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listing {
    /// The file.
    pub file: String,
    /// The namespace whose events it keeps, if there is one.
    pub namespace: Option<String>,
    /// Events that are going to be offered again.
    pub waiting: u64,
    /// Events that the database refused.
    pub refused: u64,
    /// Events that waited for longer than [`MAX_REPLAY_AGE`](super::MAX_REPLAY_AGE).
    pub expired: u64,
    /// When the oldest one that waits was taken, in unix milliseconds.
    pub oldest: Option<i64>,
    /// The same by operation.
    pub operations: BTreeMap<String, Rows>,
    /// The last refusals, the newest first, 20 at most.
    pub refusals: Vec<Refusal>,
}

/// Events of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Rows {
    /// That are going to be offered again.
    pub waiting: u64,
    /// That the database refused.
    pub refused: u64,
    /// That waited for too long.
    pub expired: u64,
}

/// An event that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Refusal {
    /// The id of the event.
    pub id: String,
    /// What it was to do.
    pub operation: String,
    /// When it happened, in unix milliseconds.
    pub occurred_at: i64,
    /// When it was refused, in unix milliseconds.
    pub refused_at: i64,
    /// The code of the refusal.
    pub code: String,
    /// The same for people.
    pub reason: String,
}

/// Looks into an outbox. Takes no lock and changes nothing, so it may be done while a process holds it.
///
/// # Errors
/// When there is none, or it cannot be read.
pub async fn list(path: &Path) -> Result<Listing, OutboxError> {
    let (mut connection, namespace) = file::read(path).await?;
    let listing = read(path, &mut connection).await.map_err(|error| OutboxError::of_sqlite(path, error))?;
    let namespace = (!namespace.is_none()).then(|| namespace.to_string());
    Ok(Listing { namespace, ..listing })
}

async fn read(path: &Path, connection: &mut SqliteConnection) -> Result<Listing, sqlx::Error> {
    let mut listing = Listing { file: path.display().to_string(), ..Listing::default() };
    // One state of the file, whatever is written to it meanwhile.
    sqlx::query("BEGIN").execute(&mut *connection).await?;
    for row in sqlx::query(WAITING).bind(horizon()).fetch_all(&mut *connection).await? {
        let rows = listing.operations.entry(row.try_get(0)?).or_default();
        rows.waiting = row.try_get::<i64, _>(1)?.unsigned_abs();
        rows.expired = row.try_get::<i64, _>(2)?.unsigned_abs();
        let oldest: i64 = row.try_get(3)?;
        listing.oldest = Some(listing.oldest.map_or(oldest, |known| known.min(oldest)));
    }
    for row in sqlx::query(ASIDE).fetch_all(&mut *connection).await? {
        let rows = listing.operations.entry(row.try_get(0)?).or_default();
        rows.refused = row.try_get::<i64, _>(1)?.unsigned_abs();
        rows.expired += row.try_get::<i64, _>(2)?.unsigned_abs();
    }
    for row in sqlx::query(REFUSALS).fetch_all(&mut *connection).await? {
        listing.refusals.push(Refusal {
            id: row.try_get(0)?,
            operation: row.try_get(1)?,
            occurred_at: row.try_get(2)?,
            refused_at: row.try_get(3)?,
            code: row.try_get(4)?,
            reason: row.try_get(5)?,
        });
    }
    for rows in listing.operations.values() {
        listing.waiting += rows.waiting;
        listing.refused += rows.refused;
        listing.expired += rows.expired;
    }
    Ok(listing)
}
