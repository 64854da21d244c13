//! Promises of several circuits around one service.

use super::*;
use crate::support::write;
use eitherway_layers::KeyedBreakerLayer;
use tower::limit::ConcurrencyLimitLayer;

fn of_reads_and_writes() -> KeyedBreakerLayer<impl Fn(&Req) -> usize + Clone> {
    KeyedBreakerLayer::new([config(), config()], |req: &Req| usize::from(req.write))
}

#[tokio::test(start_paused = true)]
async fn a_key_that_fails_opens_its_own_circuit_and_no_other() {
    let layer = of_reads_and_writes();
    let service = layer.layer(service_fn(|req: Req| ready(if req.write { DOWN } else { Ok(Via(0)) })));
    for _ in 0..2 {
        assert_eq!(service.clone().oneshot(write(0)).await, DOWN);
    }
    rejected(service.clone().oneshot(write(1)).await);
    assert_eq!(service.oneshot(read(1)).await, Ok(Via(0)));
    assert_eq!((layer.handle(0).state(), layer.handle(1).state()), (State::Closed, State::Open));
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_of_a_key_lets_one_probe_through_after_its_back_off() {
    let puppet = Puppet::default();
    let layer = of_reads_and_writes();
    let service = layer.layer(puppet.service());
    for _ in 0..2 {
        let mut call = task::spawn(service.clone().oneshot(write(0)));
        assert_pending!(call.poll());
        puppet.answer(0, DOWN);
        assert_eq!(assert_ready!(call.poll()), DOWN);
    }
    advance(FIRST).await;
    let mut probe = task::spawn(service.clone().oneshot(write(1)));
    assert_pending!(probe.poll());
    rejected(service.oneshot(write(2)).await);
    puppet.answer(0, Ok(Via(0)));
    assert_eq!(assert_ready!(probe.poll()), Ok(Via(0)));
    assert_eq!(layer.handle(1).state(), State::Closed);
}

#[tokio::test]
async fn what_was_reserved_for_a_call_that_was_rejected_serves_the_next_one() {
    let layer = of_reads_and_writes();
    layer.handle(1).force_open();
    let mut service = layer.layer(ConcurrencyLimitLayer::new(1).layer(answers(Ok(Via(0)))));
    for id in 0..3 {
        rejected(service.ready().await.unwrap().call(write(id)).await);
        assert_eq!(service.ready().await.unwrap().call(read(id)).await, Ok(Via(0)));
    }
}

#[tokio::test]
async fn an_index_beyond_the_circuits_counts_as_the_last() {
    let layer = KeyedBreakerLayer::new([config(), config()], |_: &Req| 9);
    layer.handle(7).force_open();
    rejected(layer.layer(answers(Ok(Via(0)))).oneshot(read(1)).await);
    assert_eq!(layer.handle(1).state(), State::ForcedOpen);
}
