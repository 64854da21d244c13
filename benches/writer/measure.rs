//! Callers in loops, rounds in turn, medians.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

/// The number and the length of the rounds.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// The duration of one row in one round.
    pub(crate) time: Duration,
    pub(crate) quick: bool,
}

/// One row in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Round {
    /// In microseconds.
    pub(crate) p50: f64,
    /// In microseconds.
    pub(crate) p99: f64,
    /// Operations per second.
    pub(crate) rate: f64,
    /// Processor time per operation in microseconds, of the whole process including callers.
    pub(crate) cpu: Option<f64>,
}

/// A row to measure.
pub(crate) trait Side {
    fn name(&self) -> &'static str;
    /// Runs this many callers for this long; each sends the next operation as soon as the last one is
    /// answered.
    fn run(&mut self, callers: usize, time: Duration) -> Round;
}

pub(crate) type Boxed<'a> = Box<dyn Side + 'a>;

/// One row over all rounds.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) rounds: Vec<Round>,
}

/// The median, and the range of the rounds.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) middle: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Series {
    pub(crate) fn of(&self, what: impl Fn(&Round) -> f64) -> Spread {
        spread(self.rounds.iter().map(what).collect())
    }

    /// The minimum processor time, because noise only adds to it.
    pub(crate) fn cpu(&self) -> Option<f64> {
        self.rounds.iter().filter_map(|r| r.cpu).min_by(f64::total_cmp)
    }
}

pub(crate) fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    Spread { middle: values[values.len() / 2], low: values[0], high: values[values.len() - 1] }
}

/// Measures every row in every round.
pub(crate) fn measure(sides: &mut [Boxed<'_>], plan: &Plan, callers: usize) -> Vec<Series> {
    let mut series: Vec<Series> =
        sides.iter().map(|side| Series { name: side.name(), rounds: Vec::new() }).collect();
    for side in &mut *sides {
        side.run(callers, plan.time / 4); // warm-up
    }
    for _ in 0..plan.rounds {
        for (side, series) in sides.iter_mut().zip(&mut series) {
            series.rounds.push(side.run(callers, plan.time));
        }
    }
    series
}

/// Runs `step(caller, turn)` in a loop, in this many tasks.
pub(crate) fn callers<F, Fut>(runtime: &Runtime, callers: usize, time: Duration, step: F) -> Round
where
    F: Fn(usize, usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let cpu = Cpu::now();
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let step = step.clone();
            runtime.spawn(async move {
                let mut took = Vec::with_capacity(1024);
                while start.elapsed() < time {
                    let begin = Instant::now();
                    step(caller, took.len()).await;
                    took.push(begin.elapsed());
                }
                took
            })
        })
        .collect();
    let all = runtime.block_on(async {
        let mut all = Vec::new();
        for task in tasks {
            all.append(&mut task.await.unwrap());
        }
        all
    });
    let elapsed = start.elapsed();
    let cpu = cpu.since().map(|spent| micros(spent) / all.len() as f64);
    Round { rate: all.len() as f64 / elapsed.as_secs_f64(), cpu, ..latencies(all) }
}

/// The quantiles of these latencies.
pub(crate) fn latencies(mut all: Vec<Duration>) -> Round {
    all.sort_unstable();
    let at = |quantile: f64| micros(all[((all.len() - 1) as f64 * quantile) as usize]);
    Round { p50: at(0.5), p99: at(0.99), rate: 0.0, cpu: None }
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The processor time of this process, where the system provides it in a file.
struct Cpu(Option<Duration>);

impl Cpu {
    fn now() -> Self {
        let read = || {
            let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
            // The name of the program, in parentheses, may contain blanks. After it, utime and stime are the
            // 12th and 13th fields.
            let (_, fields) = stat.rsplit_once(')')?;
            let mut fields = fields.split_whitespace().skip(11);
            let user: u64 = fields.next()?.parse().ok()?;
            let system: u64 = fields.next()?.parse().ok()?;
            // A tick is 10 ms on all common Linux systems.
            Some(Duration::from_millis((user + system) * 10))
        };
        Self(read())
    }

    fn since(&self) -> Option<Duration> {
        Some(Self::now().0?.saturating_sub(self.0?))
    }
}
