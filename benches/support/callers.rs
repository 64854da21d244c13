//! Callers in loops.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

/// The seconds of one operation, where the callers take `turns` of them each on average.
pub(crate) fn each<F, Fut>(runtime: &Runtime, callers: usize, turns: u64, step: &F) -> f64
where
    F: Fn(usize, usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    let all = turns * callers as u64;
    // Taken from a common number, so that all callers end at the same time.
    let begun = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let (step, begun) = (step.clone(), Arc::clone(&begun));
            runtime.spawn(async move {
                let mut took = Vec::with_capacity(1024);
                while begun.fetch_add(1, Ordering::Relaxed) < all {
                    let begin = Instant::now();
                    step(caller, took.len()).await;
                    took.push(begin.elapsed());
                }
                took
            })
        })
        .collect();
    let mut took = Vec::new();
    for task in tasks {
        took.append(&mut runtime.block_on(task).unwrap());
    }
    if callers == 1 { median(took) } else { start.elapsed().as_secs_f64() / all as f64 }
}

/// The median, in seconds.
pub(crate) fn median(mut took: Vec<Duration>) -> f64 {
    took.sort_unstable();
    took[took.len() / 2].as_secs_f64()
}
