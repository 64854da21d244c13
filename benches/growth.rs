//! The cost of writes and queries as the file grows: a table, which Criterion does not make, because every
//! operation makes the file larger.
//!
//! `cargo xtask bench growth` measures files of 10³ and 10⁵ lines; `ROSEY_GROWTH=full` adds one of 10⁷ lines of
//! 10⁶ users, which needs about 4 GB in the target directory, and a long time. After `--`, `--quick` measures
//! the first file alone, unless `ROSEY_GROWTH` is `small` or `full`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "support/callers.rs"]
mod callers;
#[path = "growth/fill.rs"]
mod fill;
#[allow(dead_code, reason = "it has more kinds of operations for the bench `writer`")]
#[path = "writer/load.rs"]
mod load;
#[path = "writer/ours.rs"]
mod ours;
#[path = "support/record.rs"]
mod record;

use std::path::Path;
use std::time::{Duration, Instant};

use eitherway::sql::{SqlService, Synchronous};
use rosey::op::{GetChannelStats, GetUserStats, Op, OpenSessions, RecentChat};
use tokio::runtime::Runtime;

use callers::{each, median};
use fill::{Size, fill, operations};
use load::Load;
use ours::{ask, file, service};
use record::Row;

const SIZES: [Size; 3] = [
    Size { lines: 1_000, users: 100 },
    Size { lines: 100_000, users: 10_000 },
    Size { lines: 10_000_000, users: 1_000_000 },
];
/// How many of the users speak while the bench runs.
const SPEAKERS: usize = 20_000;

/// One kind of event in one file.
struct Writing {
    p50: f64,
    rate: f64,
    /// Bytes that an operation has added to the main file.
    bytes: f64,
}

