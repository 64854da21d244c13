//! Rows: what a request costs. Each iteration does what `oneshot` does: clone the stack, poll it ready, call it,
//! and drive the future to completion.

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Barrier;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BenchmarkGroup, measurement::WallTime};
use tower::Service;

use crate::subject::Req;

/// Sends one request over a fresh clone.
pub(crate) fn once<S: Service<Req> + Clone>(service: &S, req: Req) -> Result<S::Response, S::Error> {
    through(&mut service.clone(), req)
}

/// Sends one request. A service that yields is polled until it answers.
fn through<S: Service<Req>>(service: &mut S, req: Req) -> Result<S::Response, S::Error> {
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match service.poll_ready(&mut cx) {
            Poll::Ready(Ok(())) => break,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => {}
        }
    }
    let mut call = pin!(service.call(req));
    loop {
        if let Poll::Ready(result) = call.as_mut().poll(&mut cx) {
            return result;
        }
    }
}

pub(crate) fn measure<S: Service<Req> + Clone>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    service: S,
) {
    group.bench_function(name, |bencher| {
        let mut id = 0;
        bencher.iter(|| {
            id += 1;
            black_box(once(&service, black_box(Req(id))).is_ok())
        });
    });
}

/// A row over one instance, for a service that cannot be cloned.
pub(crate) fn measure_one<S: Service<Req>>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    mut service: S,
) {
    group.bench_function(name, |bencher| {
        let mut id = 0;
        bencher.iter(|| {
            id += 1;
            black_box(through(&mut service, black_box(Req(id))).is_ok())
        });
    });
}

/// A row of two threads that send requests over a shared service.
pub(crate) fn measure_two<S>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, service: &S)
where
    S: Service<Req> + Clone + Send + Sync,
{
    group.bench_function(name, |bencher| bencher.iter_custom(|turns| both_threads(service, turns)));
}

/// The time of this many requests from each of two threads over a shared service.
fn both_threads<S: Service<Req> + Clone + Send + Sync>(service: &S, iterations: u64) -> Duration {
    let barrier = Barrier::new(3);
    thread::scope(|scope| {
        let threads = [(); 2].map(|()| {
            scope.spawn(|| {
                barrier.wait();
                for id in 0..iterations {
                    black_box(once(service, black_box(Req(id))).is_ok());
                }
            })
        });
        barrier.wait();
        let start = Instant::now();
        for thread in threads {
            thread.join().expect("a thread failed");
        }
        start.elapsed()
    })
}
