//! The time of one caller, from the inside out.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use eitherway::sql::Synchronous;
use futures_util::TryStreamExt;
use rusqlite::Connection;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, Executor, Sqlite};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::floor::Floor;
use crate::load::{self, Load};
use crate::measure::{Boxed, Plan, Round, Side, callers, latencies, measure};
use crate::ours::Ours;
use crate::table::{self, Table};
use crate::{bare, frame};

pub(crate) fn print(runtime: &Runtime, dir: &Path, plan: &Plan) {
    let chat = Load::lines(&load::users());
    for synchronous in [Synchronous::Normal, Synchronous::Full] {
        let held = |name, what| -> Boxed<'_> { Box::new(Held::open(runtime, dir, name, what, synchronous)) };
        let mut sides: Vec<Boxed<'_>> = vec![
            Box::new(Floor::open(runtime, dir, "the writer's statements, SQLite alone", chat, synchronous)),
            Box::new(Task { runtime, tx: answering(runtime) }),
            held("sqlx, one connection: a ping", What::Ping),
            held("sqlx: one statement that does nothing", What::Counts(1, 1)),
            held("sqlx: six of them in one string", What::Counts(6, 1)),
            Box::new(Counting(Connection::open_in_memory().unwrap())),
            held("sqlx: the same", What::Counts(1, FAR)),
            held("sqlx: six statements, as far together", What::Counts(6, FAR / 6)),
            held("sqlx: the writer's statements", What::Batch(chat)),
            Box::new(Ours::open(runtime, dir, "hops", synchronous).row("the service", chat)),
        ];
        let series = measure(&mut sides, plan, 1);
        let title = format!("where it goes: a chat line, {}", table::heading(1, synchronous));
        // Ratios to SQLite alone.
        Table::new(&series, 1).print(&title);
    }
}

/// A task that answers like the writer, but without a database.
fn answering(runtime: &Runtime) -> mpsc::Sender<oneshot::Sender<()>> {
    let (tx, mut rx) = mpsc::channel::<oneshot::Sender<()>>(4096);
    runtime.spawn(async move {
        while let Some(tx) = rx.recv().await {
            let _ = tx.send(());
        }
    });
    tx
}

struct Task<'a> {
    runtime: &'a Runtime,
    tx: mpsc::Sender<oneshot::Sender<()>>,
}

impl Side for Task<'_> {
    fn name(&self) -> &'static str {
        "a task that answers at once"
    }

    fn run(&mut self, count: usize, time: Duration) -> Round {
        let queue = self.tx.clone();
        callers(self.runtime, count, time, move |_, _| {
            let (tx, rx) = oneshot::channel();
            queue.try_send(tx).unwrap();
            async move { rx.await.unwrap() }
        })
    }
}

/// The number of the last transaction.
static NUMBER: AtomicI64 = AtomicI64::new(1);

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
struct Counting(Connection);

impl Side for Counting {
    fn name(&self) -> &'static str {
        "a statement that counts, SQLite alone"
    }

    fn run(&mut self, _: usize, time: Duration) -> Round {
        let mut statement = self.0.prepare(&far(FAR)).unwrap();
        let start = Instant::now();
        let mut took = Vec::new();
        while start.elapsed() < time {
            let begin = Instant::now();
            assert!(!statement.exists(()).unwrap());
            took.push(begin.elapsed());
        }
        Round { rate: took.len() as f64 / start.elapsed().as_secs_f64(), ..latencies(took) }
    }
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
struct Held<'a> {
    name: &'static str,
    what: What,
    runtime: &'a Runtime,
    /// The lock is never contended.
    connection: Arc<Mutex<SqliteConnection>>,
}

impl<'a> Held<'a> {
    fn open(
        runtime: &'a Runtime,
        dir: &Path,
        name: &'static str,
        what: What,
        synchronous: Synchronous,
    ) -> Self {
        let file = crate::ours::file(dir, "held");
        runtime.block_on(crate::ours::service(runtime, &file, synchronous).close());
        let connection = runtime.block_on(bare::options(&file, synchronous).connect()).unwrap();
        Self { name, what, runtime, connection: Arc::new(Mutex::new(connection)) }
    }
}

impl Side for Held<'_> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn run(&mut self, count: usize, time: Duration) -> Round {
        let (connection, what) = (Arc::clone(&self.connection), self.what);
        let sql: Arc<str> = match what {
            What::Ping => "".into(),
            What::Counts(times, to) => far(to).repeat(times).into(),
            What::Batch(load) => frame::string(&[load.request(0, 0)]).into(),
        };
        callers(self.runtime, count, time, move |caller, turn| {
            let (connection, sql) = (Arc::clone(&connection), Arc::clone(&sql));
            async move {
                let mut connection = connection.lock().await;
                match what {
                    What::Ping => connection.ping().await.unwrap(),
                    What::Counts(..) => run(&mut connection, sqlx::query(AssertSqlSafe(sql))).await,
                    What::Batch(load) => {
                        let request = load.request(caller, turn);
                        let at = request.head.occurred_at;
                        let json = frame::binds(&[request]);
                        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                        let query = sqlx::query(AssertSqlSafe(sql)).bind(number).bind(at).bind(1_000_000);
                        let query = json.into_iter().fold(query, Query::bind);
                        run(&mut connection, query).await;
                    }
                }
            }
        })
    }
}

/// Runs the query to its end, as the writer does.
async fn run(connection: &mut SqliteConnection, query: Query<'_, Sqlite, SqliteArguments>) {
    connection.fetch_many(query).try_for_each(|_| std::future::ready(Ok(()))).await.unwrap();
}
