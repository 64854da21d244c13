//! Which outcomes count, and which come too late to count.

use super::*;

#[tokio::test(start_paused = true)]
async fn impatient_callers_do_not_open_the_circuit_for_all() {
    let early = SLOW - Duration::from_millis(1);
    let slow_only = Config::new().slow_calls_fail();
    for (config, patience) in [(config(), early), (Config::new(), SLOW * 100), (slow_only, SLOW * 100)] {
        let breaker = Breaker::new(silent(), config);
        for _ in 0..100 {
            let mut call = task::spawn(breaker.clone().oneshot(read(1)));
            assert_pending!(call.poll());
            advance(patience).await;
            drop(call);
        }
        assert_eq!(breaker.handle().state(), State::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_outside_the_breaker_opens_it_where_that_is_asked_for() {
    let breaker = Breaker::new(silent(), config());
    let stack = eitherway_layers::Timeout::new(breaker.clone(), SLOW);
    for _ in 0..2 {
        assert!(matches!(stack.clone().oneshot(read(1)).await, Err(Error::Elapsed(_))));
    }
    assert_eq!(breaker.handle().state(), State::Open);
}
