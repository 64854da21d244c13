//! The cost of a write: one caller and many, beside a bare `INSERT` with its own commit, and beside SQLite
//! alone.
//!
//! `cargo bench --bench writer` prints the tables, and then the bars that `docs/benches.md` explains. Every
//! row of a table is measured in every round, one after the other, so that a noisy minute of the machine
//! affects all of them.
//!
//! After `--`: `--quick` for a smoke test of some seconds, and the names of tables (`lines`, `kinds`, `hops`,
//! `statements`, `growth`) to run only those. `ROSEY_GROWTH=none|small|full` limits the size of the growth
//! table; `full` needs about 4 GB in the target directory, and a long time.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "writer/bare.rs"]
mod bare;
#[path = "writer/fill.rs"]
mod fill;
#[path = "writer/floor.rs"]
mod floor;
#[path = "writer/frame.rs"]
mod frame;
#[path = "writer/growth.rs"]
mod growth;
#[path = "writer/hops.rs"]
mod hops;
#[path = "writer/load.rs"]
mod load;
#[path = "writer/measure.rs"]
mod measure;
#[path = "writer/ours.rs"]
mod ours;
#[path = "writer/statements.rs"]
mod statements;
#[path = "writer/table.rs"]
mod table;

use std::path::Path;
use std::time::Duration;

use eitherway::sql::Synchronous;
use tokio::runtime::Runtime;

use bare::Bare;
use floor::Floor;
use load::Load;
use measure::{Boxed, Plan, measure};
use ours::Ours;
use table::{Bars, Table};

const POOL_OF_5: &str = "bare INSERT and commit, sqlx pool of 5";
const POOL_OF_1: &str = "bare INSERT and commit, sqlx pool of 1";

/// Where the tables keep their files.
struct Place<'a> {
    runtime: &'a Runtime,
    dir: &'a Path,
    plan: Plan,
}

/// Chat lines by 1 to 4096 callers.
fn lines(place: &Place<'_>, synchronous: Synchronous, bars: &mut Bars) {
    let &Place { runtime, dir, plan } = place;
    let chat = Load::lines(&load::users());
    let mut sides: Vec<Boxed<'_>> = vec![
        Box::new(Bare::open(runtime, dir, POOL_OF_5, 5, synchronous)),
        Box::new(Bare::open(runtime, dir, POOL_OF_1, 1, synchronous)),
        Box::new(Ours::open(runtime, dir, "lines", synchronous).row("chat lines (ledger, line, user)", chat)),
        Box::new(Floor::open(runtime, dir, "chat lines, SQLite alone", chat, synchronous)),
    ];
    let callers: &[usize] = if plan.quick { &[1, 256] } else { &[1, 32, 256, 4096] };
    for &callers in callers {
        let series = measure(&mut sides, &plan, callers);
        let table = Table::new(&series, 2);
        table.print(&format!("chat lines, {}", table::heading(callers, synchronous)));
        let name = table::short(synchronous);
        match callers {
            1 => {
                bars.most(format!("one caller, p50, synchronous={name}"), table.latency(2), 1.0, "×");
            }
            256 => {
                bars.least(format!("256 callers, rate, synchronous={name}"), table.rate(2), 6.0, "×");
                if synchronous == Synchronous::Normal {
                    bars.least(
                        "256 callers, chat lines".to_owned(),
                        series[2].of(|r| r.rate),
                        60_000.0,
                        "/s",
                    );
                }
            }
            _ => {}
        }
    }
}

/// The other kinds of events, and a mix.
fn kinds(place: &Place<'_>, synchronous: Synchronous, bars: &mut Bars) {
    let &Place { runtime, dir, plan } = place;
    let users = load::users();
    let ours = Ours::open(runtime, dir, "kinds", synchronous);
    let presence = Load::presence(&users);
    let mut sides: Vec<Boxed<'_>> = vec![
        Box::new(Bare::open(runtime, dir, POOL_OF_5, 5, synchronous)),
        Box::new(Bare::open(runtime, dir, POOL_OF_1, 1, synchronous)),
        Box::new(ours.row("joins and leaves", presence)),
        Box::new(Floor::open(runtime, dir, "joins and leaves, SQLite alone", presence, synchronous)),
        Box::new(ours.row("user_count", Load::counts())),
        Box::new(ours.row("high_water", Load::records())),
        Box::new(ours.row("status_update", Load::status())),
        Box::new(ours.row("pm_command", Load::commands(&users))),
        Box::new(ours.row("a mix, as in a session", Load::mix(&users))),
    ];
    for callers in [1, 256] {
        let series = measure(&mut sides, &plan, callers);
        Table::new(&series, 2).print(&format!("kinds of events, {}", table::heading(callers, synchronous)));
        if callers == 256 && synchronous == Synchronous::Normal {
            let rate = series[2].of(|r| r.rate);
            bars.least("256 callers, joins and leaves".to_owned(), rate, 30_000.0, "/s");
        }
    }
}

/// Parses the command line.
fn asked() -> (bool, Vec<String>) {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let quick = args.iter().any(|arg| arg == "--quick");
    (quick, args.into_iter().filter(|arg| !arg.starts_with('-')).collect())
}

fn main() {
    let (quick, names) = asked();
    let wants = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let plan = if quick {
        Plan { rounds: 3, time: Duration::from_millis(60), quick }
    } else {
        Plan { rounds: 9, time: Duration::from_millis(500), quick }
    };
    // The number of workers that `rosey serve` and the bot have on such a machine.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // The system's temporary directory may be in memory, where a sync costs nothing.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let place = Place { runtime: &runtime, dir: dir.path(), plan };
    println!(
        "SQLite {}. {} rounds of {} ms a row. Medians of rounds. × is against the faster of the bare
INSERTs, in `where it goes` against SQLite alone, in the same round.",
        rusqlite::version(),
        plan.rounds,
        plan.time.as_millis()
    );
    let mut bars = Bars::default();
    for synchronous in [Synchronous::Normal, Synchronous::Full] {
        if wants("lines") {
            lines(&place, synchronous, &mut bars);
        }
        if wants("kinds") {
            kinds(&place, synchronous, &mut bars);
        }
    }
    if wants("hops") {
        hops::print(&runtime, dir.path(), &plan);
    }
    if wants("statements") {
        statements::print(&runtime, dir.path(), quick);
    }
    if wants("growth") {
        growth::print(&runtime, dir.path(), &plan);
    }
    bars.print();
}
