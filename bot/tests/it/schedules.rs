//! Random schedules of faults under load: two bots, each with an outbox of its own, send through a proxy to a server and
//! to one or two services, while all of it is killed, frozen, cut off, slowed down, locked and starved, at times two
//! things at once. Whatever happens: what was accepted has its effect, nothing has two, and only what was said to have
//! failed may be missing.
//!
//! A schedule is drawn from its seed; odd ones have a stream, in two of four the services take bundles, and in every third both paths are
//! asked at once, always. `ROSEY_SEED=7 ROSEY_SCHEDULES=1` plays one of them again, as
//! far as a machine does the same things at the same moments; `ROSEY_SCHEDULES=100 ROSEY_SECONDS=20` plays many, each for as
//! long, and so does `cargo xtask schedules`. With `--nocapture` each tells its counts, and at the end stand the faults, how
//! often each was drawn and felt, and the sum; a failure tells the seed, what went wrong when, and what the services
//! said.

pub(crate) mod load;
mod plan;
mod strangers;
pub(crate) mod tally;
pub(crate) mod verdict;
pub(crate) mod world;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use crate::support::*;
use eitherway::stack::{Hedging, StackBuilder};
use futures_util::FutureExt;
use load::Load;
use tally::Tally;
use verdict::{Contents, Verdict};
use world::{FaultLog, World};

/// How long it may take, when everything is well again, until nothing is on its way any more.
const SETTLED: Duration = Duration::from_secs(60);

/// Whether the services of a schedule take bundles: with a stream and without in turn.
pub(crate) const fn takes_bundles(seed: u64) -> bool {
    matches!(seed % 4, 2 | 3)
}

/// Plays one schedule to its end.
async fn play(seed: u64, length: Duration, fault_log: FaultLog, tally: Tally) {
    let mut dice = Dice::new(seed);
    let (stream, services) = (seed % 2 == 1, if dice.in_a_hundred(50) { 2 } else { 1 });
    let hedging = if seed.is_multiple_of(3) { Hedging::new().database_always() } else { Hedging::new() };
    let bundles = takes_bundles(seed);
    fault_log.say(format_args!("stream: {stream}, bundles: {bundles}, services: {services}, {hedging:?}"));
    let plan = plan::draw(&mut dice, length, services, stream);
    plan.spells().iter().for_each(|spell| fault_log.say(format_args!("planned: {spell}")));
    tally.drawn(plan.spells().iter().map(|spell| spell.fault.name()));
    let mut world = World::new(stream, bundles, services, fault_log, tally.clone()).await;
    let bot = || Bot::start_with(&world.proxy, &world.file, StackBuilder::new().hedging(hedging));
    let bots = [bot().await, bot().await];
    let loads = [0, 1].map(|bot| Load::start(&bots[bot].db, bot, dice.another()));
    let (start, played) = world.play(&plan).await;
    world.recovered().await;
    for bot in &bots {
        tokio::time::timeout(SETTLED, bot.nats.recognised()).await.expect("the service is recognised again");
    }
    let mut records = Vec::new();
    for load in loads {
        records.push(load.finish(SETTLED).await);
    }
    for bot in &bots {
        bot.emptied().await;
        bot.nats.all_applied(SETTLED).await.unwrap();
    }
    let sent = bots.iter().map(|bot| bot.nats.inbox().bundles).sum::<u64>();
    assert_eq!(sent > 0, bundles, "{sent} bundles");
    for bot in bots {
        bot.stop().await;
    }
    world.stop().await;
    tally.met(records.iter().flatten(), start, &played);
    let verdict = Verdict::over(&records, &Contents::read(&world.file).await);
    eprintln!("seed {seed} · {sent} bundles · {verdict}");
    tally.judged(&verdict);
    verdict.assert_right();
    world.file.assert_verified().await;
}

/// What a panic says.
pub(crate) fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it has failed")
}

/// Plays as many as the environment says, or the usual number, and fails with all that have failed.
pub(crate) async fn play_all(usual: u64, play: impl AsyncFn(u64, Duration, FaultLog, Tally)) {
    let (first, schedules) = (knob("ROSEY_SEED", 1), knob("ROSEY_SCHEDULES", usual));
    let seconds = knob("ROSEY_SECONDS", 6);
    eprintln!("ROSEY_SEED={first} ROSEY_SCHEDULES={schedules} ROSEY_SECONDS={seconds}");
    let (mut failures, tally) = (Vec::new(), Tally::default());
    for seed in first..first + schedules {
        let fault_log = FaultLog::default();
        let played = play(seed, Duration::from_secs(seconds), fault_log.clone(), tally.clone());
        if let Err(panic) = AssertUnwindSafe(played).catch_unwind().await {
            let failure = format!("seed {seed}: {}\n{fault_log}", words(&*panic));
            eprintln!("{failure}");
            failures.push(failure);
        }
    }
    eprintln!("\n{tally}");
    assert_eq!(tally.unfelt(), [""; 0], "drawn and never felt");
    assert!(failures.is_empty(), "{} of {schedules} schedules:\n{}", failures.len(), failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_and_whenever_what_is_accepted_takes_effect_once() {
    play_all(5, play).await;
}
