//! No layer allocates per call.
#![allow(clippy::unwrap_used)]

mod support;

use allocation_counter::measure;
use eitherway_layers::{
    BreakerLayer, BulkheadLayer, Class, FallbackExt, HedgeExt, KeyedBreakerLayer, LogLayer,
    PathChangeLogLayer, TimeoutLayer,
    breaker::Config,
    fallback::{ByClass, LimitReroutes},
    hedge::{Budget, Config as Hedging, Pace},
};
use std::{
    future::{Future, Ready, ready},
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};
use support::{Error, Req, Via, read, write};
use tower::{Layer, Service, service_fn};

type Answer = Result<Via, Error>;

fn leaf(answer: Answer) -> impl Service<Req, Response = Via, Error = Error, Future = Ready<Answer>> + Clone {
    service_fn(move |_: Req| ready(answer.clone()))
}

/// Drives one request as `await` would, over a service that is ready and answers at once.
fn once<S: Service<Req>>(service: &mut S, req: Req) -> Result<S::Response, S::Error> {
    let mut cx = Context::from_waker(Waker::noop());
    match service.poll_ready(&mut cx) {
        Poll::Ready(Ok(())) => {}
        Poll::Ready(Err(error)) => return Err(error),
        Poll::Pending => panic!("not ready"),
    }
    match pin!(service.call(req)).poll(&mut cx) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("does not answer at once"),
    }
}

/// The standard stack over two leaves, and the breaker's layer.
fn stack(
    primary: Answer,
    secondary: Answer,
) -> (impl Service<Req, Response = Via, Error: std::fmt::Debug> + Clone, BreakerLayer) {
    let breaker = BreakerLayer::new(Config::new().failure_rate(0.5, 100, 100));
    let timeout = TimeoutLayer::new(Duration::from_secs(2));
    let first = LogLayer::new("[NATS]").layer(breaker.layer(timeout.layer(leaf(primary))));
    let second = LogLayer::new("[DB]").layer(timeout.layer(leaf(secondary)));
    #[cfg(feature = "metrics")]
    let (first, second) = (
        eitherway_layers::MetricsLayer::new("nats").layer(first),
        eitherway_layers::MetricsLayer::new("db").layer(second),
    );
    let both = PathChangeLogLayer::new().layer(first.fallback_to(second));
    #[cfg(feature = "metrics")]
    let both = eitherway_layers::MetricsLayer::new("total").layer(both);
    (LogLayer::new("[TOTAL]").last().layer(both), breaker)
}

/// Allocations of a thousand requests, each on a clone of the stack, as with `oneshot`. The metric handles
/// and the switch's line come before.
fn allocations(stack: impl Service<Req, Response = Via, Error: std::fmt::Debug> + Clone, via: Via) -> u64 {
    for req in [read(0), write(0)] {
        assert_eq!(once(&mut stack.clone(), req).unwrap(), via);
    }
    measure(|| {
        for id in 0..500 {
            assert_eq!(once(&mut stack.clone(), read(id)).unwrap(), via);
            assert_eq!(once(&mut stack.clone(), write(id)).unwrap(), via);
        }
    })
    .count_total
}

#[tokio::test]
async fn a_success_through_the_whole_stack_allocates_nothing() {
    let (stack, _) = stack(Ok(Via(0)), Ok(Via(1)));
    assert_eq!(allocations(stack, Via(0)), 0);
}

#[tokio::test]
async fn a_call_on_leaked_layers_allocates_nothing() {
    let log = LogLayer::new("[NATS]").leak().layer(BreakerLayer::default().leak().layer(leaf(Ok(Via(0)))));
    assert_eq!(allocations(PathChangeLogLayer::new().leak().layer(log), Via(0)), 0);
}

#[tokio::test]
async fn an_open_circuit_and_the_reroute_allocate_nothing() {
    let (stack, breaker) = stack(Ok(Via(0)), Ok(Via(1)));
    breaker.handle().force_open();
    assert_eq!(allocations(stack, Via(1)), 0);
}

#[tokio::test]
async fn a_failing_primary_and_the_reroute_allocate_nothing() {
    let (stack, breaker) = stack(Err(Error::Of(Class::Backend)), Ok(Via(1)));
    breaker.handle().force_closed();
    assert_eq!(allocations(stack, Via(1)), 0);
}

#[tokio::test]
async fn a_circuit_of_its_own_for_each_key_allocates_nothing() {
    let layer = KeyedBreakerLayer::new([Config::new(), Config::new()], |req: &Req| usize::from(req.write));
    let stack = layer.layer(leaf(Ok(Via(0))));
    assert_eq!(allocations(stack.clone(), Via(0)), 0);
    layer.handle(1).force_open();
    assert_eq!(allocations(stack.fallback_to(leaf(Ok(Via(0)))), Via(0)), 0);
}

#[tokio::test]
async fn a_bulkhead_with_a_place_and_a_budget_that_pays_allocate_nothing() {
    let policy = LimitReroutes::new(ByClass::new(), Budget::new(1.0, 5000, 5000));
    let second = BulkheadLayer::new(1).wait(Duration::from_secs(1)).layer(leaf(Ok(Via(1))));
    assert_eq!(
        allocations(leaf(Err(Error::Of(Class::Backend))).fallback_with(second.clone(), policy), Via(1)),
        0
    );
    assert_eq!(allocations(second, Via(1)), 0);
}

/// Answers in the second poll, or never.
#[derive(Clone, Copy)]
struct Later(Option<Via>, bool);

impl Future for Later {
    type Output = Answer;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        match self.0.filter(|_| self.1) {
            Some(via) => Poll::Ready(Ok(via)),
            None => {
                if self.0.is_some() {
                    cx.waker().wake_by_ref();
                }
                self.1 = true;
                Poll::Pending
            }
        }
    }
}

#[test]
fn a_hedge_allocates_nothing_whether_the_primary_is_ready_pending_late_or_failing() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let budget = Budget::unlimited();
    for (first, via) in
        [(Later(Some(Via(0)), true), 0), (Later(Some(Via(0)), false), 0), (Later(None, false), 1)]
    {
        let primary = service_fn(move |_: Req| first);
        let pace = Pace::new(Hedging::new().after(Duration::from_millis(1)).budget(budget));
        let stack = primary.hedge_with(leaf(Ok(Via(1))), ByClass::new(), pace);
        let run = || {
            runtime.block_on(async {
                for id in 0..100 {
                    let call = pin!(stack.clone().call(read(id)));
                    assert_eq!(call.await.unwrap(), Via(via));
                }
            });
        };
        run(); // what the runtime itself allocates once
        assert_eq!(measure(run).count_total, 0, "{via}");
    }
    let fails = leaf(Err(Error::Of(Class::Backend)));
    assert_eq!(allocations(fails.hedge_to(leaf(Ok(Via(1)))), Via(1)), 0);
}

#[tokio::test]
async fn the_counter_counts() {
    let boxes = service_fn(|req: Req| Box::pin(ready(Ok::<_, Error>(Via(req.id as usize / 1000)))));
    assert_eq!(allocations(boxes, Via(0)), 1000);
}
