//! Watching and operating a circuit.

use super::*;

#[tokio::test(start_paused = true)]
async fn all_services_of_a_layer_and_all_clones_share_one_circuit() {
    let layer = BreakerLayer::new(config());
    let down = layer.layer(answers(DOWN));
    open(&down).await;
    rejected(layer.layer(answers(Ok(Via(0)))).oneshot(read(1)).await);
    assert_eq!(layer.clone().handle().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn the_health_signal_opens_and_closes_the_circuit_and_no_caller_pays_for_a_probe() {
    let puppet = Puppet::default();
    let breaker = Breaker::new(puppet.service(), config().consecutive_failures(1).closes_on_signal_only());
    let handle = breaker.handle();
    let mut call = task::spawn(breaker.clone().oneshot(read(1)));
    assert_pending!(call.poll());
    puppet.answer(0, DOWN);
    assert_eq!(assert_ready!(call.poll()), DOWN);
    assert_eq!(handle.state(), State::OpenUntilHealthy);
    advance(Duration::from_secs(3600)).await;
    assert_eq!(rejected(breaker.clone().oneshot(read(1)).await).retry_after(), None);
    handle.set_healthy(true);
    assert_eq!(handle.state(), State::Closed);
    handle.set_healthy(false);
    assert_eq!(handle.state(), State::OpenUntilHealthy);
    assert_eq!(puppet.calls(), 0);
}

#[tokio::test]
async fn a_watch_tells_every_change_once_and_misses_none() {
    let handle = BreakerLayer::new(config()).handle();
    let mut watch = handle.watch();
    let mut changed = task::spawn(watch.changed());
    assert_pending!(changed.poll());
    handle.set_healthy(false);
    assert!(changed.is_woken());
    assert_eq!(assert_ready!(changed.poll()), State::OpenUntilHealthy);
    drop(changed);
    // A change without a waiter is reported to the next one.
    handle.set_healthy(true);
    let mut changed = task::spawn(watch.changed());
    assert_eq!(assert_ready!(changed.poll()), State::Closed);
    drop(changed);
    assert_pending!(task::spawn(watch.changed()).poll());
    handle.set_healthy(true); // no change
    assert_pending!(task::spawn(watch.changed()).poll());
}
