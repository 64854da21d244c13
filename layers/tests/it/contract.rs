//! The contract of every layer with its inner service and with its caller.

use crate::support::{Error, Req, Via, chaos, read, silent, strict::Strict};
use eitherway_layers::{
    BreakerLayer, BulkheadLayer, Class, FallbackError, FallbackExt, HedgeExt, KeyedBreakerLayer, LogLayer,
    PathChangeLogLayer, StaleLayer, TimeoutLayer,
    breaker::Config,
    fallback::{ByClass, Unready},
    hedge::{Budget, Config as Hedging, Pace},
};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    task::{Context, Poll, Wake},
    time::Duration,
};
use tower::{Layer, Service, ServiceExt};

/// Records whether it was woken.
#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

/// Exercises every freedom that the contract gives a caller. Returns the violations visible to the caller;
/// violations towards the inner service are in the ledger of the [`Strict`] inside.
fn drive<S>(mut service: S) -> Vec<&'static str>
where
    S: Service<Req, Response = Via> + Clone,
    S::Error: std::fmt::Debug,
{
    let mut wrongs = Vec::new();
    let bell = Arc::new(Bell::default());
    let waker = Arc::clone(&bell).into();
    let mut cx = Context::from_waker(&waker);

    for round in 0..4 {
        // Becomes ready, and wakes its task.
        loop {
            bell.0.store(false, SeqCst);
            match service.poll_ready(&mut cx) {
                Poll::Ready(ready) => break ready.unwrap(),
                Poll::Pending if bell.0.load(SeqCst) => {}
                Poll::Pending => {
                    wrongs.push("pending without a waker");
                    return wrongs;
                }
            }
        }
        // Stays ready.
        if service.poll_ready(&mut cx).is_pending() {
            wrongs.push("ready, and then not");
        }
        // A clone of a ready service is a separate service, and must be polled.
        let clone = service.clone();
        let call = service.call(read(round));
        let other = finish(clone.oneshot(read(round)), &mut cx);
        if other.is_none() {
            wrongs.push("clone never answers");
        }
        // The service is dropped while its call is in flight.
        if round == 3 {
            drop(service);
            if finish(call, &mut cx).is_none() {
                wrongs.push("call never answers");
            }
            return wrongs;
        }
        finish(call, &mut cx);
    }
    wrongs
}

fn finish<F: Future>(future: F, cx: &mut Context<'_>) -> Option<F::Output> {
    let mut future = pin!(future);
    (0..100).find_map(|_| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    })
}

/// Checks one layer, around a service that succeeds and around one that fails.
fn keeps_the_contract<L>(layer: impl Fn() -> L)
where
    L: Layer<Strict>,
    L::Service: Service<Req, Response = Via> + Clone,
    <L::Service as Service<Req>>::Error: std::fmt::Debug,
{
    for answer in [Ok(Via(0)), Err(Error::Of(Class::Backend)), Err(Error::Of(Class::Rejected))] {
        let (inner, ledger) = Strict::counting(answer.clone());
        assert_eq!(drive(layer().layer(inner)), Vec::<&str>::new());
        assert_eq!(ledger.violations(), 0);
        assert!(ledger.calls() > 0);
        drive(layer().layer(Strict::panicking(answer)));
    }
}

#[tokio::test]
async fn timeout_keeps_the_contract() {
    keeps_the_contract(|| TimeoutLayer::new(Duration::from_secs(1)));
    keeps_the_contract(TimeoutLayer::disabled);
}

#[tokio::test]
async fn bulkhead_keeps_the_contract_with_places_and_without() {
    keeps_the_contract(|| BulkheadLayer::new(2));
    keeps_the_contract(|| BulkheadLayer::new(2).wait(Duration::from_secs(1)));
    let (inner, ledger) = Strict::counting(Ok(Via(0)));
    assert_eq!(drive(BulkheadLayer::new(0).layer(inner)), Vec::<&str>::new());
    assert_eq!((ledger.calls(), ledger.violations()), (0, 0));
}

#[tokio::test]
async fn stale_keeps_the_contract() {
    keeps_the_contract(|| StaleLayer::new(crate::stale::All));
}

#[tokio::test]
async fn chaos_keeps_the_contract() {
    keeps_the_contract(chaos);
    keeps_the_contract(|| chaos().fail(0.4).lose(0.3));
}

