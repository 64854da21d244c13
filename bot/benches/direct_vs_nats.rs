//! One operation, directly and over NATS, beside the bare parts: one caller and many, an event and a query.
//!
//! `cargo xtask bench direct_vs_nats` prints the table. Every row is measured in every round, one after the
//! other, so that a noisy minute of the machine affects all of them. The table shows the median over the
//! rounds and its spread. The database service runs in a separate process, as in production.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::future::Future;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream;
use eitherway::nats::{NatsOptions, NatsService};
use eitherway::sql::{SqliteOptions, SqlxService};
use eitherway::stack::{BoxedStack, Direct, NO_PATH, StackBuilder, boxed};
use eitherway::{Db, Request, Via};
use futures_util::StreamExt;
use rosey::op::{MessageLog, Op, RecentChat};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

const LINE: &str =
    "a line of about eighty characters, as they are said in a channel on an evening, all in all";

type Step = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A row to measure: each call is one operation, done when its future completes.
struct Row {
    name: &'static str,
    /// The row that the ratio refers to.
    against: &'static str,
    step: Box<dyn Fn() -> Step + Send + Sync>,
}

fn row<F, Fut>(name: &'static str, against: &'static str, step: F) -> Row
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    Row { name, against, step: Box::new(move || Box::pin(step())) }
}

/// Latencies in microseconds and operations per second, of one row in one round.
#[derive(Clone, Copy, Default)]
struct Round {
    p50: f64,
    p99: f64,
    rate: f64,
}

