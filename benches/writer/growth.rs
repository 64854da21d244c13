//! The cost of writes and queries as the file grows.

use std::path::Path;
use std::time::Instant;

use eitherway::sql::Synchronous;
use tokio::runtime::Runtime;

use crate::fill::{Size, fill, operations};
use crate::load::{self, Load};
use crate::measure::{Boxed, Plan, Series, measure};
use crate::ours::{Ours, file, service};

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
    queries: Vec<(&'static str, f64)>,
}

pub(crate) fn print(runtime: &Runtime, dir: &Path, plan: &Plan) {
    let wanted = std::env::var("ROSEY_GROWTH").unwrap_or_default();
    let count = match (wanted.as_str(), plan.quick) {
        ("none", _) => return,
        ("full", _) => 3,
        ("small", _) | ("", false) => 2,
        ("", true) => 1,
        _ => panic!("ROSEY_GROWTH is none, small or full"),
    };
    let plan = Plan { rounds: plan.rounds.min(5), ..*plan };
    let grown: Vec<Grown> = SIZES[..count].iter().map(|size| grow(runtime, dir, *size, &plan)).collect();
    tables(&grown);
}

fn bytes(file: &Path) -> u64 {
    file.metadata().unwrap().len()
}

fn grow(runtime: &Runtime, dir: &Path, size: Size, plan: &Plan) -> Grown {
    let file = file(dir, "growth");
    let begin = Instant::now();
    runtime.block_on(service(runtime, &file, Synchronous::Normal).close());
    fill(&file, size);
    eprintln!("{} lines filled in {:.0} s", size.lines, begin.elapsed().as_secs_f64());
    let (filled, written) = (bytes(&file), operations(&file));

    let speakers = size.users.min(SPEAKERS);
    let users: Vec<String> = (0..speakers).map(|i| load::name(i * (size.users / speakers))).collect();
    // Queries first, while the file is as it was filled.
    let ours = Ours::over(runtime, service(runtime, &file, Synchronous::Normal));
    let mut sides: Vec<Boxed<'_>> =
        Load::queries(&users).map(|(name, load)| Box::new(ours.row(name, load)) as _).into();
    let series = measure(&mut sides, plan, 1);
    let queries = series.iter().map(|series| (series.name, series.of(|r| r.p50).middle)).collect();
    runtime.block_on(ours.close());
    let lines = write(runtime, &file, Load::lines(&users), plan);
    let presence = write(runtime, &file, Load::presence(&users), plan);
    std::fs::remove_file(&file).unwrap();
    Grown { size, bytes: filled, operations: written, lines, presence, queries }
}

/// Runs one caller and 256; then closes the file, and measures its growth.
fn write(runtime: &Runtime, file: &Path, load: Load, plan: &Plan) -> Writing {
    let before = (bytes(file), operations(file));
    let ours = Ours::over(runtime, service(runtime, file, Synchronous::Normal));
    let mut sides: [Boxed<'_>; 1] = [Box::new(ours.row("", load))];
    let mut run = |callers| -> Series { measure(&mut sides, plan, callers).remove(0) };
    let p50 = run(1).of(|r| r.p50).middle;
    let rate = run(256).of(|r| r.rate).middle;
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
