//! What this process knows to be in its database, and finds again only in that file and in its later copies: a copy that is
//! older lacks it.

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use crate::operation::{Kind, Spec};
use crate::sqlite::limit;
use crate::store::queue::Write;

/// Of the newest event: ids are made in the order of time, mostly. Any event will do; a call may be removed soon after it
/// was answered.
const NEWEST: &str = "
    SELECT id, batch, applied_at, (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'dead_letters')
    FROM (SELECT 1) LEFT JOIN (SELECT id, batch, applied_at FROM ledger
                                  WHERE answer IS NULL ORDER BY id DESC LIMIT 1) ON true";

/// Whose file it is; and whether it has a row of the batch, or may have removed it since, and all the dead letters.
const ASK: &str = "
    SELECT (SELECT value FROM meta WHERE key = 'database_id'),
           $1 = '[]'
           OR EXISTS (SELECT 1 FROM json_each($1) w CROSS JOIN ledger l ON l.id = w.value WHERE l.batch = $2)
           OR coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'swept.ledger'), 0) > $3,
           (SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'dead_letters') >= $4";

/// When the last of all that are there was applied; none if none is there.
const LATEST: &str = "SELECT max(applied_at) FROM ledger";

/// What a file must hold.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    database: String,
    /// The last event, as a JSON array of its id; none before there was one.
    ids: String,
    batch: i64,
    applied_at: i64,
    /// The number of the last dead letter.
    letters: i64,
}

/// What a file turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileMatch {
    Right,
    Another,
    Older,
}

impl Witness {
    /// What is in the file now.
    pub(super) async fn of(database: &str, connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        let row = limit::within(sqlx::query(NEWEST).fetch_one(connection)).await?;
        let id: Option<String> = row.try_get(0)?;
        Ok(Self {
            database: database.to_owned(),
            ids: serde_json::Value::from_iter(id).to_string(),
            batch: row.try_get::<Option<i64>, _>(1)?.unwrap_or_default(),
            applied_at: row.try_get::<Option<i64>, _>(2)?.unwrap_or_default(),
            letters: row.try_get(3)?,
        })
    }

    /// What is in the same database now.
    pub(super) async fn again(&self, connection: &mut SqliteConnection) -> Result<Self, sqlx::Error> {
        Self::of(&self.database, connection).await
    }

    /// Of a file that lacks what it must hold: whether all that is there was written before that, as in an older copy. If not,
    /// rows were deleted.
    pub(super) async fn is_after(&self, connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
        let now = self.again(connection).await?;
        let latest = sqlx::query_scalar::<_, Option<i64>>(LATEST).fetch_one(connection);
        let latest = limit::within(latest).await?;
        Ok(now.letters < self.letters || latest.is_some_and(|latest| latest < self.applied_at))
    }

    /// A batch was committed, and is in the file. `new`: how many of `writes` were not there before.
    pub(super) fn committed(&mut self, batch: i64, now: i64, specs: &[Spec], writes: &[Write], new: u64) {
        // Which of them are new is not known if not all are: the one before still stands for the file then.
        if new != writes.len() as u64 {
            return;
        }
        let event = |write: &&Write| matches!(specs[write.index].kind, Kind::Event);
        if let Some(last) = writes.iter().rfind(event) {
            self.ids = serde_json::Value::from_iter([last.id.to_string()]).to_string();
            (self.batch, self.applied_at) = (batch, now);
        }
    }

    /// Dead letters were kept, up to this number.
    pub(super) fn dead_letters_kept(&mut self, last: i64) {
        self.letters = self.letters.max(last);
    }

    /// What the file is that a connection has open.
    pub(super) async fn ask(&self, connection: &mut SqliteConnection) -> Result<FileMatch, sqlx::Error> {
        let asked = sqlx::query(ASK)
            .bind(self.ids.as_str())
            .bind(self.batch)
            .bind(self.applied_at)
            .bind(self.letters)
            .fetch_one(connection);
        let row = limit::within(asked).await?;
        let (database, batch, letters): (Option<String>, bool, bool) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(if database.as_deref() != Some(self.database.as_str()) {
            FileMatch::Another
        } else if batch && letters {
            FileMatch::Right
        } else {
            FileMatch::Older
        })
    }
}
