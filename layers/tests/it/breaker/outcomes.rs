//! Which outcomes count, and which come too late to count.

use super::*;

#[tokio::test(start_paused = true)]
async fn impatient_callers_do_not_open_the_circuit_for_all() {
    let early = SLOW - Duration::from_millis(1);
    let slow_only = Config::new().slow_calls_fail();
    for (config, patience) in [(config(), early), (Config::new(), SLOW * 100), (slow_only, SLOW * 100)] {
        let breaker = Breaker::new(service_fn(|_: Req| pending::<Answer>()), config);
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
    let breaker = Breaker::new(service_fn(|_: Req| pending::<Answer>()), config());
    let stack = eitherway_layers::Timeout::new(breaker.clone(), SLOW);
    for _ in 0..2 {
        assert!(matches!(stack.clone().oneshot(read(1)).await, Err(Error::Elapsed(_))));
    }
    assert_eq!(breaker.handle().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_slow_probe_that_is_dropped_opens_the_circuit_again() {
    let puppet = Puppet::default();
    let breaker = half_open(&puppet).await;
    let mut probe = task::spawn(breaker.clone().oneshot(read(1)));
    assert_pending!(probe.poll());
    advance(SLOW).await;
    drop(probe);
    assert_eq!(breaker.handle().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_from_before_a_change_of_state_changes_nothing() {
    let puppet = Puppet::default();
    let breaker = Breaker::new(puppet.service(), config().consecutive_failures(1));
    let mut late: Vec<_> = (0..3).map(|id| task::spawn(breaker.clone().oneshot(read(id)))).collect();
    for call in &mut late {
        assert_pending!(call.poll());
    }
    // One failure opens the circuit. A late success does not close it.
    puppet.answer(0, DOWN);
    assert_eq!(assert_ready!(late[0].poll()), DOWN);
    puppet.answer(0, Ok(Via(0)));
    assert_ready_ok!(late[1].poll());
    assert_eq!(breaker.handle().state(), State::Open);
    // After the reset, a late failure does not open the circuit.
    breaker.handle().reset();
    puppet.answer(0, DOWN);
    assert_eq!(assert_ready!(late[2].poll()), DOWN);
    assert_eq!(breaker.handle().state(), State::Closed);
}
