//! Reading from SQLite, beside the writer.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::{AssertSqlSafe, SqlitePool};
use tokio::sync::watch;

use super::reads::{QuerySql, Reads};
use super::{error, sweep};
use crate::error::Cause;
use crate::known_time;
use crate::operation::{Persist, RetentionRule};
use crate::sqlite::database_file::DatabaseFile;
use crate::sqlite::limit;
use crate::store::Concerns;
use crate::store::reader::{Bind, Question, Read, Reader, Texts};
use crate::store::retention;

/// The framework's statements on SQLite.
pub(super) static TEXTS: Texts = Texts {
    facts: "SELECT key || ' ' || value FROM meta WHERE key IN ('known_time', 'taken_over', 'ledger_from')",
    newest: "SELECT CAST(max(applied_at) AS TEXT) FROM ledger",
    keep: "
        INSERT INTO meta (key, value) SELECT key, value FROM json_each($1) WHERE true
        ON CONFLICT (key) DO UPDATE SET value = excluded.value;",
    dead_letters: "SELECT CAST(count(*) AS TEXT) FROM dead_letters",
    has_dead_letter: "
        SELECT CAST(id AS TEXT) FROM dead_letters WHERE subject = $1 AND headers = $2 AND payload = $3 LIMIT 1",
    // Rows stay when an instance ends: an instance that received its last message still finds it here. So many are more
    // than ever run at the same time.
    enrol: "
        INSERT INTO meta (key, value) VALUES ('secret', lower(hex(randomblob(16)))) ON CONFLICT (key) DO NOTHING;
        INSERT INTO meta (key, value) VALUES ('instance.' || ($1 ->> 'id'), $1)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value;
        DELETE FROM meta WHERE key > 'instance.' AND key < 'instance/' AND key NOT IN (
            SELECT key FROM meta WHERE key > 'instance.' AND key < 'instance/' ORDER BY value ->> 'seen' DESC LIMIT 1000);",
    secret: "SELECT value FROM meta WHERE key = 'secret'",
    seen: "SELECT CAST(value ->> 'seen' AS TEXT) FROM meta WHERE key = 'instance.' || $1",
    started: "
        SELECT substr(key, 10) FROM meta WHERE key > 'instance.' AND key < 'instance/' AND value ->> 'started' >= $1",
    there: "
        SELECT substr(key, 10) FROM meta WHERE key > 'instance.' AND key < 'instance/' AND value ->> 'seen' >= $1",
    finding: sweep::finding,
};

/// A pool of connections that can only read.
pub(crate) struct SqliteReader {
    pool: SqlitePool,
    place: Arc<DatabaseFile>,
    reads: Arc<Reads>,
    sweeps: Vec<&'static RetentionRule>,
}

impl SqliteReader {
    pub(super) fn new<O: Persist>(
        pool: SqlitePool,
        place: Arc<DatabaseFile>,
        queries: Arc<[QuerySql]>,
    ) -> Self {
        let reads = Reads::new(pool.clone(), Arc::clone(&place), queries);
        Self { pool, place, reads, sweeps: retention::sweeps::<O>().collect() }
    }
}

impl Reader for SqliteReader {
    fn texts(&self) -> &'static Texts {
        &TEXTS
    }

    fn sweeps(&self) -> Vec<&'static RetentionRule> {
        self.sweeps.clone()
    }

    fn ask(&self, question: Question) -> Result<Read, Cause> {
        self.place.readable()?;
        Ok(Box::pin(Arc::clone(&self.reads).ask(question)))
    }

    fn look_up(&self, sql: String, binds: Vec<Bind>) -> BoxFuture<'_, Result<Vec<String>, sqlx::Error>> {
        Box::pin(limit::reading(&self.pool, async move |reader| {
            let query = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(sql));
            let query = binds.into_iter().fold(query, |query, bind| match bind {
                Bind::Text(text) => query.bind(text),
                Bind::Number(number) => query.bind(number),
                Bind::Bytes(bytes) => query.bind(bytes),
            });
            Ok(query.fetch_all(reader).await?.into_iter().flatten().collect())
        }))
    }

    fn cause(&self, error: &sqlx::Error) -> Cause {
        error::cause(error)
    }

    fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.pool.close())
    }

    fn file_id(&self) -> Option<String> {
        let (machine, node) = (known_time::Reading::machine(), self.place.open().node());
        if self.place.trouble().borrow().is_some() {
            // No file is the right one now.
            return Some(format!("{machine}/-"));
        }
        node.map(|(device, inode)| format!("{machine}/{device:x}/{inode:x}"))
    }

    fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.place.trouble()
    }

    fn concerns(&self) -> watch::Receiver<Concerns> {
        self.place.concerns()
    }

    fn concern(&self, change: &mut dyn FnMut(&mut Concerns) -> bool) {
        self.place.with_concerns(change);
    }

    fn sqlite(&self) -> Option<&SqlitePool> {
        Some(&self.pool)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A reader of a database in memory, and its one connection.
    pub(crate) async fn reading() -> (SqlitePool, SqliteReader) {
        let one = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
        let pool = one.connect("sqlite::memory:").await.expect("a database");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("rosey.db");
        std::fs::write(&file, "").expect("a file");
        let place = Arc::new(DatabaseFile::new(&file).expect("a place"));
        let reads = Reads::new(pool.clone(), Arc::clone(&place), Arc::from([]));
        (pool.clone(), SqliteReader { pool, place, reads, sweeps: Vec::new() })
    }
}
