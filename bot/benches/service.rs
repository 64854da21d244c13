//! The throughput of `rosey serve`: chat lines acknowledged and applied per second, by request and reply and
//! from a stream, with one instance and with two; and how fast it drains a stream that was filled while it
//! was not running.
//!
//! `cargo xtask bench service` prints the table; `-- --quick` is a short run. Server, services and callers
//! share the machine's cores, as in production. Every row is measured in every round; the table shows the
//! median with its spread.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eitherway::nats::{NatsOptions, NatsService};
use eitherway::operation::Kind;
use eitherway::stack::{BoxedStack, Direct, NO_PATH, StackBuilder, boxed};
use eitherway::{Db, Request};
use rosey::op::{MessageLog, Op};

const LINE: &str =
    "a line of about eighty characters, as they are said in a channel on an evening, all in all";

/// A child process that is killed on drop.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A row: operations, callers, instances.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    jetstream: &'static str,
    callers: u64,
    instances: usize,
    /// Whether the services start only after everything is stored.
    late: bool,
}

const fn row(name: &'static str, jetstream: &'static str, callers: u64, instances: usize, late: bool) -> Row {
    Row { name, jetstream, callers, instances, late }
}

const ROWS: [Row; 10] = [
    row("request and reply, 1 caller", "off", 1, 1, false),
    row("request and reply, 32 callers", "off", 32, 1, false),
    row("request and reply, 256 callers", "off", 256, 1, false),
    row("request and reply, 256 callers, 2 instances", "off", 256, 2, false),
    row("stream, 1 caller", "on", 1, 1, false),
    row("stream, 32 callers", "on", 32, 1, false),
    row("stream, 256 callers", "on", 256, 1, false),
    row("stream, 256 callers, 2 instances", "on", 256, 2, false),
    row("stream, filled before, 1 instance", "on", 256, 1, true),
    row("stream, filled before, 2 instances", "on", 256, 2, true),
];

struct World {
    dir: tempfile::TempDir,
    url: String,
    _nats: Ended,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = std::env::var_os("NATS_SERVER_BIN").expect("run `cargo xtask bench service`");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(server);
        command
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(dir.path().join("jetstream"));
        let nats = Ended(command.stderr(Stdio::null()).spawn().unwrap());
        Self { dir, url: format!("nats://127.0.0.1:{port}"), _nats: nats }
    }

    fn serve(&self, row: Row) -> Vec<Ended> {
        let file = format!("sqlite://{}", self.dir.path().join("served.db").display());
        let one = |_| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_rosey"));
            command.args(["serve", "--log", "warn", "--nats-url", &self.url, "--database-url", &file]);
            Ended(command.args(["--jetstream", row.jetstream]).stderr(Stdio::null()).spawn().unwrap())
        };
        (0..row.instances).map(one).collect()
    }

    async fn client(&self) -> NatsService<Op> {
        NatsService::connect(NatsOptions::new(&self.url)).await.unwrap()
    }
}

/// The result of a row.
#[derive(Clone, Copy)]
struct Measured {
    /// Operations per second.
    acknowledged: f64,
    applied: f64,
    /// Processor time of the services per operation, in microseconds.
    cpu: f64,
}

/// The processor time of these processes so far. The kernel counts it in ticks of 10 ms.
fn cpu(services: &[Ended]) -> Duration {
    let ticks = |service: &Ended| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", service.0.id())).unwrap_or_default();
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
        fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>()
    };
    Duration::from_millis(10 * services.iter().map(ticks).sum::<u64>())
}

async fn measure(row: Row, operations: u64) -> Measured {
    let world = World::new();
    let mut services = world.serve(row);
    let nats = world.client().await;
    nats.recognised().await;
    // All instances are running and know each other.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let db: Db<BoxedStack<Op>> =
        Db::new(boxed(StackBuilder::new().over(Some(nats.clone()), Direct::closed(), NO_PATH).stack));
    send(&db, operations / 10, row.callers).await;
    nats.all_applied(Duration::from_secs(60)).await.unwrap();
    if row.late {
        for service in &services {
            let pid = service.0.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        }
        for service in &mut services {
            service.0.wait().unwrap();
        }
        nats.takes(Kind::Event).await;
    }
    let (mut begin, mut before) = (Instant::now(), cpu(&services));
    send(&db, operations, row.callers).await;
    let acknowledged = begin.elapsed();
    if row.late {
        services = world.serve(row);
        before = cpu(&services);
        nats.recognised().await;
        begin = Instant::now();
    }
    nats.all_applied(Duration::from_secs(120)).await.unwrap();
    let applied = begin.elapsed();
    let used = cpu(&services).saturating_sub(before);
    drop(services);
    check(world.dir.path(), operations + operations / 10).await;
    #[allow(clippy::cast_precision_loss)]
    let per_second = |time: Duration| operations as f64 / time.as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let cpu = used.as_secs_f64() * 1e6 / operations as f64;
    Measured { acknowledged: per_second(acknowledged), applied: per_second(applied), cpu }
}

async fn send(db: &Db<BoxedStack<Op>>, operations: u64, callers: u64) {
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let db = db.clone();
            tokio::spawn(async move {
                for _ in (caller..operations).step_by(usize::try_from(callers).unwrap()) {
                    let line = MessageLog { username: "alice".to_owned(), message: LINE.to_owned() };
                    db.send(Request::new(line)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Checks that no operation was lost, because a rate that loses operations is void.
async fn check(dir: &Path, expected: u64) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(dir.join("served.db"));
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let applied: i64 = sqlx::query_scalar("SELECT count(*) FROM recent_chat").fetch_one(&pool).await.unwrap();
    assert_eq!(u64::try_from(applied).unwrap(), expected, "everything once");
}

#[tokio::main]
async fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let rounds = if quick { 1 } else { 5 };
    println!("{rounds} rounds; operations a second, median (min – max). synchronous=normal.\n");
    println!(
        "{:<46}{:>12}{:>22}{:>12}{:>22}{:>10}{:>14}",
        "", "acknowledged", "", "applied", "", "cpu µs", ""
    );
    let mut results = vec![Vec::new(); ROWS.len()];
    for _ in 0..rounds {
        for (row, result) in ROWS.iter().zip(&mut results) {
            let operations = match (quick, row.callers) {
                (true, _) => 2_000,
                (false, 1) => 5_000,
                (false, _) => 100_000,
            };
            result.push(measure(*row, operations).await);
        }
    }
    for (row, result) in ROWS.iter().zip(&results) {
        let column = |of: fn(&Measured) -> f64, width: usize| {
            let mut values: Vec<f64> = result.iter().map(of).collect();
            values.sort_by(f64::total_cmp);
            let spread = format!("({:.0} – {:.0})", values[0], values[values.len() - 1]);
            format!(
                "{:>width$.0}{spread:>1$}",
                values[values.len() / 2],
                width + if width > 10 { 10 } else { 4 }
            )
        };
        let (acknowledged, applied) = (column(|r| r.acknowledged, 12), column(|r| r.applied, 12));
        println!("{:<46}{acknowledged}{applied}{}", row.name, column(|r| r.cpu, 10));
    }
}
