//! Reading from PostgreSQL, beside the writer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row, TypeInfo, ValueRef};
use tokio::sync::watch;
use tokio::time;

use super::fault::Fault;
use super::letters::text;
use super::options::PostgresOptions;
use super::readers::Readers;
use super::{function, sweep};
use crate::error::{Cause, Code};
use crate::operation::{Persist, RetentionRule};
use crate::store::Concerns;
use crate::store::reader::{Answered, Bind, Question, Read, Reader, Texts};
use crate::store::text::Statement;

/// For what may read a table from end to end.
const READING: Duration = Duration::from_secs(60);

/// The framework's statements on PostgreSQL.
static TEXTS: Texts = Texts {
    facts: "SELECT key || ' ' || value FROM meta WHERE key IN ('known_time', 'taken_over', 'ledger_from')",
    newest: "SELECT max(applied_at)::text FROM ledger",
    keep: "
        INSERT INTO meta (key, value) SELECT key, value FROM jsonb_each_text($1::jsonb) ORDER BY key
        ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    dead_letters: "SELECT count(*)::text FROM dead_letters",
    has_dead_letter: "
        SELECT id::text FROM dead_letters WHERE subject = $1 AND headers = $2 AND payload = $3 LIMIT 1",
    // As on SQLite: rows stay when an instance ends, enough that those which run are among them.
    enrol: "
        WITH secret AS (
            INSERT INTO meta (key, value) VALUES ('secret', replace(gen_random_uuid()::text, '-', ''))
            ON CONFLICT (key) DO NOTHING),
        old AS (
            DELETE FROM meta WHERE key > 'instance.' AND key < 'instance/' AND key NOT IN (
                SELECT key FROM meta WHERE key > 'instance.' AND key < 'instance/'
                ORDER BY (value::jsonb ->> 'seen')::bigint DESC LIMIT 1000))
        INSERT INTO meta (key, value) VALUES ('instance.' || ($1::jsonb ->> 'id'), $1)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    secret: "SELECT value FROM meta WHERE key = 'secret'",
    seen: "SELECT value::jsonb ->> 'seen' FROM meta WHERE key = 'instance.' || $1",
    started: "
        SELECT substr(key, 10) FROM meta
        WHERE key > 'instance.' AND key < 'instance/' AND (value::jsonb ->> 'started')::bigint >= $1",
    there: "
        SELECT substr(key, 10) FROM meta
        WHERE key > 'instance.' AND key < 'instance/' AND (value::jsonb ->> 'seen')::bigint >= $1",
    finding: sweep::finding,
};

pub(super) struct PostgresReader {
    readers: Arc<Readers>,
    limit: Duration,
    /// How often something is asked, if the connection turns out to be dead.
    attempts: u32,
    trouble: watch::Receiver<Option<String>>,
    concerns: watch::Sender<Concerns>,
    /// The statements of the queries, in the order of the operations.
    questions: Vec<Arc<str>>,
    sweeps: Vec<&'static RetentionRule>,
}

/// The queries as they run: `$1` the payload, `$2` the time, `$3` the most bytes, `$4` the id, `$5` when it was asked.
pub(super) fn questions<O: Persist>() -> Vec<Arc<str>> {
    let question = |kind: function::OfKind| {
        match Statement::read(kind.answer) {
        Ok(statement) if !kind.spec.writes() => statement
            .over(
                "asked (id, at, op) AS (SELECT $4::text, $5::bigint, $1::jsonb),
                 host (now, answer_bytes) AS (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint, $3::bigint)",
            )
            .into(),
        _ => Arc::from(""),
    }
    };
    function::kinds::<O>().map(question).collect()
}

impl PostgresReader {
    pub(super) fn new<O: Persist>(
        options: &PostgresOptions,
        trouble: watch::Receiver<Option<String>>,
    ) -> Self {
        Self {
            readers: Arc::new(Readers::new(options)),
            limit: options.statement_timeout,
            attempts: options.readers.max(1) + 1,
            trouble,
            concerns: watch::Sender::default(),
            questions: questions::<O>(),
            sweeps: sweep::sweeps::<O>(),
        }
    }
}

/// Reads through one of the connections. One that does not answer is given up, and what was lost with one is asked again: the
/// others may be as dead as it was.
///
/// `limit` may be longer than the `usual` one for a statement: then the server's own is as well meanwhile.
pub(super) async fn read(
    readers: &Readers,
    attempts: u32,
    (usual, limit): (Duration, Duration),
    sql: Arc<str>,
    binds: Vec<Bind>,
) -> Result<Vec<PgRow>, Fault> {
    let mut left = attempts;
    loop {
        left -= 1;
        let mut reader = readers.take().await?;
        let query =
            binds.iter().fold(sqlx::query(AssertSqlSafe(Arc::clone(&sql))), |query, bind| match bind {
                Bind::Text(value) => query.bind(text(value)),
                Bind::Number(number) => query.bind(*number),
                Bind::Bytes(bytes) => query.bind(bytes.as_slice()),
            });
        let connection = reader.connection();
        let answer = async {
            if limit <= usual {
                return query.fetch_all(connection).await;
            }
            set(connection, limit).await?;
            let rows = query.fetch_all(&mut *connection).await?;
            set(connection, usual).await.map(|()| rows)
        };
        let rows = match time::timeout(limit, answer).await {
            Ok(rows) => rows.map_err(|error| readers.fault(error)),
            Err(_) => Err(Fault::Silent),
        };
        match rows {
            Err(fault) if fault.spoils() => {
                if left == 0 || matches!(fault, Fault::Silent) {
                    return Err(fault);
                }
            }
            rows => {
                // After an error it has the other limit still.
                if rows.is_ok() || limit <= usual {
                    reader.give_back();
                }
                return rows;
            }
        }
    }
}