#[tokio::test]
async fn log_keeps_the_contract() {
    let (_events, _guard) = crate::support::events::Events::catch(tracing::Level::TRACE);
    keeps_the_contract(|| LogLayer::new("[NATS]"));
    keeps_the_contract(|| LogLayer::new("[TOTAL]").last());
}

#[tokio::test]
async fn switch_keeps_the_contract() {
    keeps_the_contract(PathChangeLogLayer::new);
}

#[cfg(feature = "metrics")]
#[tokio::test]
async fn metrics_keep_the_contract() {
    keeps_the_contract(|| eitherway_layers::MetricsLayer::new("nats"));
    keeps_the_contract(eitherway_layers::MetricsLayer::disabled);
}

#[tokio::test]
async fn breaker_keeps_the_contract_while_closed_opening_and_open() {
    keeps_the_contract(BreakerLayer::default);
    keeps_the_contract(|| BreakerLayer::new(Config::new().consecutive_failures(1)));
    keeps_the_contract(|| {
        let layer =
            BreakerLayer::new(Config::new().back_off(Duration::ZERO, Duration::ZERO).consecutive_failures(1));
        layer.handle().watch(); // a watch that is dropped at once
        layer
    });
}

#[tokio::test]
async fn keyed_breaker_keeps_the_contract_while_closed_opening_and_open() {
    let key = |req: &Req| usize::from(req.id.is_multiple_of(2));
    keeps_the_contract(|| KeyedBreakerLayer::new([Config::new(), Config::new()], key));
    keeps_the_contract(|| {
        KeyedBreakerLayer::new([Config::new(), Config::new().consecutive_failures(1)], key)
    });
    keeps_the_contract(|| {
        let layer = KeyedBreakerLayer::new([Config::new(), Config::new()], key);
        layer.handle(1).force_open();
        layer
    });
}

#[tokio::test]
async fn fallback_keeps_the_contract_towards_both_services() {
    for unready in [Unready::Wait, Unready::Reroute, Unready::After(Duration::from_millis(100))] {
        for answer in [Ok(Via(0)), Err(Error::Of(Class::Backend)), Err(Error::Of(Class::Rejected))] {
            let (primary, first) = Strict::counting(answer);
            let (secondary, second) = Strict::counting(Err(Error::Of(Class::Unknown)));
            let wrongs = drive(primary.fallback_with(secondary, ByClass::new().unready(unready)));
            assert_eq!(wrongs, Vec::<&str>::new(), "{unready:?}");
            assert_eq!((first.violations(), second.violations()), (0, 0));
            assert!(first.calls() + second.calls() > 0);
        }
    }
}

#[tokio::test]
async fn hedge_keeps_the_contract_towards_both_services() {
    let at_once = Hedging::new().after(Duration::ZERO).budget(Budget::unlimited());
    for config in [Hedging::new(), at_once] {
        for answer in [Ok(Via(0)), Err(Error::Of(Class::Backend)), Err(Error::Of(Class::Rejected))] {
            let (primary, first) = Strict::counting(answer);
            let (secondary, second) = Strict::counting(Err(Error::Of(Class::Unknown)));
            let wrongs = drive(primary.hedge_with(secondary, ByClass::new(), Pace::new(config)));
            assert_eq!(wrongs, Vec::<&str>::new());
            assert_eq!((first.violations(), second.violations()), (0, 0));
            assert!(first.calls() > 0);
        }
    }
}

#[tokio::test]
async fn a_hedge_drives_the_readiness_of_a_secondary_of_its_own() {
    let (secondary, ledger) = Strict::counting(Ok(Via(1)));
    let at_once = Hedging::new().after(Duration::ZERO).budget(Budget::unlimited());
    let stack = silent().hedge_with(secondary, ByClass::new(), Pace::new(at_once));
    for id in 0..3 {
        assert_eq!(stack.clone().oneshot(read(id)).await, Ok::<_, FallbackError<Error, Error>>(Via(1)));
    }
    assert_eq!((ledger.clones(), ledger.calls(), ledger.violations()), (3, 3, 0));
}

#[tokio::test]
async fn the_whole_stack_keeps_the_contract() {
    keeps_the_contract(|| {
        let secondary = Strict::panicking(Err(Error::Of(Class::Backend)));
        tower::layer::layer_fn(move |primary| {
            let primary = TimeoutLayer::new(Duration::from_secs(1)).layer(primary);
            let primary = BreakerLayer::new(Config::new().consecutive_failures(1)).layer(primary);
            let primary = LogLayer::new("[NATS]").layer(primary);
            let stack = primary.fallback_to(LogLayer::new("[DB]").layer(secondary.clone()));
            LogLayer::new("[TOTAL]").last().layer(PathChangeLogLayer::new().layer(stack))
        })
    });
}

