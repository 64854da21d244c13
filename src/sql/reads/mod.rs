//! Queries on their way to SQLite: what waits for a reader goes together, in one hop to its thread.
//!
//! A question that finds a reader free is asked at once, and alone. The others wait, and the next reader that is free takes
//! what waits of one operation: one statement over many questions, one string with all answers. The same question is
//! asked once for all who wait with it. An answer is never older than the question: who comes while a group is being read waits
//! for the next.

mod query;
mod queue;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, Row};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time;

use super::error;
use crate::cause::{Cause, Code};
use crate::sqlite::codes::{BUSY, CANTOPEN, FULL, LOCKED, PROTOCOL, READONLY, primary};
use crate::sqlite::database_file::DatabaseFile;
use crate::sqlite::limit;
use crate::store::reader::{Answered, Question};

use query::AnswerRow;
pub(super) use query::QuerySql;
use queue::{Asker, Queue, Waiting};

type Reader = PoolConnection<Sqlite>;

/// For how long a reader is kept while something waits: others wait for one, too, and the pool gives them in turn.
const KEPT: Duration = Duration::from_millis(20);

/// How long is waited after a connection that cannot be opened.
const PAUSE: Duration = Duration::from_millis(10);

/// The readers of a file, and what waits for them.
pub(super) struct Reads {
    pool: SqlitePool,
    place: Arc<DatabaseFile>,
    /// In the order of the operations.
    queries: Arc<[QuerySql]>,
    queue: Mutex<Queue>,
    /// Where what waits is read: not in the task of one of those who wait for it.
    runtime: Handle,
    #[cfg(test)]
    groups: Mutex<Vec<usize>>,
}

/// A reader's place at work. Whatever becomes of the reader, another one follows while something waits.
struct Seat {
    reads: Arc<Reads>,
    /// What it is at.
    index: Option<usize>,
    /// Of a task: how far that has come.
    task: Task,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    /// It is not that of a task, or that has ended.
    None,
    /// Not begun.
    Spawned,
    Working,
}

impl Seat {
    fn end(mut self) {
        self.task = Task::None;
    }

    fn done(&mut self) {
        if let Some(index) = self.index.take() {
            self.reads.queue.lock().done(index);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.done();
        self.reads.queue.lock().leave();
        let follows = match self.task {
            Task::None => true,
            Task::Spawned => false,
            Task::Working => std::thread::panicking(),
        };
        if follows {
            self.reads.start();
        } else {
            // The runtime ends, and no task follows.
            let all = self.reads.queue.lock().drain(Instant::now());
            drop(all);
        }
    }
}

/// A question that has not waited, as it is read. If its caller goes, SQLite is still at it, and so is the reader.
struct ImmediateRead {
    /// First: who follows finds it free.
    reader: Option<Reader>,
    seat: Option<Seat>,
    over: bool,
}

impl Drop for ImmediateRead {
    fn drop(&mut self) {
        if let (false, Some(seat), Some(mut reader)) = (self.over, self.seat.take(), self.reader.take()) {
            let runtime = seat.reads.runtime.clone();
            runtime.spawn(async move {
                match limit::within(reader.ping()).await {
                    Ok(()) => drop(reader),
                    Err(_) => drop(reader.detach()),
                }
                drop(seat);
            });
        }
    }
}

impl Reads {
    /// Must be called within the runtime that is to read.
    pub(super) fn new(pool: SqlitePool, place: Arc<DatabaseFile>, queries: Arc<[QuerySql]>) -> Arc<Self> {
        let readers = usize::try_from(pool.options().get_max_connections()).unwrap_or(1);
        let queue = Mutex::new(Queue::new(queries.len(), readers));
        Arc::new(Self {
            pool,
            place,
            queries,
            queue,
            runtime: Handle::current(),
            #[cfg(test)]
            groups: Mutex::default(),
        })
    }

