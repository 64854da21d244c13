//! One run: a load, and one fault after the other.

use std::time::Duration;

use super::load::{Design, Load, Seen};
use super::measure::Numbers;
use super::naive::{self, NaiveClient};
use super::ours::Bot;
use super::support::ServeProcess;
use super::verdict::{Applied, Verdict};
use super::world::{Fault, Process, Window, World};

/// The durations of a run.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// The time before the first fault, and between a return and the next fault.
    pub(crate) calm: Duration,
    /// The duration of a fault that is noticed at once.
    pub(crate) killed: Duration,
    /// The duration of a fault that shows only as silence: longer than the time-out of 2 s.
    pub(crate) frozen: Duration,
}

impl Plan {
    fn lasting(&self, fault: Fault) -> Duration {
        if fault.frozen() { self.frozen } else { self.killed }
    }
}

/// The record of one run.
pub(crate) struct Run {
    pub(crate) seen: Vec<Seen>,
    pub(crate) windows: Vec<Window>,
    pub(crate) applied: Applied,
}

impl Run {
    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        self.applied.by_fault(&self.seen, &self.windows)
    }
}

/// Loads a design while faults happen.
pub(crate) async fn suffer<P: Process, D: Design>(
    world: &mut World<P>,
    design: D,
    plan: Plan,
    faults: &[Fault],
) -> (Load, Vec<Window>) {
    let load = Load::start(design);
    let mut windows = Vec::new();
    tokio::time::sleep(plan.calm).await;
    for fault in faults {
        windows.push(world.suffer(*fault, plan.lasting(*fault), &load).await);
        tokio::time::sleep(plan.calm).await;
    }
    (load, windows)
}

/// One round of Rosey.
pub(crate) async fn ours(plan: Plan, jetstream: bool, faults: &[Fault]) -> (Run, Vec<Numbers>) {
    let dir = tempfile::tempdir().unwrap();
    let (mut world, bot) = Bot::start(jetstream, dir.path()).await;
    let (load, windows) = suffer(&mut world, bot.design.clone(), plan, faults).await;
    let start = load.start;
    let seen = load.finish().await;
    bot.flush().await;
    let numbers = windows
        .iter()
        .map(|window| {
            let (began, back) = (start + window.began, start + window.back);
            let noticed = bot.noticed(began, back).map(|at| at - start);
            Numbers::of(window, noticed, bot.drained(back).map(|at| at - start), &seen)
        })
        .collect();
    let applied = stop(world, bot).await;
    (Run { seen, windows, applied }, numbers)
}

/// Ends a load, and waits until what was accepted is applied.
pub(crate) async fn finish(world: World<ServeProcess>, bot: Bot, load: Load) -> (Vec<Seen>, Applied) {
    let seen = load.finish().await;
    bot.flush().await;
    (seen, stop(world, bot).await)
}

/// Ends bot and service, and counts what is in the file.
pub(crate) async fn stop(world: World<ServeProcess>, bot: Bot) -> Applied {
    bot.stop().await;
    let World { server, service, file, network } = world;
    service.terminate().await;
    drop((network, server));
    file.assert_clean().await;
    Applied::count(&file).await
}

/// One round of a design for comparison.
pub(crate) async fn naive(plan: Plan, way: NaiveClient, faults: &[Fault]) -> Run {
    let (mut world, design) = naive::start(way).await;
    let (load, windows) = suffer(&mut world, design, plan, faults).await;
    let seen = load.finish().await;
    // Wait until the count is stable: messages in flight are applied by then, or never.
    let mut applied = Applied::count(&world.file).await;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let again = Applied::count(&world.file).await;
        if again == applied {
            return Run { seen, windows, applied };
        }
        applied = again;
    }
}