async fn measure(row: &'static Row, callers: usize, time: Duration) -> Round {
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            tokio::spawn(async move {
                let mut took = Vec::with_capacity(4096);
                while start.elapsed() < time {
                    let begin = Instant::now();
                    (row.step)().await;
                    took.push(begin.elapsed().as_secs_f64() * 1e6);
                }
                took
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    let elapsed = start.elapsed().as_secs_f64();
    all.sort_by(f64::total_cmp);
    let at = |q: f64| all[((all.len() - 1) as f64 * q) as usize];
    Round { p50: at(0.5), p99: at(0.99), rate: all.len() as f64 / elapsed }
}

fn median(rounds: &[Round], of: fn(&Round) -> f64) -> (f64, f64, f64) {
    let mut values: Vec<f64> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    (values[values.len() / 2], values[0], values[values.len() - 1])
}

async fn table(title: &str, rows: Vec<Row>, callers: usize, rounds: usize, time: Duration) {
    let rows: &'static [Row] = Box::leak(rows.into_boxed_slice());
    let mut results = vec![Vec::with_capacity(rounds); rows.len()];
    for row in rows {
        measure(row, callers, time / 4).await; // warm-up
    }
    for _ in 0..rounds {
        for (row, result) in rows.iter().zip(&mut results) {
            result.push(measure(row, callers, time).await);
        }
    }
    println!("\n{title}, {callers} caller{}", if callers == 1 { "" } else { "s" });
    println!(
        "{:<44}{:>10}{:>18}{:>10}{:>10}{:>8}{:>8}",
        "", "p50 µs", "(min – max)", "p99 µs", "per s", "p50 ×", "rate ×"
    );
    for (row, result) in rows.iter().zip(&results) {
        let (p50, low, high) = median(result, |r| r.p50);
        let (p99, ..) = median(result, |r| r.p99);
        let (rate, ..) = median(result, |r| r.rate);
        let base = rows.iter().position(|other| other.name == row.against).map(|i| &results[i]);
        let ratio = |of: fn(&Round) -> f64| {
            // The ratio within each round, then the median of these, because both sides of a round ran on the
            // same machine state.
            let mut ratios: Vec<f64> =
                base.unwrap().iter().zip(result).map(|(base, own)| of(own) / of(base)).collect();
            ratios.sort_by(f64::total_cmp);
            format!("{:.2}", ratios[ratios.len() / 2])
        };
        let (latency, throughput) = if base.is_some() {
            (ratio(|r| r.p50), ratio(|r| r.rate))
        } else {
            (String::new(), String::new())
        };
        let spread = format!("({low:.0} – {high:.0})");
        println!("{:<44}{p50:>10.0}{spread:>18}{p99:>10.0}{rate:>10.0}{latency:>8}{throughput:>8}", row.name);
    }
}

/// A child process that is killed on drop.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One stack per path, so that no operation falls back unnoticed.
struct Stacks {
    direct: Db<BoxedStack<Op>>,
    nats: Db<BoxedStack<Op>>,
}

fn line() -> MessageLog {
    MessageLog { username: "alice".to_owned(), message: LINE.to_owned() }
}

async fn pool(dir: &std::path::Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(dir.join("bare.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(30));
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(5).connect_with(options).await.unwrap();
    sqlx::query(
        "CREATE TABLE chat (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, username TEXT NOT NULL, message TEXT NOT NULL)",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool
}

fn send(db: &Db<BoxedStack<Op>>, via: Via) -> impl Fn() -> Step + use<> {
    let db = db.clone();
    move || {
        let db = db.clone();
        Box::pin(async move { assert_eq!(db.send(Request::new(line())).await.unwrap().via, via) })
    }
}

fn ask(db: &Db<BoxedStack<Op>>, via: Via) -> impl Fn() -> Step + use<> {
    let db = db.clone();
    move || {
        let db = db.clone();
        Box::pin(async move {
            assert_eq!(db.send(Request::new(RecentChat { limit: 10 })).await.unwrap().via, via);
        })
    }
}

#[tokio::main]
async fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let (rounds, time) =
        if quick { (3, Duration::from_millis(150)) } else { (9, Duration::from_millis(700)) };
    let dir = tempfile::tempdir().unwrap();
    let server = std::env::var_os("NATS_SERVER_BIN").expect("run `cargo xtask bench direct_vs_nats`");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("nats://127.0.0.1:{port}");
    let _nats = Ended(
        Command::new(server)
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(dir.path().join("jetstream"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let served = format!("sqlite://{}", dir.path().join("served.db").display());
    let _serve = Ended(
        Command::new(env!("CARGO_BIN_EXE_rosey"))
            .args(["serve", "--log", "warn", "--nats-url", &url, "--database-url", &served])
            // Acknowledged after the commit; the bench `service` measures the stream.
            .args(["--jetstream", "off"])
            .spawn()
            .unwrap(),
    );
    let service = NatsService::<Op>::connect(NatsOptions::new(&url)).await.unwrap();
    service.recognised().await;
    let own = dir.path().join("direct.db");
    let direct = SqlxService::<Op>::open(&SqliteOptions::new(own.to_str().unwrap()).unwrap()).await.unwrap();
    let stacks = Stacks {
        direct: Db::new(boxed(StackBuilder::new().over(NO_PATH, direct, NO_PATH).stack)),
        nats: Db::new(boxed(
            StackBuilder::new().over(Some(service.clone()), Direct::closed(), NO_PATH).stack,
        )),
    };
    let bare = pool(dir.path()).await;

    let client = async_nats::connect(&url).await.unwrap();
    let mut echo = client.subscribe("bench.echo").await.unwrap();
    let answering = client.clone();
    tokio::spawn(async move {
        while let Some(message) = echo.next().await {
            answering.publish(message.reply.unwrap(), "{}".into()).await.unwrap();
        }
    });
    let js = jetstream::new(client.clone());
    js.create_stream(jetstream::stream::Config {
        name: "BENCH".into(),
        subjects: vec!["bench.stored".into()],
        max_bytes: 1 << 30,
        ..Default::default()
    })
    .await
    .unwrap();
    let payload: bytes::Bytes = eitherway::__private::wire::payload(&Op::from(line()), 0).unwrap().into();

    println!(
        "{} rounds of {} ms a row; ratios are medians of the ratios within a round. synchronous=normal.",
        rounds,
        time.as_millis()
    );
    for callers in [1, 256] {
        const INSERT: &str = "bare INSERT and commit, sqlx pool";
        let (bare, client, asked, stored) = (bare.clone(), client.clone(), payload.clone(), payload.clone());
        let js = js.clone();
        let rows = vec![
            row(INSERT, INSERT, move || {
                let bare = bare.clone();
                async move {
                    sqlx::query("INSERT INTO chat (at, username, message) VALUES (?, ?, ?)")
                        .bind(1_i64)
                        .bind("alice")
                        .bind(LINE)
                        .execute(&bare)
                        .await
                        .unwrap();
                }
            }),
            row("stack, direct (ledger, line, user)", INSERT, send(&stacks.direct, Via::DB)),
            row("bare NATS request and reply", INSERT, move || {
                let (client, payload) = (client.clone(), asked.clone());
                async move {
                    client.request("bench.echo", payload).await.unwrap();
                }
            }),
            row("stack, NATS, until committed", INSERT, send(&stacks.nats, Via::NATS)),
            row("bare JetStream publish, acknowledged", INSERT, move || {
                let (js, payload) = (js.clone(), stored.clone());
                async move {
                    js.publish("bench.stored", payload).await.unwrap().await.unwrap();
                }
            }),
        ];
        table("event: a line of chat", rows, callers, rounds, time).await;
    }
    for callers in [1, 256] {
        const QUERY: &str = "stack, direct";
        let client = client.clone();
        let rows = vec![
            row(QUERY, QUERY, ask(&stacks.direct, Via::DB)),
            row("bare NATS request and reply", QUERY, move || {
                let client = client.clone();
                async move {
                    client.request("bench.echo", "{\"limit\":10}".into()).await.unwrap();
                }
            }),
            row("stack, NATS", QUERY, ask(&stacks.nats, Via::NATS)),
        ];
        table("query: the newest ten lines", rows, callers, rounds, time).await;
    }
}
