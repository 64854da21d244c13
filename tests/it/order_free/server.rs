//! A database on PostgreSQL with four writers, beside a file as its oracle.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use eitherway::postgres::{self, PostgresOptions};
use eitherway::sql::{SqlService, Verdict};
use proptest::test_runner::TestCaseError;
use rosey::op::Op;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tokio::sync::Mutex;

use super::base::{APPLIED_BEFORE, Base, LAST_APPLIED};
use super::dump::{self, Dump};
use super::files::Files;
use super::history::Case;
use crate::support::Postgres;

const WRITERS: usize = 4;

/// What is written otherwise in the text of the [content](dump::CONTENT).
const OTHERWISE: [(&str, &str); 5] = [
    ("json_array(", "jsonb_build_array("),
    // With the fraction that a number of SQLite's has.
    (
        "bot_rank,",
        "CASE WHEN bot_rank = floor(bot_rank) THEN (bot_rank || '.0')::jsonb ELSE to_jsonb(bot_rank) END,",
    ),
    // SQLite's column holds a number wherever the text is one.
    (
        "current_media_duration,",
        "CASE WHEN current_media_duration ~ '^[0-9]+(\\.0)?$' THEN to_jsonb(current_media_duration::numeric::bigint)
              WHEN current_media_duration ~ '^[0-9]+\\.[0-9]+$' THEN to_jsonb(current_media_duration::numeric)
              ELSE to_jsonb(current_media_duration) END,",
    ),
    (
        "o.id = l.answer ->> 'id'",
        "o.id = CASE WHEN l.operation IN ('outbound_enqueue', 'tell') THEN (l.answer::jsonb ->> 'id')::bigint END",
    ),
    ("json(value)", "value"),
];

/// The content, column by column as SQLite has it.
fn content() -> String {
    OTHERWISE.iter().fold(dump::CONTENT.to_owned(), |content, (there, here)| {
        assert!(content.contains(there), "{there}");
        content.replace(there, here)
    })
}

/// To the writers it stays the database that they know.
const CLEAR: &str = "
    BEGIN;
    DELETE FROM user_stats; DELETE FROM user_baseline; DELETE FROM server_lines;
    DELETE FROM presence_folded; DELETE FROM presence_waiting; DELETE FROM lines_waiting;
    DELETE FROM recent_chat; DELETE FROM user_count_history; DELETE FROM user_actions; DELETE FROM outbound_marks;
    DELETE FROM outbound_messages; DELETE FROM ledger; DELETE FROM dead_letters; DELETE FROM high_water;
    DELETE FROM channel_quotes; DELETE FROM kv_entries; DELETE FROM forgotten; DELETE FROM forgotten_events;
    DELETE FROM derived; DELETE FROM status_fields; DELETE FROM channel_stats; DELETE FROM current_status;
    DELETE FROM meta WHERE key LIKE 'swept.%';
    INSERT INTO high_water (kind, count, at) VALUES ('chat', 0, NULL), ('connected', 0, NULL), ('updated', 0, 0);
    INSERT INTO channel_stats (id) VALUES (1);
    INSERT INTO current_status (id) VALUES (1);
    INSERT INTO status_fields (field, at, id, value) SELECT field, 0, '', value FROM status_fields_of_old;
    COMMIT";

/// What waits to be folded.
const WAITING: &str =
    "SELECT EXISTS (SELECT 1 FROM presence_waiting) OR EXISTS (SELECT 1 FROM lines_waiting)";

pub(crate) struct Server {
    writers: Vec<SqlService<Op>>,
    raw: Mutex<PgConnection>,
    options: PostgresOptions,
    /// How many cases there were. Two processes fold beside every other one; in the rest all waits to the end.
    cases: AtomicUsize,
}

impl Server {
    pub(crate) async fn new() -> Self {
        let url = Postgres::shared().database().await;
        let options = PostgresOptions::new(&url)
            .unwrap()
            .readers(1)
            .retention(None) // removing is part of the cases
            .folding(None) // so is folding
            .past_tolerance(Duration::MAX) // their clock begins at 1
            // Waiting for the others is no failure here.
            .lock_timeout(Duration::from_secs(30))
            .statement_timeout(Duration::from_secs(40));
        let mut writers = Vec::new();
        for _ in 0..WRITERS {
            writers.push(SqlService::open_postgres(&options).await.unwrap());
        }
        let mut raw = PgConnection::connect(&url).await.unwrap();
        let copy =
            "SET search_path = rosey; CREATE TABLE status_fields_of_old AS SELECT * FROM status_fields";
        sqlx::raw_sql(copy).execute(&mut raw).await.unwrap();
        Self { writers, raw: Mutex::new(raw), options, cases: AtomicUsize::new(0) }
    }
}

impl Base for Server {
    fn writers(&self) -> &[SqlService<Op>] {
        &self.writers
    }

