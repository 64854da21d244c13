//! What is asked of a database beside its writer.

use std::future::ready;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::SqlitePool;
use tokio::sync::watch;

use super::Concerns;
use crate::answer::Json;
use crate::deadline::Deadline;
use crate::error::{Cause, Code};
use crate::operation::RetentionRule;

/// A query, as it is put to the database.
pub(crate) struct Question {
    /// Which operation asks.
    pub(crate) index: usize,
    /// JSON.
    pub(crate) payload: String,
    pub(crate) id: String,
    pub(crate) occurred_at: i64,
    /// The time, in unix milliseconds.
    pub(crate) now: i64,
    /// The most bytes of a list.
    pub(crate) most: usize,
    /// Until when the answer is of use.
    pub(crate) deadline: Option<Deadline>,
}

/// What a query has answered.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    /// If there is an answer.
    pub(crate) json: Option<Json>,
    /// How many entries the statement has left out.
    pub(crate) omitted: u64,
}

impl From<(Option<String>, u64)> for Answered {
    fn from((json, omitted): (Option<String>, u64)) -> Self {
        Self { json: json.map(Json::from), omitted }
    }
}

/// The answer of a query, on its way.
pub(crate) type Read = BoxFuture<'static, Result<Answered, Cause>>;

/// A parameter of a statement.
#[derive(Clone, Debug)]
pub(crate) enum Bind {
    Text(String),
    Number(i64),
    Bytes(Vec<u8>),
}

/// The framework's own statements, in the dialect of a database. Those that read answer rows of one text.
pub(crate) struct Texts {
    /// What is known of the time: `key value`.
    pub(crate) facts: &'static str,
    /// When something was applied last.
    pub(crate) newest: &'static str,
    /// Writes down what is known of the time: `$1` is a JSON object.
    pub(crate) keep: &'static str,
    /// How many dead letters there are.
    pub(crate) dead_letters: &'static str,
    /// A dead letter of this subject, these headers and this payload.
    pub(crate) has_dead_letter: &'static str,
    /// Writes down an instance: `$1` is a JSON object.
    pub(crate) enrol: &'static str,
    pub(crate) secret: &'static str,
    /// When the instance `$1` was last written down.
    pub(crate) seen: &'static str,
    /// The instances that have started since `$1`.
    pub(crate) started: &'static str,
    /// The instances that were last seen since `$1`.
    pub(crate) there: &'static str,
    /// The statement that answers what a sweep finds as a JSON array of keys: `$1` how many at most, `$2` its horizon, `$3`
    /// the time.
    pub(crate) finding: fn(&RetentionRule) -> String,
}

/// A database, for reading.
pub(crate) trait Reader: Send + Sync + 'static {
    /// The statements in its dialect.
    fn texts(&self) -> &'static Texts;

    /// The sweeps in its dialect, the ledger's first.
    fn sweeps(&self) -> Vec<&'static RetentionRule>;

    /// Whether what is old is removed by this instance now, of several that do so with this pause between two rounds.
    fn may_sweep(&self, every: Duration) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
        let _ = every;
        Box::pin(ready(Ok(true)))
    }

    /// Asks, at once.
    ///
    /// # Errors
    /// Why nothing can be read at present.
    fn ask(&self, question: Question) -> Result<Read, Cause>;

    /// The texts that one of the framework's statements answers; a row without one is left out.
    fn look_up(&self, sql: String, binds: Vec<Bind>) -> BoxFuture<'_, Result<Vec<String>, sqlx::Error>>;

    /// What an error of [`look_up`](Self::look_up) means.
    fn cause(&self, error: &sqlx::Error) -> Cause;

    /// Whether it has been closed.
    fn is_closed(&self) -> bool;

    /// Closes its connections.
    fn close(&self) -> BoxFuture<'_, ()>;

    /// See [`Instances::file_id`](super::Instances::file_id).
    fn file_id(&self) -> Option<String> {
        None
    }

    /// See [`Store::trouble`](super::Store::trouble).
    fn trouble(&self) -> watch::Receiver<Option<String>> {
        watch::channel(None).1
    }

    /// See [`Store::concerns`](super::Store::concerns).
    fn concerns(&self) -> watch::Receiver<Concerns> {
        watch::channel(Concerns::default()).1
    }

    /// Changes what is seen there, if this returns that it has.
    fn concern(&self, change: &mut dyn FnMut(&mut Concerns) -> bool);

    /// Its connections, if it is SQLite.
    fn sqlite(&self) -> Option<&SqlitePool> {
        None
    }
}

/// The keys that a rule finds, at most this many.
///
/// # Errors
/// Those of a read.
pub(super) async fn find(
    sweep: &RetentionRule,
    most: i64,
    horizon: i64,
    now: i64,
    reader: &dyn Reader,
) -> Result<Vec<serde_json::Value>, Cause> {
    let binds = [most, horizon, now].map(Bind::Number).to_vec();
    let json = reader.look_up((reader.texts().finding)(sweep), binds).await.map_err(|e| reader.cause(&e))?;
    let json = json.first().map_or("[]", String::as_str);
    serde_json::from_str(json).map_err(|e| Cause::new(Code::DATABASE, e.to_string()))
}