/// The results of one file.
struct Grown {
    size: Size,
    bytes: u64,
    operations: i64,
    lines: Writing,
    presence: Writing,
    /// The microseconds of each query.
    queries: [(&'static str, f64); 4],
}

/// How often, and how long, each number is measured.
#[derive(Clone, Copy)]
struct Plan {
    rounds: usize,
    time: Duration,
}

impl Plan {
    /// The median of the rounds: microseconds of an operation.
    fn micros(self, runtime: &Runtime, service: &SqlService<Op>, load: Load, callers: usize) -> f64 {
        let service = service.clone();
        let step = move |caller, turn| ask(service.clone(), load.request(caller, turn));
        // As many turns as take so long; what finds that out is the warm-up.
        let mut turns = 1;
        while {
            let begin = Instant::now();
            each(runtime, callers, turns, &step);
            begin.elapsed() < self.time / 2
        } {
            turns *= 2;
        }
        let round = |_| Duration::from_secs_f64(each(runtime, callers, turns, &step));
        median((0..self.rounds).map(round).collect()) * 1e6
    }
}

fn queries(users: &[String]) -> [(&'static str, Load); 4] {
    let ask = |user: &String| GetUserStats { username: user.clone() }.into();
    [
        ("recent_chat 50", Load::new(vec![RecentChat { limit: 50 }.into()])),
        ("user_stats", Load::new(users.iter().map(ask).collect())),
        ("channel_stats", Load::new(vec![GetChannelStats {}.into()])),
        ("open_sessions", Load::new(vec![OpenSessions {}.into()])),
    ]
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let wanted = std::env::var("ROSEY_GROWTH").unwrap_or_default();
    let count = match (wanted.as_str(), quick) {
        ("full", _) => 3,
        ("small", _) | ("", false) => 2,
        ("", true) => 1,
        _ => panic!("ROSEY_GROWTH is small or full"),
    };
    let (rounds, millis) = if quick { (3, 60) } else { (5, 500) };
    let plan = Plan { rounds, time: Duration::from_millis(millis) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let grown: Vec<Grown> =
        SIZES[..count].iter().map(|size| grow(&runtime, dir.path(), *size, plan)).collect();
    tables(&grown);
    keep(&grown);
}

/// The rows of the result, with the bars that hold at any size.
fn keep(grown: &[Grown]) {
    for Grown { size, lines, presence, queries, .. } in grown {
        let group = format!("growth, {} lines, {} users", size.lines, size.users);
        for (name, Writing { p50, rate, bytes }) in [("a line", lines), ("a join", presence)] {
            Row::new(&group, &format!("{name}, 1 caller, p50"), "µs", *p50).keep();
            Row::new(&group, &format!("{name}, 256 callers"), "per s", *rate).keep();
            Row::new(&group, &format!("{name}, of the file"), "B", *bytes).keep();
        }
        for (name, micros) in queries {
            let most = if *name == "channel_stats" { 150.0 } else { 1000.0 };
            let bar = format!("≤ {most} µs");
            let bar = Some((bar.as_str(), *micros <= most));
            Row { bar, ..Row::new(&group, name, "µs", *micros) }.keep();
        }
    }
}

fn bytes(file: &Path) -> u64 {
    file.metadata().unwrap().len()
}

fn grow(runtime: &Runtime, dir: &Path, size: Size, plan: Plan) -> Grown {
    let file = file(dir, "growth");
    let begin = Instant::now();
    runtime.block_on(service(runtime, &file, Synchronous::Normal).close());
    fill(&file, size);
    eprintln!("{} lines filled in {:.0} s", size.lines, begin.elapsed().as_secs_f64());
    let (filled, written) = (bytes(&file), operations(&file));

    let speakers = size.users.min(SPEAKERS);
    let users: Vec<String> = (0..speakers).map(|i| load::name(i * (size.users / speakers))).collect();
    // Queries first, while the file is as it was filled.
    let ours = service(runtime, &file, Synchronous::Normal);
    let queries = queries(&users).map(|(name, load)| (name, plan.micros(runtime, &ours, load, 1)));
    runtime.block_on(ours.close());
    let lines = write(runtime, &file, Load::lines(&users), plan);
    let presence = write(runtime, &file, Load::presence(&users), plan);
    std::fs::remove_file(&file).unwrap();
    Grown { size, bytes: filled, operations: written, lines, presence, queries }
}

/// Runs one caller and 256; then closes the file, and measures its growth.
fn write(runtime: &Runtime, file: &Path, load: Load, plan: Plan) -> Writing {
    let before = (bytes(file), operations(file));
    let ours = service(runtime, file, Synchronous::Normal);
    let p50 = plan.micros(runtime, &ours, load, 1);
    let rate = 1e6 / plan.micros(runtime, &ours, load, 256);
    runtime.block_on(ours.close());
    let (more, count) = (bytes(file) - before.0, operations(file) - before.1);
    Writing { p50, rate, bytes: more as f64 / count as f64 }
}

fn tables(grown: &[Grown]) {
    println!(
        "\ngrowth, synchronous=normal; p50 of one caller, rate of 256, bytes of the closed file per operation"
    );
    println!(
        "{:>11}{:>10}{:>9}{:>8}   {:>9}{:>9}{:>8}   {:>9}{:>9}{:>8}",
        "", "", "", "B of", "line", "", "B of", "join", "", "B of"
    );
    println!(
        "{:>11}{:>10}{:>9}{:>8}   {:>9}{:>9}{:>8}   {:>9}{:>9}{:>8}",
        "lines", "users", "MiB", "each", "p50 µs", "per s", "each", "p50 µs", "per s", "each"
    );
    for Grown { size, bytes, operations, lines, presence, .. } in grown {
        let mib = *bytes as f64 / f64::from(1 << 20);
        let each = *bytes as f64 / *operations as f64;
        print!("{:>11}{:>10}{mib:>9.1}{each:>8.0}", size.lines, size.users);
        for Writing { p50, rate, bytes } in [lines, presence] {
            print!("   {p50:>9.0}{rate:>9.0}{bytes:>8.0}");
        }
        println!();
    }
    let names: String = grown[0].queries.iter().map(|(name, _)| format!("{name:>16}")).collect();
    println!("\nqueries of one caller, p50 µs\n{:>11}{:>10}{names}", "lines", "users");
    for Grown { size, queries, .. } in grown {
        let times: String = queries.iter().map(|(_, p50)| format!("{p50:>16.0}")).collect();
        println!("{:>11}{:>10}{times}", size.lines, size.users);
    }
}
