//! Hours in minutes: a bot and a service under a steady load, while something breaks every few seconds. Memory, file
//! descriptors, threads and tasks of both stay what they were, and at the end every line is there once.
//!
//! `cargo xtask soak` runs it for ten minutes; `ROSEY_MINUTES`, `ROSEY_RATE` (lines of input a second) and `ROSEY_SEED`
//! are its knobs. What a process uses is looked at in the quiet before each fault.
#![allow(clippy::print_stdout)]

mod faults;
mod sample;

use std::time::{Duration, Instant};

use crate::support::*;
use faults::{Env, Fault};
use sample::Samples;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes ten minutes: `cargo xtask soak`"]
async fn through_outages_without_end_memory_stays_flat_and_nothing_is_lost_or_doubled() {
    let (minutes, rate) = (knob("ROSEY_MINUTES", 10.0), knob("ROSEY_RATE", 200_u64));
    let seed = knob("ROSEY_SEED", u64::from(std::process::id()));
    println!("ROSEY_SEED={seed}: {minutes} min at {rate} lines a second");

    let mut env = Env::new().await;
    let bot = BotProcess::start(&env.world.server.url(), &env.world.file.url(), "visitor", rate);
    let mut samples = Samples::new(bot.id());
    let (begun, mut faults) = (Instant::now(), faults::in_any_order(seed));
    let mut counts = [0_u32; Fault::ALL.len()];
    while begun.elapsed() < Duration::from_secs_f64(minutes * 60.0) {
        tokio::time::sleep(Duration::from_secs(4)).await;
        samples.take(begun.elapsed(), &env, &bot).await;
        let fault = faults.next().unwrap();
        counts[fault as usize] += 1;
        env.suffer(fault).await;
    }
    tokio::time::sleep(Duration::from_secs(4)).await;
    samples.take(begun.elapsed(), &env, &bot).await;

    let (fed, report) = bot.finish().await;
    let world = env.close().await;
    let faults = Fault::ALL.iter().zip(counts).map(|(fault, count)| format!("{fault:?} {count}"));
    println!("\nfaults: {}", faults.collect::<Vec<_>>().join(", "));
    println!("{samples}");
    println!("by NATS {}, by the database {}, by the outbox {}", report.nats, report.db, report.outbox);
    println!("the bot's log: {} lines, {} of them warnings or errors", report.logged, report.warned);

    let count = async |sql| u64::try_from(world.file.number(sql).await).unwrap();
    let (lines, different) = (
        count("SELECT count(*) FROM recent_chat").await,
        count("SELECT count(DISTINCT message) FROM recent_chat").await,
    );
    let (moves, people) = (
        count("SELECT count(*) FROM presence").await,
        count("SELECT count(DISTINCT username || joined) FROM presence").await,
    );
    let lost = (fed.lines + fed.moves).saturating_sub(different + people);
    let doubled = (lines - different) + (moves - people);
    println!("sent {} · applied {} · lost {lost} · doubled {doubled}", fed.lines + fed.moves, lines + moves);
    assert_eq!((lost, doubled), (0, 0));
    assert_eq!((different, people), (fed.lines, fed.moves));
    world.file.assert_verified().await;
    samples.assert_flat();
}
