//! The proof that operations are order-free on SQLite: whatever the order they arrive in, how often, in how large
//! batches and through how many writers, the database holds what a naive model makes of the same operations in the
//! order of their time, each once.
//!
//! `ROSEY_CASES` is how many histories are tried (1000 if it is not set), and `ROSEY_MINUTES` for how long, if it is
//! set: then new ones are tried until the time is over, and their number is printed (`cargo xtask proof` on PostgreSQL).
//! A history that fails is cut down to a small one and printed, and its seed is kept beside this file to be tried
//! first the next time.
#![allow(clippy::print_stdout)]

mod base;
#[cfg(feature = "postgres")]
mod broken;
mod broken_file;
mod delivery;
mod dump;
mod files;
mod history;
mod model;
mod plans;
mod sending;
#[cfg(feature = "postgres")]
mod server;

use std::ops::RangeInclusive;

use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestError, TestRunner};

use base::Base;
use history::Case;
use model::Model;

#[test]
fn short_histories_end_the_same_in_any_order() {
    let half = cases().div_ceil(2);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| for_a_while("short", half, || try_cases(half, 1..=24, 5000)));
        }
    });
}

#[test]
fn short_histories_end_the_same_where_both_paths_are_always_asked() {
    let cases = cases().div_ceil(4);
    for_a_while("hedged", cases, || try_cases_over(true, cases, 1..=24, 5000));
}

#[test]
fn long_histories_end_the_same_in_any_order() {
    let cases = cases().div_ceil(25);
    // Cut down by `reduce` alone: one operation after the other takes too long.
    for_a_while("long", cases, || try_cases(cases, 100..=400, 0));
}

/// SQLite says what must come of it, PostgreSQL does it with four writers at the same time.
#[cfg(feature = "postgres")]
#[test]
fn histories_end_the_same_on_postgresql_with_four_writers_at_once() {
    let long = cases().div_ceil(25 * LANES);
    let short = cases().div_ceil(LANES).saturating_sub(long);
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let runtime = runtime();
                let both = runtime.block_on(server::Both::new());
                for_a_while("PostgreSQL", short + long, || {
                    for (cases, length) in [(short, 1..=24), (long, 100..=400)] {
                        run(cases, length, 0, |case| runtime.block_on(both.try_one(case)));
                    }
                });
                assert_eq!(runtime.block_on(both.deadlocks()), 0, "deadlocks");
            });
        }
    });
    println!("PostgreSQL: {}", server::Tally::all());
}

/// So many are tried at the same time, each in a database of its own that is used for all of its cases.
#[cfg(feature = "postgres")]
const LANES: u32 = 3;

/// Tries this many, and as many again until the time is over.
fn for_a_while(what: &str, cases: u32, try_them: impl Fn()) {
    let minutes = std::env::var("ROSEY_MINUTES").ok();
    let minutes = minutes.map(|text| text.parse::<f64>().expect("ROSEY_MINUTES is a number"));
    let (began, mut tried) = (std::time::Instant::now(), 0);
    loop {
        try_them();
        tried += cases;
        if minutes.is_none_or(|minutes| began.elapsed().as_secs_f64() >= minutes * 60.0) {
            break;
        }
    }
    if minutes.is_some() {
        println!("{tried} {what} histories in {:.1} min, all the same", began.elapsed().as_secs_f64() / 60.0);
    }
}

#[test]
fn no_query_reads_through_a_table_that_grows() {
    plans::check();
}

fn cases() -> u32 {
    std::env::var("ROSEY_CASES").map_or(1000, |text| text.parse().expect("ROSEY_CASES is a number"))
}

fn try_cases(cases: u32, length: RangeInclusive<usize>, max_shrink_iters: u32) {
    try_cases_over(false, cases, length, max_shrink_iters);
}

fn try_cases_over(hedged: bool, cases: u32, length: RangeInclusive<usize>, max_shrink_iters: u32) {
    let runtime = runtime();
    let mut files = runtime.block_on(files::Files::new());
    files.hedged = hedged;
    run(cases, length, max_shrink_iters, |case| {
        runtime.block_on(async { try_one(&files, case).await.map(drop) })
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn run(
    cases: u32,
    length: RangeInclusive<usize>,
    max_shrink_iters: u32,
    try_one: impl Fn(&Case) -> Result<(), TestCaseError>,
) {
    let mut runner = TestRunner::new(Config {
        cases,
        max_shrink_iters,
        max_shrink_time: 60_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(
            "tests/it/order_free/regressions.txt",
        ))),
        ..Config::default()
    });
    match runner.run(&history::cases(length), |case| try_one(&case)) {
        Ok(()) => {}
        Err(TestError::Fail(reason, case)) => {
            let failed = Failed { case, reason: reason.to_string() };
            let Failed { case, reason } = failed.reduce(|case| try_one(case).err().map(|e| e.to_string()));
            panic!("{reason}\n{case}");
        }
        Err(TestError::Abort(reason)) => panic!("given up: {reason}"),
    }
}

struct Failed {
    case: Case,
    reason: String,
}

impl Failed {
    /// Leaves out operations as long as the case still fails: halves first, single ones last. Then deliveries.
    fn reduce(mut self, fails: impl Fn(&Case) -> Option<String>) -> Self {
        let mut size = self.case.events.len();
        loop {
            let (before, mut from) = (self.case.events.len(), 0);
            while from < self.case.events.len() {
                let mut smaller = self.case.clone();
                smaller.events.drain(from..(from + size).min(self.case.events.len()));
                if !self.take(smaller, &fails) {
                    from += size;
                }
            }
            if size <= 1 && self.case.events.len() == before {
                break;
            }
            size = size.div_ceil(2);
        }
        for n in 0..self.case.events.len() {
            let mut smaller = self.case.clone();
            smaller.events[n].deliveries.truncate(1);
            smaller.events[n].deliveries[0].twice = false;
            self.take(smaller, &fails);
        }
        self
    }

    fn take(&mut self, case: Case, fails: impl Fn(&Case) -> Option<String>) -> bool {
        let reason = fails(&case);
        let failed = reason.is_some();
        if let Some(reason) = reason {
            *self = Self { case, reason };
        }
        failed
    }
}

/// Delivers a case, and compares what it makes with the model. Answers the content, and which message has the highest number.
async fn try_one(
    base: &impl Base,
    case: &Case,
) -> Result<(dump::Dump, Option<eitherway::OpId>), TestCaseError> {
    base.clear().await;
    let delivered = base.beside(delivery::deliver(case, base)).await.map_err(TestCaseError::fail)?;
    let model = Model::of(&delivered).dump();
    let mut found = compare(base, &model).await?;
    if base.fold_half().await {
        let half = compare(base, &model).await;
        found = half.map_err(|e| TestCaseError::fail(format!("in the middle of a fold: {e}")))?;
    }
    if base.fold().await {
        let folded = compare(base, &model).await;
        found = folded.map_err(|e| TestCaseError::fail(format!("after the last fold: {e}")))?;
    }
    Ok((found, delivered.newest()))
}

/// Compares the database with itself and with the model.
async fn compare(base: &impl Base, model: &dump::Dump) -> Result<dump::Dump, TestCaseError> {
    let verdict = base.verdict().await;
    if !verdict.is_clean() {
        return Err(TestCaseError::fail(format!("`verify` disagrees: {:#?}", verdict.findings)));
    }
    base.answers().await.map_err(TestCaseError::fail)?;
    let found = base.dump().await;
    dump::difference(model, &found).map_or(Ok(found), |difference| Err(TestCaseError::fail(difference)))
}
