//! What an outage costs: a steady load on the standard stack, while the server and the service are killed and frozen,
//! and then both paths are away. How long until another path serves, how slow the slowest is, how soon NATS serves again,
//! and what the file says in the end: sent, applied once, doubled, lost.
//!
//! `cargo xtask bench outage` prints the tables; `-- --quick` tries it out; `-- --svg FILE` draws the chart.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "outage/load.rs"]
mod load;
#[path = "outage/measure.rs"]
mod measure;
#[path = "outage/ours.rs"]
mod ours;
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

use std::time::Duration;

use run::Plan;
use verdict::Verdict;
use world::Fault;

/// Without a stream.
const CORE: [Fault; 5] =
    [Fault::ServerKilled, Fault::ServerFrozen, Fault::ServiceKilled, Fault::ServiceFrozen, Fault::BothDown];
/// With one, where that makes a difference.
const STREAM: [Fault; 2] = [Fault::ServiceKilled, Fault::ServiceFrozen];

fn plan(quick: bool) -> Plan {
    let seconds = Duration::from_secs_f64;
    if quick {
        Plan { rounds: 1, calm: seconds(1.0), killed: seconds(1.0), frozen: seconds(2.3) }
    } else {
        Plan { rounds: 5, calm: seconds(1.5), killed: seconds(2.0), frozen: seconds(3.0) }
    }
}

#[tokio::main]
async fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick");
    let plan = plan(quick);
    println!("{} operations a second, {} rounds. synchronous=normal.", load::RATE, plan.rounds);
    let (mut core, mut stream) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        core.push(run::ours(plan, false, &CORE).await);
        stream.push(run::ours(plan, true, &STREAM).await);
    }
    let sides = [("", &CORE[..], &core), (", JetStream", &STREAM[..], &stream)];
    for (mode, faults, rounds) in sides {
        for (i, fault) in faults.iter().enumerate() {
            let numbers: Vec<_> = rounds.iter().map(|(_, numbers)| &numbers[i]).collect();
            table::print(&format!("{}{mode}", fault.name()), fault.frozen(), &numbers);
        }
    }
    table::verdict_head("events of ours, counted in the file");
    for (mode, faults, rounds) in sides {
        for (i, fault) in faults.iter().enumerate() {
            let sum = rounds.iter().map(|(run, _)| run.verdicts()[i]).fold(Verdict::default(), Verdict::plus);
            table::verdict(&format!("{}{mode}", fault.name()), sum);
        }
    }
}