    async fn clear(&self) {
        sqlx::raw_sql(CLEAR).execute(&mut *self.raw.lock().await).await.unwrap();
    }

    async fn verdict(&self) -> Verdict {
        postgres::verify::<Op>(&self.options, |_| {}).await.unwrap()
    }

    async fn dump(&self) -> Dump {
        let text = AssertSqlSafe(format!("SELECT row::text FROM ({}) c (row)", content()));
        let rows: Vec<String> =
            sqlx::query_scalar(text).fetch_all(&mut *self.raw.lock().await).await.unwrap();
        rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
    }

    async fn beside<T>(&self, this: impl Future<Output = T>) -> T {
        super::base::beside_folds(&self.cases, [&self.writers[1], &self.writers[2]], this).await
    }

    async fn fold(&self) -> bool {
        let waits = sqlx::query_scalar(WAITING).fetch_one(&mut *self.raw.lock().await).await.unwrap();
        if waits {
            self.writers[3].fold().await.unwrap();
            let left: bool =
                sqlx::query_scalar(WAITING).fetch_one(&mut *self.raw.lock().await).await.unwrap();
            assert!(!left, "something waits behind a fold");
        }
        waits
    }

    async fn last_applied(&self) -> Result<i64, String> {
        let last = sqlx::query_scalar(LAST_APPLIED);
        last.fetch_one(&mut *self.raw.lock().await).await.map_err(|e| e.to_string())
    }

    async fn applied_before(&self, until: i64) -> Result<Vec<String>, String> {
        let ids = sqlx::query_scalar(APPLIED_BEFORE).bind(until);
        ids.fetch_all(&mut *self.raw.lock().await).await.map_err(|e| e.to_string())
    }
}

/// A row of the ledger without the hash of a mark, whose payload has the number of a message: that is each database's own.
fn without_number(mut row: Value) -> Value {
    if row[0] == "ledger"
        && row[2].as_str().is_some_and(|name| name.starts_with("outbound_mark") || name == "tell_undo")
    {
        row[3] = Value::Null;
    }
    row
}

/// What was tried on PostgreSQL until now, and ended the same.
static TALLY: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];

/// What all databases on PostgreSQL together were given.
pub(crate) struct Tally {
    histories: usize,
    operations: usize,
    deliveries: usize,
}

impl Tally {
    pub(crate) fn all() -> Self {
        let [histories, operations, deliveries] = [0, 1, 2].map(|n| TALLY[n].load(Ordering::Relaxed));
        Self { histories, operations, deliveries }
    }

    fn add(case: &Case) {
        let times = |delivery: &super::history::Delivery| 1 + usize::from(delivery.twice);
        let deliveries = case.events.iter().flat_map(|event| &event.deliveries).map(times).sum();
        for (tally, more) in TALLY.iter().zip([1, case.events.len(), deliveries]) {
            tally.fetch_add(more, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { histories, operations, deliveries } = self;
        // One that was lost or doubled would have been another content, or another ledger.
        write!(
            f,
            "{histories} histories, {operations} operations delivered {deliveries} times: lost 0, doubled 0"
        )
    }
}

/// The database, and the file that says what it must be.
pub(crate) struct Both {
    file: Files,
    server: Server,
}

impl Both {
    pub(crate) async fn new() -> Self {
        Self { file: Files::new().await, server: Server::new().await }
    }

    /// With the database changed by these statements.
    pub(crate) async fn changed(statements: &str) -> Self {
        let both = Self::new().await;
        let statements = sqlx::raw_sql(AssertSqlSafe(statements));
        statements.execute(&mut *both.server.raw.lock().await).await.unwrap();
        both
    }

    /// The writers of the database.
    pub(crate) fn writers(&self) -> &[SqlService<Op>] {
        &self.server.writers
    }

    /// Closes it, and counts the deadlocks that there were.
    pub(crate) async fn deadlocks(self) -> i64 {
        for writer in &self.server.writers {
            writer.close().await;
        }
        // A connection has counted its own when it is gone.
        let mut raw = self.server.raw.lock().await;
        let others = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut *raw).await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        sqlx::query_scalar(deadlocks).fetch_one(&mut *raw).await.unwrap()
    }

    pub(crate) async fn try_one(&self, case: &Case) -> Result<(), TestCaseError> {
        let (expected, newest) = super::try_one(&self.file, case).await?;
        let (found, newest_here) = super::try_one(&self.server, case).await?;
        // Of messages that came at the same time either may have the highest number, and that one is never removed.
        if newest != newest_here {
            Tally::add(case);
            return Ok(());
        }
        let alike = |rows: Dump| rows.into_iter().map(without_number).collect::<Dump>();
        match dump::difference(&alike(expected), &alike(found)) {
            None => {
                Tally::add(case);
                Ok(())
            }
            Some(difference) => {
                Err(TestCaseError::fail(format!("PostgreSQL is not what SQLite is: {difference}")))
            }
        }
    }
}