/// Sets the server's limit on a statement, a little below ours.
async fn set(connection: &mut PgConnection, limit: Duration) -> Result<(), sqlx::Error> {
    let limit = sqlx::query("SELECT set_config('statement_timeout', $1, false)")
        .bind(limit.mul_f32(0.9).as_millis().to_string());
    limit.execute(connection).await.map(drop)
}

/// JSON of a column of type `json`, `jsonb` or text.
fn json(row: &PgRow) -> Result<Option<String>, sqlx::Error> {
    let value = row.try_get_raw(0)?;
    if value.is_null() {
        return Ok(None);
    }
    let jsonb = value.type_info().name() == "JSONB";
    let bytes = value.as_bytes().map_err(sqlx::Error::Decode)?;
    // Its binary form has a number in front, of its version.
    let bytes = if jsonb { bytes.get(1..).unwrap_or_default() } else { bytes };
    String::from_utf8(bytes.to_vec()).map(Some).map_err(|e| sqlx::Error::Decode(e.into()))
}

/// Something that was to be read has no unknown fate.
fn unread(fault: &Fault) -> Cause {
    match fault.cause() {
        unknown if unknown.code() == Code::UNANSWERED => {
            Cause::new(Code::UNAVAILABLE, "the connection to PostgreSQL was lost, or does not answer")
        }
        cause => cause,
    }
}

impl Reader for PostgresReader {
    fn texts(&self) -> &'static Texts {
        &TEXTS
    }

    fn sweeps(&self) -> Vec<&'static RetentionRule> {
        self.sweeps.clone()
    }

    fn may_sweep(&self, every: Duration) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
        let half = i64::try_from(every.as_millis() / 2).unwrap_or(i64::MAX);
        Box::pin(async move {
            Ok(!self.look_up(sweep::TURN.to_owned(), vec![Bind::Number(half)]).await?.is_empty())
        })
    }

    fn ask(&self, question: Question) -> Result<Read, Cause> {
        let (readers, attempts, limit) = (Arc::clone(&self.readers), self.attempts, self.limit);
        let sql = Arc::clone(&self.questions[question.index]);
        Ok(Box::pin(async move {
            let Question { payload, id, occurred_at, now, most, .. } = question;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let (most, at) = (Bind::Number(most), Bind::Number(occurred_at));
            let binds = vec![Bind::Text(payload), Bind::Number(now), most, Bind::Text(id), at];
            let rows =
                read(&readers, attempts, (limit, limit), sql, binds).await.map_err(|fault| unread(&fault))?;
            let Some(row) = rows.first() else { return Ok(Answered::from((None, 0))) };
            let of_the_form = |e: sqlx::Error| Cause::new(Code::DATABASE, e.to_string());
            let omitted =
                if row.len() > 1 { row.try_get::<Option<i64>, _>(1).map_err(of_the_form)? } else { None };
            Ok(Answered::from((json(row).map_err(of_the_form)?, omitted.unwrap_or_default().unsigned_abs())))
        }))
    }

    fn look_up(&self, sql: String, binds: Vec<Bind>) -> BoxFuture<'_, Result<Vec<String>, sqlx::Error>> {
        Box::pin(async move {
            let rows =
                read(&self.readers, self.attempts, (self.limit, self.limit.max(READING)), sql.into(), binds)
                    .await;
            let rows = rows.map_err(|fault| match fault {
                Fault::Server(error) | Fault::NotConnected(error) | Fault::Forbidden(error, _) => error,
                _ => sqlx::Error::WorkerCrashed,
            })?;
            let texts = rows.iter().map(|row| row.try_get::<Option<String>, _>(0));
            Ok(texts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
        })
    }

    fn cause(&self, error: &sqlx::Error) -> Cause {
        match error.as_database_error() {
            Some(said) => {
                Cause::new(Code::DATABASE, format!("PostgreSQL reports an error: {}", said.message()))
            }
            None => Cause::new(Code::UNAVAILABLE, "PostgreSQL cannot be reached, or does not answer"),
        }
    }

    fn is_closed(&self) -> bool {
        self.readers.is_closed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.readers.close())
    }

    fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.clone()
    }

    fn concerns(&self) -> watch::Receiver<Concerns> {
        self.concerns.subscribe()
    }

    fn concern(&self, change: &mut dyn FnMut(&mut Concerns) -> bool) {
        self.concerns.send_if_modified(change);
    }
}