    /// Asks. Dropping the future takes the question back, if it still waits, and nothing else.
    pub(super) async fn ask(self: Arc<Self>, question: Question) -> Result<Answered, Cause> {
        self.place.readable()?;
        let begun = {
            let mut queue = self.queue.lock();
            // One that is not there at once is waited for elsewhere: then it takes what waits by then.
            let free = queue.is_free(question.index).then(|| self.pool.try_acquire()).flatten();
            free.map(|reader| {
                queue.begin(question.index);
                let seat = Seat { reads: Arc::clone(&self), index: Some(question.index), task: Task::None };
                ImmediateRead { reader: Some(reader), seat: Some(seat), over: false }
            })
        };
        if let Some(mut direct) = begun {
            let answer = self.alone(&mut direct.reader, &question).await;
            direct.over = true;
            return answer.map(Answered::from).map_err(Cause::from);
        }
        let (tx, rx) = oneshot::channel();
        let deadline = question.deadline;
        let shared = self.queries[question.index].is_shared;
        self.queue.lock().push(question, Asker { tx, deadline }, shared);
        self.start();
        let answer = match deadline {
            None => rx.await,
            Some(deadline) => match time::timeout(deadline.remaining(), rx).await {
                Ok(answer) => answer,
                Err(_) => {
                    let late =
                        || Cause::new(Code::EXPIRED, "its deadline has passed while it waited for a reader");
                    return Err(deadline.check().err().unwrap_or_else(late));
                }
            },
        };
        answer.unwrap_or_else(|_| Err(error::cause(&sqlx::Error::WorkerCrashed)))
    }

    /// Has a reader begin, if one is free and something waits.
    fn start(self: &Arc<Self>) {
        if self.queue.lock().start() {
            let (reads, mut seat) =
                (Arc::clone(self), Seat { reads: Arc::clone(self), index: None, task: Task::Spawned });
            self.runtime.spawn(async move {
                seat.task = Task::Working;
                reads.work(&mut seat).await;
                seat.end();
            });
        }
    }

    /// Takes what waits, until nothing does.
    async fn work(&self, seat: &mut Seat) {
        let (mut reader, mut since) = (None, Instant::now());
        loop {
            if reader.is_none() {
                match self.pool.acquire().await {
                    Ok(acquired) => (reader, since) = (Some(acquired), Instant::now()),
                    Err(e) if !self.fail(&e).await => return,
                    Err(_) => continue,
                }
            }
            let wrong = self.place.readable().err();
            let wrong =
                wrong.or_else(|| self.pool.is_closed().then(|| error::cause(&sqlx::Error::PoolClosed)));
            if let Some(cause) = wrong {
                let all = self.queue.lock().drain(Instant::now());
                return tell(all, &Err(cause));
            }
            self.tell_late(|| error::cause(&sqlx::Error::PoolTimedOut));
            let taken = self.queue.lock().take(|index| self.queries[index].together.is_some());
            let Some((index, group)) = taken else { return };
            seat.index = Some(index);
            // What is left, and what a group has put back, is for the readers that are free.
            seat.reads.start();
            #[cfg(test)]
            self.groups.lock().push(group.len());
            self.answer(&mut reader, index, group).await;
            seat.done();
            if since.elapsed() > KEPT {
                reader = None;
            }
            // Those who were answered may have the next question.
            tokio::task::yield_now().await;
        }
    }

    /// Tells all who have waited for as long as is waited for a connection.
    fn tell_late(&self, cause: impl FnOnce() -> Cause) {
        let Some(since) = Instant::now().checked_sub(self.pool.options().get_acquire_timeout()) else {
            return;
        };
        let late = self.queue.lock().drain(since);
        if !late.is_empty() {
            tell(late, &Err(cause()));
        }
    }

    /// No connection: those who wait for it are told. Returns whether there may be others.
    async fn fail(&self, error: &sqlx::Error) -> bool {
        let wrong = self.place.check().err();
        let is_usable = wrong.is_none() && !self.pool.is_closed();
        let cause = wrong.unwrap_or_else(|| error::cause(error));
        if matches!(error, sqlx::Error::PoolTimedOut) {
            self.tell_late(|| cause);
            return true;
        }
        if is_usable && self.pool.size() > 0 {
            // There are connections that can answer: none is opened too often, and one question hears of it.
            time::sleep(PAUSE).await;
            let one = {
                let mut queue = self.queue.lock();
                queue.take(|_| false).map(|(index, one)| {
                    queue.done(index);
                    one
                })
            };
            return one.map(|one| tell(one, &Err(cause))).is_some();
        }
        let all = self.queue.lock().drain(Instant::now());
        tell(all, &Err(cause));
        false
    }

