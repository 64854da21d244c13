//! The throughput of `rosey serve`: chat lines acknowledged and applied per second, by request and reply and
//! from a stream, with one instance and with two; and how fast it drains a stream that was filled while it
//! was not running.
//!
//! `cargo xtask bench service` runs it and prints the tables. Criterion measures: it takes
//! `--save-baseline`, `--baseline`, `--quick` and filters. Server, services and callers share the machine's
//! cores, as in production.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../benches/support/callers.rs"]
mod callers;
#[path = "support/processes.rs"]
mod processes;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};
use eitherway::Request;
use eitherway::nats::NatsService;
use eitherway::operation::Kind;
use rosey::op::{MessageLog, Op};
use tokio::runtime::Runtime;

use callers::each;
use processes::{Ended, LINE, nats_server, serve};

/// A row: callers, and how the service gets their operations.
#[derive(Clone, Copy)]
struct Row {
    name: &'static str,
    jetstream: &'static str,
    callers: usize,
    instances: usize,
}

const fn row(name: &'static str, jetstream: &'static str, callers: usize, instances: usize) -> Row {
    Row { name, jetstream, callers, instances }
}

impl Row {
    fn serve(self, url: &str, dir: &Path) -> Vec<Ended> {
        (0..self.instances).map(|_| serve(url, dir, &["--jetstream", self.jetstream])).collect()
    }
}

const ROWS: [Row; 8] = [
    row("request and reply, 1 caller", "off", 1, 1),
    row("request and reply, 32 callers", "off", 32, 1),
    row("request and reply, 256 callers", "off", 256, 1),
    row("request and reply, 256 callers, 2 instances", "off", 256, 2),
    row("stream, 1 caller", "on", 1, 1),
    row("stream, 32 callers", "on", 32, 1),
    row("stream, 256 callers", "on", 256, 1),
    row("stream, 256 callers, 2 instances", "on", 256, 2),
];

/// The services of these start only after everything is stored.
const FILLED: [Row; 2] = [
    row("stream, filled before, 1 instance", "on", 256, 1),
    row("stream, filled before, 2 instances", "on", 256, 2),
];

/// How many lines of each caller the services of [`FILLED`] find in the stream.
const STORED: usize = 200;

/// A server, the services, and a client of theirs.
struct World<'a> {
    runtime: &'a Runtime,
    row: Row,
    dir: tempfile::TempDir,
    url: String,
    client: eitherway::Runtime<Op>,
    services: Vec<Ended>,
    sent: usize,
    _server: Ended,
}

impl<'a> World<'a> {
    fn open(runtime: &'a Runtime, row: Row) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (server, url) = nats_server(dir.path());
        let services = row.serve(&url, dir.path());
        let client = runtime.block_on(async {
            let client = eitherway::Runtime::builder().nats(url.as_str()).build().await.unwrap().boxed();
            client.nats().unwrap().recognised().await;
            // All instances are running and know each other.
            tokio::time::sleep(Duration::from_millis(700)).await;
            client
        });
        Self { runtime, row, dir, url, client, services, sent: 0, _server: server }
    }

    fn nats(&self) -> &NatsService<Op> {
        self.client.nats().unwrap()
    }

    /// Sends this many lines for each caller, and returns when they are acknowledged.
    fn send(&mut self, turns: usize) {
        let db = self.client.client();
        let step = move |_, _| {
            let line = MessageLog { username: "alice".to_owned(), message: LINE.to_owned() };
            let (db, request) = (db.clone(), Request::new(line));
            async move {
                db.send(request).await.unwrap();
            }
        };
        each(self.runtime, self.row.callers, turns as u64, &step);
        self.sent += turns * self.row.callers;
    }

    fn all_applied(&self) {
        self.runtime.block_on(self.nats().all_applied(Duration::from_secs(120))).unwrap();
    }

    fn acknowledged(&mut self, turns: usize) -> Duration {
        let begin = Instant::now();
        self.send(turns);
        let took = begin.elapsed();
        self.all_applied();
        took
    }

    fn applied(&mut self, turns: usize) -> Duration {
        let begin = Instant::now();
        self.send(turns);
        self.all_applied();
        begin.elapsed()
    }

    /// How long services need for what was sent while there was none; the mean of this many times, for one line
    /// of each caller.
    fn drained(&mut self, times: usize) -> Duration {
        (0..times).map(|_| self.drained_once()).sum::<Duration>() / STORED as u32
    }

    fn drained_once(&mut self) -> Duration {
        for service in &self.services {
            let pid = service.0.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        }
        for service in &mut self.services {
            service.0.wait().unwrap();
        }
        self.runtime.block_on(self.nats().takes(Kind::Event));
        self.send(STORED);
        self.services = self.row.serve(&self.url, self.dir.path());
        self.runtime.block_on(self.nats().recognised());
        let begin = Instant::now();
        self.all_applied();
        begin.elapsed()
    }

    /// Checks that no operation was lost, because a rate that loses operations is void.
    fn check(self) {
        drop(self.services);
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.dir.path().join("served.db"));
        let applied: i64 = self.runtime.block_on(async {
            let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
            sqlx::query_scalar("SELECT count(*) FROM recent_chat").fetch_one(&pool).await.unwrap()
        });
        assert_eq!(usize::try_from(applied).unwrap(), self.sent, "everything once");
    }
}

/// Adds a row whose time for one line of each caller is measured by `run(world, turns)`.
fn add<'a>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &'a Runtime,
    row: Row,
    run: impl Fn(&mut World<'a>, usize) -> Duration,
) {
    let mut world = None;
    group.bench_function(row.name, |bencher| {
        let world = world.get_or_insert_with(|| World::open(runtime, row));
        bencher.iter_custom(|turns| run(world, turns as usize) / row.callers as u32);
    });
    // Not there if a filter left the row out.
    if let Some(world) = world {
        world.check();
    }
}

fn main() {
    let runtime = Runtime::new().unwrap();
    let few_long_samples = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500));
    let mut criterion = few_long_samples.configure_from_args();
    let mut group = criterion.benchmark_group("acknowledged");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(1));
    for row in ROWS {
        add(&mut group, &runtime, row, World::acknowledged);
    }
    group.finish();
    let mut group = criterion.benchmark_group("applied");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(1));
    for row in ROWS.into_iter().filter(|row| row.jetstream == "on") {
        add(&mut group, &runtime, row, World::applied);
    }
    group.measurement_time(Duration::from_secs(30));
    for row in FILLED {
        add(&mut group, &runtime, row, World::drained);
    }
    group.finish();
    criterion.final_summary();
}