/// Tests of the suite itself: layers with typical mistakes.
mod wrong {
    use super::*;

    /// Calls a clone instead of the instance that is ready.
    #[derive(Clone)]
    struct CallsClone<S>(S);

    impl<S: Service<Req> + Clone> Service<Req> for CallsClone<S> {
        type Response = S::Response;
        type Error = S::Error;
        type Future = S::Future;
        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
            self.0.poll_ready(cx)
        }
        fn call(&mut self, req: Req) -> S::Future {
            self.0.clone().call(req)
        }
    }

    /// Returns ready without polling the inner service.
    #[derive(Clone)]
    struct NeverAsks<S>(S);

    impl<S: Service<Req>> Service<Req> for NeverAsks<S> {
        type Response = S::Response;
        type Error = S::Error;
        type Future = S::Future;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, req: Req) -> S::Future {
            self.0.call(req)
        }
    }

    /// Copies its readiness into its clones.
    #[derive(Clone)]
    struct CopiesReadiness<S> {
        inner: S,
        ready: bool,
    }

    impl<S: Service<Req>> Service<Req> for CopiesReadiness<S> {
        type Response = S::Response;
        type Error = S::Error;
        type Future = S::Future;
        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
            if !self.ready {
                std::task::ready!(self.inner.poll_ready(cx))?;
                self.ready = true;
            }
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, req: Req) -> S::Future {
            self.ready = false;
            self.inner.call(req)
        }
    }

    /// Polls the inner service with a no-op waker.
    #[derive(Clone)]
    struct LosesWaker<S>(S);

    impl<S: Service<Req>> Service<Req> for LosesWaker<S> {
        type Response = S::Response;
        type Error = S::Error;
        type Future = S::Future;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
            self.0.poll_ready(&mut Context::from_waker(std::task::Waker::noop()))
        }
        fn call(&mut self, req: Req) -> S::Future {
            self.0.call(req)
        }
    }

    /// The violations of a wrong layer, towards the inner service and towards the caller.
    fn caught<S>(wrong: impl FnOnce(Strict) -> S) -> (usize, Vec<&'static str>)
    where
        S: Service<Req, Response = Via> + Clone,
        S::Error: std::fmt::Debug,
    {
        let (inner, ledger) = Strict::counting(Ok(Via(0)));
        let wrongs = drive(wrong(inner));
        (ledger.violations(), wrongs)
    }

    #[test]
    fn a_layer_that_calls_a_clone_is_caught() {
        assert!(caught(CallsClone).0 > 0);
    }

    #[test]
    fn a_layer_that_never_asks_is_caught() {
        assert!(caught(NeverAsks).0 > 0);
    }

    #[test]
    fn a_layer_that_copies_readiness_is_caught() {
        assert!(caught(|inner| CopiesReadiness { inner, ready: false }).0 > 0);
    }

    #[test]
    fn a_layer_that_loses_the_waker_is_caught() {
        assert_eq!(caught(LosesWaker).1, ["pending without a waker"]);
    }

    #[test]
    #[should_panic(expected = "called without being ready")]
    fn the_panicking_double_panics() {
        drive(NeverAsks(Strict::panicking(Ok(Via(0)))));
    }
}

/// A primary whose readiness is reserved by one instance: dropping the stack releases the reservation.
#[tokio::test]
async fn a_reservation_inside_a_stack_comes_back_when_the_stack_is_dropped() {
    let (inner, _) = Strict::counting(Ok(Via(0)));
    let limited = tower::limit::ConcurrencyLimitLayer::new(1).layer(inner);
    let stack = BreakerLayer::default().layer(TimeoutLayer::new(Duration::from_secs(1)).layer(limited));
    let mut first = stack.clone();
    poll_fn(|cx| Service::<Req>::poll_ready(&mut first, cx)).await.unwrap();
    let mut second: Pin<Box<_>> = Box::pin(stack.oneshot(read(1)));
    assert!(poll_fn(|cx| Poll::Ready(second.as_mut().poll(cx).is_pending())).await);
    drop(first);
    assert_eq!(second.await, Ok(Via(0)));
}