    /// Asks one question.
    async fn alone(&self, reader: &mut Option<Reader>, question: &Question) -> Result<AnswerRow, Unread> {
        let Question { index, payload, id, occurred_at, now, most, .. } = question;
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&self.queries[*index].alone)));
        let query = query.bind(payload.as_str()).bind(*now).bind(i64::try_from(*most).unwrap_or(i64::MAX));
        let row = self.read(reader, query.bind(id.as_str()).bind(*occurred_at)).await?;
        let found = row.map(|row| {
            let omitted = if row.len() > 1 { row.try_get::<Option<i64>, _>(1)? } else { None };
            // A number or a text that says what JSON says is as good as JSON.
            Ok((row.try_get_unchecked::<Option<String>, _>(0)?, omitted.unwrap_or_default().unsigned_abs()))
        });
        found.transpose().map(Option::unwrap_or_default).map_err(Unread::Error)
    }

    /// Asks many questions of one operation; none where one of them is to be asked alone, and see [`query::lines`].
    async fn together(
        &self,
        reader: &mut Option<Reader>,
        sql: &Arc<str>,
        group: &[Waiting],
    ) -> Result<Option<Vec<Option<AnswerRow>>>, Unread> {
        let payloads: Vec<&str> = group.iter().map(|waiting| waiting.question.payload.as_str()).collect();
        let payloads = serde_json::to_string(&payloads).unwrap_or_default();
        let now = group.iter().map(|waiting| waiting.question.now).max().unwrap_or_default();
        let most = group.first().map_or(0, |waiting| waiting.question.most);
        let query = sqlx::query(AssertSqlSafe(Arc::clone(sql))).bind(payloads).bind(now);
        let query = query.bind(i64::try_from(most).unwrap_or(i64::MAX)).bind(query::LONGEST as i64);
        let row = self.read(reader, query).await?;
        let text = row.map_or(Ok(None), |row| row.try_get_unchecked::<Option<String>, _>(0));
        let text = text.map_err(Unread::Error)?;
        Ok(text.and_then(|text| query::lines(&text, group.len())))
    }

    /// One row, from the file at the path.
    async fn read(
        &self,
        reader: &mut Option<Reader>,
        query: Query<'_, Sqlite, SqliteArguments>,
    ) -> Result<Option<SqliteRow>, Unread> {
        let connection = reader.as_mut().ok_or(Unread::Error(sqlx::Error::WorkerCrashed))?;
        let row = limit::within(query.fetch_optional(&mut **connection)).await;
        if row.as_ref().is_err_and(error::spoils)
            && let Some(reader) = reader.take()
        {
            drop(reader.detach());
        }
        // First: a file that is not there any more is why it fails.
        self.place.check().map_err(Unread::Of)?;
        row.map_err(Unread::Error)
    }

    /// Asks a group, and tells all who wait for it.
    async fn answer(&self, reader: &mut Option<Reader>, index: usize, group: Vec<Waiting>) {
        let (begun, count) = (Instant::now(), group.len());
        let found = match (&group[..], &self.queries[index].together) {
            ([.., _, _], Some(sql)) => self.together(reader, sql, &group).await,
            (group, _) => match group.first() {
                Some(one) => self.alone(reader, &one.question).await.map(|found| Some(vec![Some(found)])),
                None => return,
            },
        };
        let mut again = Vec::new();
        let mut within = 1;
        match found {
            Ok(found) => {
                let found = found.unwrap_or_else(|| vec![None; count]);
                for (waiting, found) in group.into_iter().zip(found) {
                    match found {
                        Some(found) => waiting.tell(Ok(Answered::from(found))),
                        None => again.push(waiting),
                    }
                }
            }
            // It is one of them: the rest is asked again without it.
            Err(Unread::Error(error)) if count > 1 && is_of_one(&error) => {
                within = if limit::is_lost(&error) { 1 } else { count / 2 };
                again = group;
            }
            Err(unread) => tell(group, &Err(unread.into())),
        }
        let mut queue = self.queue.lock();
        queue.took(index, count, begun.elapsed(), again.is_empty());
        queue.again(index, again, within);
    }
}

/// Why nothing was read.
enum Unread {
    /// The file is not what it was: whatever was read is of no use.
    Of(Cause),
    Error(sqlx::Error),
}

impl From<Unread> for Cause {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Of(cause) => cause,
            Unread::Error(error) => error::cause(&error),
        }
    }
}

/// Whether one question may be the reason that a group has failed: also that it meets a damaged page, or takes too much memory.
/// What keeps all from the file is not.
fn is_of_one(error: &sqlx::Error) -> bool {
    !matches!(primary(error), Some(BUSY | LOCKED | PROTOCOL | FULL | READONLY | CANTOPEN))
}

fn tell(group: Vec<Waiting>, answer: &Result<Answered, Cause>) {
    group.into_iter().for_each(|waiting| waiting.tell(answer.clone()));
}
