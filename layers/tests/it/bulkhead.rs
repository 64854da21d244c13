//! Promises of `Bulkhead`.

use crate::support::{Error, Req, Via, read, silent, strict::Strict};
use eitherway_layers::{BulkheadLayer, Class, FallbackError, FallbackExt, bulkhead::Full};
use proptest::prelude::*;
use std::{collections::VecDeque, future::ready, time::Duration};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_eq, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

type Answer = Result<Via, Error>;

const WAIT: Duration = Duration::from_millis(50);
const MS: Duration = Duration::from_millis(1);

const fn full(limit: usize, waited: Duration) -> Answer {
    Err(Error::Full(Full::new(limit, waited)))
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_place_is_refused_and_the_service_not_called() {
    let layer = BulkheadLayer::new(2);
    let mut calls: Vec<_> = (0..2).map(|id| task::spawn(layer.layer(silent()).oneshot(read(id)))).collect();
    calls.iter_mut().for_each(|call| assert_pending!(call.poll()));
    let (inner, ledger) = Strict::counting(Ok(Via(0)));
    assert_eq!(layer.layer(inner.clone()).oneshot(read(3)).await, full(2, Duration::ZERO));
    assert_eq!((ledger.calls(), ledger.polls(), layer.free()), (0, 0, 0));
    calls.pop();
    assert_eq!(layer.layer(inner).oneshot(read(3)).await, Ok(Via(0)), "a dropped call gives back its place");
    assert_eq!(layer.free(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_place_no_longer_than_the_limit_and_is_woken_for_it() {
    let layer = BulkheadLayer::new(1).wait(WAIT);
    let mut first = task::spawn(layer.layer(silent()).oneshot(read(1)));
    assert_pending!(first.poll());
    let works = || layer.layer(service_fn(|_: Req| ready(Answer::Ok(Via(0))))).oneshot(read(2));
    let (mut second, mut third) = (task::spawn(works()), task::spawn(works()));
    assert_pending!(second.poll());
    advance(WAIT - MS).await;
    assert_pending!(second.poll());
    assert_pending!(third.poll());
    advance(MS).await;
    assert!(second.is_woken() && !third.is_woken());
    assert_ready_eq!(second.poll(), full(1, WAIT));
    drop(first);
    assert!(third.is_woken(), "a place is free");
    assert_ready_eq!(third.poll(), Ok(Via(0)));
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_when_its_call_has_ended_and_when_a_ready_instance_is_dropped() {
    let layer = BulkheadLayer::new(1);
    let mut service = layer.layer(service_fn(|_: Req| ready(Answer::Ok(Via(0)))));
    let mut call = task::spawn(service.ready().await.unwrap().call(read(1)));
    assert_eq!(layer.free(), 0);
    assert_ready_eq!(call.poll(), Ok(Via(0)));
    assert_eq!(layer.free(), 1, "the future still lives");
    service.ready().await.unwrap();
    assert_eq!(layer.free(), 0);
    drop(service);
    assert_eq!(layer.free(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_has_aged_is_decided_again_by_the_call() {
    let layer = BulkheadLayer::new(1);
    let mut first = task::spawn(layer.layer(silent()).oneshot(read(1)));
    assert_pending!(first.poll());
    let (mut service, mut handle) = mock::spawn_with(|mock| layer.layer(mock.map_err(Error::from)));
    handle.allow(0);
    assert!(service.poll_ready().is_ready());
    drop(first);
    let refused = task::spawn(service.call(read(2))).await;
    assert_eq!(refused, full(1, Duration::ZERO), "the inner service is not ready");
    assert_eq!(layer.free(), 1);

    let mut first = task::spawn(layer.layer(silent()).oneshot(read(1)));
    assert_pending!(first.poll());
    assert!(service.poll_ready().is_ready());
    drop(first);
    handle.allow(1);
    let _call = task::spawn(service.call(read(3)));
    assert_eq!(layer.free(), 0, "and now it is");
}

#[tokio::test(start_paused = true)]
async fn around_a_secondary_it_refuses_what_an_outage_brings_too_much() {
    let secondary = BulkheadLayer::new(2).wait(WAIT).layer(silent());
    let stack = service_fn(|_: Req| ready(Answer::Err(Error::Of(Class::Backend)))).fallback_to(secondary);
    let mut calls: Vec<_> = (0..5).map(|id| task::spawn(stack.clone().oneshot(read(id)))).collect();
    calls.iter_mut().for_each(|call| assert_pending!(call.poll()));
    advance(WAIT).await;
    let both =
        FallbackError::Both { primary: Error::Of(Class::Backend), fallback: Error::Full(Full::new(2, WAIT)) };
    for (id, call) in calls.iter_mut().enumerate() {
        if id < 2 {
            assert_pending!(call.poll());
        } else {
            assert_ready_eq!(call.poll(), Err(both.clone()));
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send,
    /// The oldest call in flight ends, or is dropped.
    End(bool),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Send),
        2 => any::<bool>().prop_map(Step::End),
        1 => (1..40_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn places_are_given_in_order_never_too_many_and_never_lost(
        steps in prop::collection::vec(step(), 0..60), limit in 1..4_usize, wait in 0..3_u64,
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let wait = wait * 20;
            let layer = BulkheadLayer::new(limit).wait(Duration::from_millis(wait));
            let (mut now, mut running, mut waiting) = (0, VecDeque::new(), VecDeque::new());
            for step in steps {
                match step {
                    Step::Send => {
                        let (end, ended) = tokio::sync::oneshot::channel::<()>();
                        let slot = std::sync::Mutex::new(Some(ended));
                        let inner = service_fn(move |_: Req| {
                            let ended = slot.lock().unwrap().take();
                            async move {
                                ended.unwrap().await.ok();
                                Answer::Ok(Via(0))
                            }
                        });
                        let mut call = task::spawn(Box::pin(layer.layer(inner).oneshot(read(1))));
                        let polled = call.poll();
                        if running.len() < limit {
                            prop_assert!(polled.is_pending());
                            running.push_back((call, end));
                        } else if wait == 0 {
                            prop_assert_eq!(polled, std::task::Poll::Ready(full(limit, Duration::ZERO)));
                        } else {
                            prop_assert!(polled.is_pending());
                            waiting.push_back((now, call, end));
                        }
                    }
                    Step::End(answers) => {
                        if let Some((mut call, end)) = running.pop_front() {
                            if answers {
                                end.send(()).unwrap();
                                prop_assert_eq!(call.poll(), std::task::Poll::Ready(Ok(Via(0))));
                            }
                            drop(call);
                        }
                        if let Some((_, mut call, end)) = waiting.pop_front() {
                            prop_assert!(call.is_woken());
                            prop_assert!(call.poll().is_pending());
                            running.push_back((call, end));
                        }
                    }
                    Step::Pass(ms) => {
                        now += ms;
                        advance(Duration::from_millis(ms)).await;
                        while let Some((_, mut call, _)) = waiting.pop_front_if(|(since, ..)| *since + wait <= now) {
                            prop_assert_eq!(call.poll(), std::task::Poll::Ready(full(limit, Duration::from_millis(wait))));
                        }
                    }
                }
                prop_assert_eq!(layer.free(), limit - running.len());
            }
            Ok(())
        })?;
    }
}
