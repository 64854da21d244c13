//! Dead letters are bounded: beyond a number or a size the oldest that can never be applied are dropped, and one letter of each
//! kind and subject says how many. What could be applied yet is never dropped.

use futures_util::TryStreamExt;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Row};

use crate::headers::{DROPPED, UNREAD};
use crate::store::DeadLetter;
use crate::store::dead_letter::UNKNOWN_SUBJECT;

/// How many letters that can never be applied are kept whole, and how many bytes of them.
pub(crate) const MOST: u64 = 10_000;
pub(crate) const MOST_BYTES: u64 = 64 << 20;

/// After how many letters, or bytes of them, it is looked again.
const LOOK: u64 = 500;
const LOOK_BYTES: u64 = 8 << 20;

/// What has been buried since it was looked.
#[derive(Debug)]
pub(crate) struct Trim {
    letters: u64,
    bytes: u64,
}

impl Trim {
    /// Looks at the first letter: another process may have left many.
    pub(crate) const fn new() -> Self {
        Self { letters: LOOK, bytes: 0 }
    }

    /// Whether it is time to look, with these.
    pub(crate) fn is_due(&mut self, letters: &[DeadLetter]) -> bool {
        self.letters += letters.len() as u64;
        self.bytes += letters.iter().map(|letter| letter.size() as u64).sum::<u64>();
        let due = self.letters >= LOOK || self.bytes >= LOOK_BYTES;
        if due {
            *self = Self { letters: 0, bytes: 0 };
        }
        due
    }
}

/// A letter that can never be applied: its payload is at fault, or so is its header, and its payload is no object. One that another
/// version may know is none.
fn garbage() -> String {
    let unread = either(UNREAD.names().map(|name| format!("headers LIKE '%\"{name}\":%'")));
    format!(
        "code IN ('invalid', 'too_large') AND reason <> '{UNKNOWN_SUBJECT}' AND NOT {} AND NOT ({unread} \
         AND CASE WHEN json_valid(CAST(payload AS TEXT)) THEN json_type(CAST(payload AS TEXT)) = 'object' ELSE 0 END)",
        summary("headers")
    )
}

/// One that stands for those that were dropped.
fn summary(headers: &str) -> String {
    either(DROPPED.names().map(|name| format!("{headers} LIKE '{{\"{name}\":%'")))
}

fn either(conditions: impl Iterator<Item = String>) -> String {
    format!("({})", conditions.collect::<Vec<_>>().join(" OR "))
}

/// Drops what is too much.
pub(super) async fn trim(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let garbage = garbage();
    let sizes = format!(
        "SELECT id, length(payload) + length(headers) FROM dead_letters WHERE {garbage} ORDER BY id DESC"
    );
    let (mut letters, mut bytes) = (0, 0);
    let mut too_much = None;
    {
        let mut rows = sqlx::query(AssertSqlSafe(sizes)).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            letters += 1;
            bytes += row.try_get::<i64, _>(1)?.unsigned_abs();
            if letters > MOST || bytes > MOST_BYTES {
                too_much = Some(row.try_get::<i64, _>(0)?);
                break;
            }
        }
    }
    let Some(id) = too_much else { return Ok(()) };
    let (is_summary, newer) = (summary("headers"), summary("n.headers"));
    let numbers: String =
        DROPPED.names().map(|name| format!("CAST(headers ->> '{name}' AS INTEGER), ")).collect();
    let (dropped, number) = (DROPPED.name, format!("coalesce({numbers}1)"));
    let sql = format!(
        "BEGIN IMMEDIATE;
         INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
         SELECT max(at), code,
             sum(n) || ' letters like it were dropped, because there were too many: ' || reason, subject,
             json_object('{dropped}', CAST(sum(n) AS TEXT)), x''
         FROM (SELECT at, code, subject, {is_summary} AS old,
                   CASE WHEN {is_summary} THEN {number} ELSE 1 END AS n,
                   CASE WHEN {is_summary} THEN substr(reason, instr(reason, ': ') + 2) ELSE reason END AS reason
               FROM dead_letters WHERE {is_summary} OR id <= {id} AND {garbage})
         GROUP BY code, subject HAVING min(old) = 0;
         DELETE FROM dead_letters WHERE id <= {id} AND {garbage};
         DELETE FROM dead_letters WHERE {is_summary} AND EXISTS (
             SELECT 1 FROM dead_letters n WHERE {newer} AND n.code = dead_letters.code
                 AND n.subject = dead_letters.subject AND n.id > dead_letters.id);
         COMMIT"
    );
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await;
    if done.is_err() {
        // After an error the transaction is still open.
        let _ = sqlx::raw_sql("ROLLBACK").execute(connection).await;
    }
    done.map(drop)
}
