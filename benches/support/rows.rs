//! Rows that criterion measures: one caller, or many at once.

use std::future::Future;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, Throughput};
use tokio::runtime::Runtime;

use crate::callers::each;

/// Criterion with ten samples, which take this time together. The command line goes first.
pub(crate) fn criterion(measurement: Duration) -> Criterion {
    let few = Criterion::default().sample_size(10).warm_up_time(Duration::from_millis(500));
    few.measurement_time(measurement).configure_from_args()
}

/// A group of rows with this many callers each.
pub(crate) fn group<'a>(
    criterion: &'a mut Criterion,
    title: &str,
    callers: usize,
) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(title);
    group.sampling_mode(SamplingMode::Flat);
    if callers > 1 {
        group.throughput(Throughput::Elements(1));
    }
    group
}

/// Adds a row of this many tasks, each of which runs `step(caller, turn)` as soon as its last one is done.
///
/// The time of a row is that of one operation: of a single caller the median latency, of several the time that
/// all of them take together, divided by their number.
pub(crate) fn row<F, Fut>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    name: &str,
    callers: usize,
    step: F,
) where
    F: Fn(usize, usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    timed(group, name, |turns| each(runtime, callers, turns, &step));
}

/// Adds a row whose time for an operation, in seconds, is measured by `run(turns)`.
pub(crate) fn timed(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut run: impl FnMut(u64) -> f64) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|turns| Duration::from_secs_f64(run(turns) * turns as f64));
    });
}
