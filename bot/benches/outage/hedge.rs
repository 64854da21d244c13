//! What hedging is worth: the slowest operation of each kind while paths are silent, with and without it, and what it
//! costs while a path is only slow.

use std::path::Path;
use std::time::Duration;

use eitherway::operation::{Kind, Operation};
use eitherway::stack::{HedgeCounts, Hedging};
use eitherway_layers::hedge::Counts;
use eitherway_testkit::Direction;
use rosey::op::Op;

use super::load::{Load, RATE, Seen, mixed};
use super::measure::percentile;
use super::ours::Bot;
use super::record::Row;
use super::run::{Run, finish};
use super::table::{shown, verdict, verdict_head};
use super::verdict::Verdict;
use super::world::{Fault, Window};

/// The faults that show only as silence, or as a lock.
const FAULTS: [Fault; 7] = [
    Fault::ServerFrozen,
    Fault::ServiceFrozen,
    Fault::NetworkStalled,
    Fault::Locked,
    Fault::LockedAndServerFrozen,
    Fault::LockedAndServiceFrozen,
    Fault::LockedAndStalled,
];
const MODES: [(&str, Hedging); 2] = [("hedged", Hedging::new()), ("not hedged", Hedging::off())];
/// How long a fault lasts, and the calm around it.
const LASTING: Duration = Duration::from_millis(1500);
const CALM: Duration = Duration::from_millis(1200);
/// What the network adds to each request of a path that is only slow, and for how long that is measured.
const SLOW: Duration = Duration::from_millis(30);
const SLOWLY: Duration = Duration::from_secs(5);

/// One run through all faults.
async fn run(hedging: Hedging) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let (mut world, bot) = Bot::start_with(false, dir.path(), hedging, true).await;
    let load = Load::of(bot.design.clone(), mixed);
    let mut windows = Vec::new();
    tokio::time::sleep(CALM).await;
    for fault in FAULTS {
        windows.push(world.suffer(fault, LASTING, &load).await);
        tokio::time::sleep(CALM).await;
    }
    let (seen, applied) = finish(world, bot, load).await;
    Run { seen, windows, applied }
}

/// What a slow path costs.
struct Slow {
    seen: Vec<Seen>,
    sent: Verdict,
    hedges: HedgeCounts,
    /// How often the ledger knew an operation already, in the service and in the bot.
    repeats: u64,
}

async fn slow(hedging: Hedging) -> Slow {
    let dir = tempfile::tempdir().unwrap();
    let (world, bot) = Bot::start_with(false, dir.path(), hedging, true).await;
    world.network.as_ref().unwrap().delay([Direction::Server], SLOW);
    let load = Load::of(bot.design.clone(), mixed);
    tokio::time::sleep(SLOWLY).await;
    let seen = load.finish().await;
    world.network.as_ref().unwrap().heal().await;
    bot.flush().await;
    let (hedges, repeats) = (bot.hedges(), bot.repeats().await);
    let applied = super::run::stop(world, bot).await;
    Slow { sent: applied.sum(&seen), seen, hedges, repeats }
}

/// The operations that met the fault.
fn met<'a>(seen: &'a [Seen], window: &Window) -> impl Iterator<Item = &'a Seen> {
    let Window { began, back, .. } = *window;
    seen.iter().filter(move |seen| seen.ended() >= began && seen.begun < back)
}

/// The slowest of a kind.
fn slowest(seen: &[Seen], window: &Window, kind: Kind) -> Duration {
    met(seen, window).filter(|seen| seen.kind == kind).map(|seen| seen.took).max().unwrap_or_default()
}

/// What the slowest of each kind may take where there are hedges.
const BARS: [(&str, u64, &str); 3] =
    [("event", 150, "≤ 150 ms"), ("query", 150, "≤ 150 ms"), ("call", 500, "≤ 500 ms")];

fn keep(title: &str, fault: &str, times: [Duration; 3]) {
    for ((kind, most, words), took) in BARS.into_iter().zip(times) {
        let bar = Some((words, took <= Duration::from_millis(most)));
        let row = format!("{fault}: {kind}");
        Row { bar, ..Row::new(title, &row, "ms", took.as_secs_f64() * 1e3) }.keep();
    }
}

/// Prints all of it, and draws the runs.
pub(crate) async fn compare(svg: Option<&Path>) {
    let mut total = Verdict::default();
    let mut runs = Vec::new();
    for (mode, hedging) in MODES {
        let run = run(hedging).await;
        let title = format!("the slowest, {mode}");
        println!("\n{title:<40}{:>11}{:>11}{:>11}{:>16}", "event", "query", "call", "began late by");
        for window in &run.windows {
            let times = [Kind::Event, Kind::Query, Kind::Call].map(|kind| slowest(&run.seen, window, kind));
            if mode == MODES[0].0 {
                keep(&title, window.fault.name(), times);
            }
            let [event, query, call] = times.map(shown);
            let late = shown(met(&run.seen, window).map(|seen| seen.late).max().unwrap_or_default());
            println!("{:<40}{event:>11}{query:>11}{call:>11}{late:>16}", window.fault.name());
        }
        verdict_head(&format!("events, {mode}"));
        for (window, of) in run.windows.iter().zip(run.verdicts()) {
            verdict(window.fault.name(), of);
            total = total.plus(of);
        }
        runs.push((mode, run));
    }
    println!(
        "\n{:<24}{:>8}{:>8}{:>8}{:>8}{:>8}{:>8}{:>9}{:>9}{:>15}",
        format!("{} ms slower, {RATE}/s", SLOW.as_millis()),
        "sent",
        "hedges",
        "free",
        "overdue",
        "denied",
        "repeats",
        "p50",
        "slowest",
        "began late by"
    );
    for (mode, hedging) in MODES {
        let Slow { seen, sent, hedges, repeats } = slow(hedging).await;
        let mut took: Vec<Duration> = seen.iter().map(|seen| seen.took).collect();
        took.sort_unstable();
        let middle = percentile(&took, 0.5).unwrap_or_default();
        let count = |what: fn(&Counts) -> u64| what(&hedges.events) + what(&hedges.requests);
        println!(
            "{mode:<24}{:>8}{:>8}{:>8}{:>8}{:>8}{repeats:>8}{:>9}{:>9}{:>15}",
            seen.len(),
            count(|of| of.started),
            count(|of| of.free),
            count(|of| of.overdue),
            count(|of| of.denied),
            shown(middle),
            shown(took.last().copied().unwrap_or_default()),
            shown(seen.iter().map(|seen| seen.late).max().unwrap_or_default())
        );
        total = total.plus(sent);
    }
    if let Some(file) = svg {
        std::fs::write(file, super::chart::beside(&runs)).unwrap();
    }
    assert_eq!((total.once, total.doubled, total.lost), (total.sent, 0, 0), "everything once");
}

/// The kinds of operations, by their index.
pub(crate) fn indices() -> std::ops::Range<usize> {
    0..Op::NAMES.len()
}
