//! The time of one caller, from the inside out.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use criterion::Criterion;
use eitherway::__private::shown::BatchShown;
use futures_util::TryStreamExt;
use rusqlite::Connection;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Executor, Sqlite};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::callers::median;
use crate::floor::Floor;
use crate::load::{self, Load};
use crate::{Group, Ours, Setup, bare, ours, rows};

pub(crate) fn hops(criterion: &mut Criterion, place: &Setup<'_>) {
    let chat = Load::lines(&load::users());
    let mut group = place.group(criterion, "hops of a chat line", 1);
    let group = &mut group;
    Floor::open(place, chat).row(group, "the writer's statements, SQLite alone", 1);
    task(group, place);
    let held = BareConnection::open(place);
    held.row(group, "sqlx, one connection: a ping", What::Ping);
    held.row(group, "sqlx: one statement that does nothing", What::Counts(1, 1));
    held.row(group, "sqlx: six of them in one string", What::Counts(6, 1));
    counting(group);
    held.row(group, "sqlx: the same", What::Counts(1, FAR));
    held.row(group, "sqlx: six statements, as far together", What::Counts(6, FAR / 6));
    held.row(group, "sqlx: the writer's statements", What::Batch(chat));
    Ours::open(place, "hops").row(group, "the service", 1, chat);
}

/// A task that answers like the writer, but without a database.
fn task(group: &mut Group<'_>, place: &Setup<'_>) {
    let (tx, mut rx) = mpsc::channel::<oneshot::Sender<()>>(4096);
    place.runtime.spawn(async move {
        while let Some(tx) = rx.recv().await {
            let _ = tx.send(());
        }
    });
    rows::row(group, place.runtime, "a task that answers at once", 1, move |_, _| {
        let (answer, rx) = oneshot::channel();
        tx.try_send(answer).unwrap();
        async move { rx.await.unwrap() }
    });
}

/// A count that takes about as long as the writer's statements.
const FAR: usize = 300;

/// A statement that counts to `to`, returns no rows and touches no table.
fn far(to: usize) -> String {
    format!(
        "WITH RECURSIVE count(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < {to})
         SELECT 1 FROM count WHERE n < 0;"
    )
}

/// The count on the calling thread.
fn counting(group: &mut Group<'_>) {
    let connection = Connection::open_in_memory().unwrap();
    let mut statement = connection.prepare(&far(FAR)).unwrap();
    rows::timed(group, "a statement that counts, SQLite alone", |turns| {
        let once = |_| {
            let begin = Instant::now();
            assert!(!statement.exists(()).unwrap());
            begin.elapsed()
        };
        median((0..turns).map(once).collect())
    });
}

/// What to send to a connection.
#[derive(Clone, Copy)]
enum What {
    Ping,
    /// A number of statements in one string, each counting this far. The end of every statement is a message
    /// that wakes the caller.
    Counts(usize, usize),
    Batch(Load),
}

/// A connection of sqlx, used like the writer's.
struct BareConnection<'a> {
    place: Setup<'a>,
    /// The lock is never contended.
    connection: Arc<Mutex<SqliteConnection>>,
}

impl<'a> BareConnection<'a> {
    fn open(place: &Setup<'a>) -> Self {
        let file = ours::file(place.dir, "held");
        place.runtime.block_on(ours::service(place.runtime, &file, place.synchronous).close());
        let connection = place.runtime.block_on(bare::options(&file, place.synchronous).connect()).unwrap();
        Self { place: *place, connection: Arc::new(Mutex::new(connection)) }
    }

    fn row(&self, group: &mut Group<'_>, name: &str, what: What) {
        let connection = Arc::clone(&self.connection);
        let number = Arc::new(AtomicI64::new(1));
        let sql: Arc<str> = match what {
            What::Ping => "".into(),
            What::Counts(times, to) => far(to).repeat(times).into(),
            What::Batch(load) => {
                let statements = BatchShown::of(&[load.request(0, 0)], 0, 0).statements;
                statements.into_iter().map(|statement| statement.sql).collect::<String>().into()
            }
        };
        rows::row(group, self.place.runtime, name, 1, move |caller, turn| {
            let (connection, sql, number) = (Arc::clone(&connection), Arc::clone(&sql), Arc::clone(&number));
            async move {
                let mut connection = connection.lock().await;
                let query = sqlx::query(AssertSqlSafe(sql));
                match what {
                    What::Ping => connection.ping().await.unwrap(),
                    What::Counts(..) => run(&mut connection, query).await,
                    What::Batch(load) => {
                        let request = load.request(caller, turn);
                        let at = request.head.occurred_at;
                        let batch = BatchShown::of(&[request], number.fetch_add(1, Ordering::Relaxed), at);
                        let query = query.bind(batch.number).bind(batch.now).bind(batch.answer_bytes);
                        run(&mut connection, batch.rows.into_iter().fold(query, Query::bind)).await;
                    }
                }
            }
        });
    }
}

/// Runs the query to its end, as the writer does.
async fn run(connection: &mut SqliteConnection, query: Query<'_, Sqlite, SqliteArguments>) {
    connection.fetch_many(query).try_for_each(|_| std::future::ready(Ok(()))).await.unwrap();
}
