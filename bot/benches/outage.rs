//! The cost of an outage: a steady load on the standard stack, while the server and the service are killed
//! and frozen, and finally both paths are unavailable. Measures how long it takes until another path serves,
//! the slowest operation, how soon NATS serves again, and, by counts in the file: sent, applied once,
//! doubled, lost.
//!
//! `cargo xtask bench outage` prints the tables; `-- --quick` is a short run; `-- --svg FILE` draws the
//! chart; `-- --hedge` compares the stack with and without hedges instead.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "outage/chart.rs"]
mod chart;
#[path = "outage/hedge.rs"]
mod hedge;
#[path = "outage/load.rs"]
mod load;
#[path = "outage/measure.rs"]
mod measure;
#[path = "outage/naive.rs"]
mod naive;
#[path = "outage/ours.rs"]
mod ours;
#[path = "../../benches/support/record.rs"]
mod record;
#[path = "outage/run.rs"]
mod run;
#[path = "../tests/support/mod.rs"]
mod support;
#[path = "outage/table.rs"]
mod table;
#[path = "outage/verdict.rs"]
mod verdict;
#[path = "outage/world.rs"]
mod world;

use std::path::Path;
use std::time::Duration;

use naive::NaiveClient;
use run::{Plan, Run};
use verdict::Verdict;
use world::Fault;

/// The faults without a stream.
const CORE: [Fault; 5] =
    [Fault::ServerKilled, Fault::ServerFrozen, Fault::ServiceKilled, Fault::ServiceFrozen, Fault::BothDown];
/// The faults that behave differently with a stream.
const STREAM: [Fault; 2] = [Fault::ServiceKilled, Fault::ServiceFrozen];

fn plan(quick: bool) -> Plan {
    let seconds = Duration::from_secs_f64;
    if quick {
        Plan { rounds: 1, calm: seconds(0.7), killed: seconds(1.0), frozen: seconds(2.3) }
    } else {
        Plan { rounds: 5, calm: seconds(1.2), killed: seconds(2.0), frozen: seconds(3.0) }
    }
}

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [first, url, path] = &args[..]
        && first == naive::SERVICE
    {
        return naive::serve(url, path).await;
    }
    let quick = args.iter().any(|arg| arg == "--quick");
    // Cargo runs a bench in the folder of its package; a path is meant from that of the workspace.
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let svg = args.iter().skip_while(|arg| *arg != "--svg").nth(1).map(|file| root.join(file));
    let plan = plan(quick);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{} operations a second, {} rounds. synchronous=normal, {cores} cores for everything, load before {}.",
        load::RATE,
        plan.rounds,
        load.split(' ').next().unwrap_or_default()
    );
    if args.iter().any(|arg| arg == "--hedge") {
        return hedge::compare(svg.as_deref()).await;
    }
    let (mut core, mut stream) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        core.push(run::ours(plan, false, &CORE).await);
        stream.push(run::ours(plan, true, &STREAM).await);
    }
    let mut beside = Vec::new();
    for way in [NaiveClient::Forget, NaiveClient::Ask] {
        beside.push((way, run::naive(plan, way, &CORE).await));
    }
    let sides = [("", &CORE[..], &core), (", JetStream", &STREAM[..], &stream)];
    for (mode, faults, rounds) in sides {
        for (i, fault) in faults.iter().enumerate() {
            let numbers: Vec<_> = rounds.iter().map(|(_, numbers)| &numbers[i]).collect();
            table::print(&format!("{}{mode}", fault.name()), *fault, &numbers);
        }
    }
    table::verdict_head("events of ours, counted in the file");
    let mut total = Verdict::default();
    for (mode, faults, rounds) in sides {
        for (i, fault) in faults.iter().enumerate() {
            let sum = rounds.iter().map(|(run, _)| run.verdicts()[i]).fold(Verdict::default(), Verdict::plus);
            table::verdict(&format!("{}{mode}", fault.name()), sum);
            total = total.plus(sum);
        }
    }
    for (what, count) in [("lost", total.lost), ("doubled", total.doubled)] {
        let bar = Some(("none", count == 0));
        record::Row { bar, ..record::Row::new("events of ours", what, "operations", count as f64) }.keep();
    }
    for (way, run) in &beside {
        table::verdict_head(way.name());
        for (fault, verdict) in CORE.iter().zip(run.verdicts()) {
            table::verdict(fault.name(), verdict);
        }
    }
    let late = |run: &Run, share| {
        let mut late: Vec<Duration> = run.seen.iter().map(|seen| seen.late).collect();
        late.sort_unstable();
        measure::percentile(&late, share).unwrap_or_default()
    };
    let all = || core.iter().chain(&stream).map(|(run, _)| run);
    println!(
        "\nThe load itself began late by {} (p99), {} (worst): nothing above can be faster.",
        table::shown(all().map(|run| late(run, 0.99)).max().unwrap_or_default()),
        table::shown(all().map(|run| late(run, 1.0)).max().unwrap_or_default())
    );
    if let Some(file) = svg {
        // The round in which the machine was least busy with other work.
        let calmest = core.iter().map(|(run, _)| run).min_by_key(|run| late(run, 0.99)).unwrap();
        std::fs::write(file, chart::draw(calmest, &beside)).unwrap();
    }
    assert_eq!((total.once, total.doubled, total.lost), (total.sent, 0, 0), "everything once");
}
