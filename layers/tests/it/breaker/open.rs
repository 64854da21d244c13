//! Promises of an open circuit.

use super::*;

#[tokio::test(start_paused = true)]
async fn while_open_calls_are_rejected_at_once_and_the_inner_service_is_not_touched() {
    let (inner, ledger) = Strict::counting(DOWN);
    let breaker = Breaker::new(inner, config());
    open(&breaker).await;
    let before = (ledger.polls(), ledger.calls());
    let mut service = breaker.clone();
    let mut readiness = task::spawn(service.ready());
    let ready = assert_ready_ok!(readiness.poll());
    let mut call = task::spawn(ready.call(read(1)));
    rejected(assert_ready!(call.poll()));
    assert_eq!((ledger.polls(), ledger.calls()), before);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_says_when_the_circuit_tries_again() {
    let breaker = Breaker::new(answers(DOWN), config());
    open(&breaker).await;
    advance(Duration::from_millis(30)).await;
    let rejected = rejected(breaker.clone().oneshot(read(1)).await);
    assert_eq!(rejected.retry_after(), Some(Duration::from_millis(70)));
}

#[tokio::test(start_paused = true)]
async fn a_service_made_ready_before_the_circuit_opened_rejects_its_call() {
    let breaker = Breaker::new(answers(DOWN), config());
    let mut early = breaker.clone();
    early.ready().await.unwrap();
    open(&breaker).await;
    rejected(early.call(read(1)).await);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_told_no_is_not_called_unready_when_the_circuit_closes_before_its_call() {
    let (inner, ledger) = Strict::counting(Ok(Via(0)));
    let mut breaker = Breaker::new(inner, config());
    breaker.handle().force_open();
    breaker.ready().await.unwrap();
    breaker.handle().reset();
    rejected(breaker.call(read(1)).await);
    assert_eq!(ledger.calls(), 0);
}

#[tokio::test]
async fn a_caller_that_waits_for_the_inner_service_is_released_when_the_circuit_opens() {
    let (mock, mut handle) = mock::pair::<Req, Via>();
    handle.allow(0);
    let breaker = Breaker::new(mock.map_err(Error::from), config());
    let mut call = task::spawn(breaker.clone().oneshot(read(1)));
    assert_pending!(call.poll());
    breaker.handle().set_healthy(false);
    assert!(call.is_woken());
    assert_eq!(rejected(assert_ready!(call.poll())).retry_after(), None);
}
