//! Faults of other circuit breakers, reported in public, that this one does not have.

use super::*;

/// Takes a second for every answer.
fn takes_a_second() -> impl Service<Req, Response = Via, Error = Error, Future: Send> + Clone {
    chaos().delay(1.0, Duration::from_secs(1)).layer(answers(Ok(Via(0))))
}

#[tokio::test(start_paused = true)]
async fn probes_that_together_take_longer_than_a_lease_still_close_the_circuit() {
    // One at a time, as many as needed.
    let (passed, left) = (Arc::new(Semaphore::new(10)), Arc::new(Semaphore::new(1)));
    let (probes, running) = (Arc::clone(&passed), Arc::clone(&left));
    let service = service_fn(move |_: Req| {
        probes.try_acquire().expect("ten probes are enough").forget();
        let place = Arc::clone(&running).try_acquire_owned().expect("one probe at a time");
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(place);
            Answer::Ok(Via(0))
        }
    });
    let breaker = Breaker::new(service, config().probes(1, 10));
    breaker.handle().trip();
    advance(FIRST).await;
    let callers: Vec<_> = (0..4)
        .map(|id| {
            let breaker = breaker.clone();
            tokio::spawn(async move {
                while breaker.handle().state() != State::Closed {
                    let _: Answer = breaker.clone().oneshot(read(id)).await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(breaker.handle().state(), State::Closed);
    assert_eq!(passed.available_permits(), 0, "no probe in vain");
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_probe_begins_with_it_and_not_with_the_first() {
    let puppet = Puppet::default();
    let breaker = half_open_with(&puppet, config().probes(1, 4)).await;
    let moment = Duration::from_millis(1);
    for _ in 0..4 {
        let mut probe = task::spawn(breaker.clone().oneshot(read(1)));
        assert_pending!(probe.poll());
        advance(LEASE - moment).await;
        let beside = rejected(breaker.clone().oneshot(read(2)).await);
        assert_eq!(beside.retry_after(), Some(moment));
        puppet.answer(0, Ok(Via(0)));
        assert_ready_ok!(probe.poll());
    }
    assert_eq!(breaker.handle().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_keeps_its_own_place_only_while_others_come_back() {
    let puppet = Puppet::default();
    let breaker = half_open_with(&puppet, config().probes(2, 3)).await;
    let probe = || {
        let mut probe = task::spawn(breaker.clone().oneshot(read(1)));
        assert_pending!(probe.poll());
        probe
    };
    let _hangs = probe();
    for _ in 0..3 {
        let mut other = probe();
        advance(LEASE - Duration::from_millis(1)).await;
        rejected(breaker.clone().oneshot(read(2)).await);
        puppet.answer(1, Ok(Via(0)));
        assert_ready_ok!(other.poll());
    }
    assert_eq!(breaker.handle().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_back_off_doubles_up_to_its_cap_and_stays_there_however_often_the_circuit_opens() {
    let second = Duration::from_secs(1);
    for cap in [second * 3, Duration::from_secs(1 << 20), Duration::MAX] {
        let breaker = Breaker::new(answers(DOWN), config().back_off(second, cap));
        open(&breaker).await;
        let mut wait = second;
        for opening in 0..70 {
            let longest = wait.min(cap).min(second * u32::MAX);
            let seen = rejected(breaker.clone().oneshot(read(1)).await).retry_after();
            assert_eq!(seen, Some(longest), "opening {opening}");
            if opening > 32 && cap == Duration::MAX {
                break; // a century later
            }
            advance(longest).await;
            assert_eq!(breaker.clone().oneshot(read(1)).await, DOWN, "a probe");
            wait = wait.saturating_mul(2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn successes_before_a_probe_that_hung_still_count() {
    let puppet = Puppet::default();
    let breaker = half_open_with(&puppet, config().probes(1, 2)).await;
    let probe = || {
        let mut probe = task::spawn(breaker.clone().oneshot(read(1)));
        assert_pending!(probe.poll());
        probe
    };
    let mut first = probe();
    puppet.answer(0, Ok(Via(0)));
    assert_ready_ok!(first.poll());
    let _hangs = probe();
    advance(LEASE).await;
    let mut last = probe();
    puppet.answer(1, Ok(Via(0)));
    assert_ready_ok!(last.poll());
    assert_eq!(breaker.handle().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_that_was_decided_long_ago_is_decided_again_by_the_call() {
    let mut breaker = Breaker::new(answers(Ok(Via(0))), config());
    breaker.handle().trip();
    breaker.ready().await.unwrap();
    breaker.handle().reset();
    assert_eq!(breaker.call(read(1)).await, Ok(Via(0)), "closed since");

    breaker.handle().trip();
    breaker.ready().await.unwrap();
    advance(FIRST / 2).await;
    assert_eq!(rejected(breaker.call(read(1)).await).retry_after(), Some(FIRST / 2), "not what it was");
    breaker.ready().await.unwrap();
    advance(FIRST).await;
    assert_eq!(breaker.call(read(1)).await, Ok(Via(0)), "as a probe");
    assert_eq!(breaker.handle().state(), State::Closed);
}

#[tokio::test]
async fn a_rejection_that_is_decided_again_calls_only_a_service_that_is_ready() {
    let (inner, ledger) = Strict::counting(Ok(Via(0)));
    let mut breaker = Breaker::new(inner, config());
    breaker.handle().force_open();
    breaker.ready().await.unwrap();
    breaker.handle().reset();
    rejected(breaker.call(read(1)).await);
    assert_eq!((ledger.calls(), ledger.violations()), (0, 0));
    assert_eq!(breaker.ready().await.unwrap().call(read(2)).await, Ok(Via(0)));
}

#[tokio::test(start_paused = true)]
async fn no_back_off_and_no_jitter_is_too_large_or_no_number() {
    for jitter in [f64::NAN, f64::INFINITY, -1.0, 0.0, 1.0] {
        let forever = config().back_off(Duration::MAX, Duration::MAX).jitter(jitter);
        let breaker = Breaker::new(answers(DOWN), forever.clone());
        open(&breaker).await;
        rejected(breaker.oneshot(read(1)).await);
        let breaker = Breaker::new(answers(DOWN), config().jitter(jitter).seed(1));
        open(&breaker).await;
        let wait = rejected(breaker.oneshot(read(1)).await).retry_after().unwrap();
        assert!(wait <= FIRST, "{jitter}: {wait:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_an_hour_apart_do_not_add_up_where_that_is_asked_for() {
    let minute = Duration::from_secs(60);
    let breaker = Breaker::new(answers(DOWN), config().failures_within(minute));
    for _ in 0..20 {
        assert_eq!(breaker.clone().oneshot(read(1)).await, DOWN);
        advance(minute * 60).await;
    }
    assert_eq!(breaker.handle().state(), State::Closed);
    open(&breaker).await;
}

#[tokio::test(start_paused = true)]
async fn the_window_of_time_slides_over_consecutive_failures() {
    let breaker = Breaker::new(answers(DOWN), config().consecutive_failures(3).failures_within(SLOW));
    // Never a pause as long as the window, and never three failures in it.
    for _ in 0..20 {
        assert_eq!(breaker.clone().oneshot(read(1)).await, DOWN);
        advance(SLOW * 6 / 10).await;
    }
    assert_eq!(breaker.handle().state(), State::Closed);
    for _ in 0..2 {
        assert_eq!(breaker.clone().oneshot(read(1)).await, DOWN);
    }
    assert_eq!(breaker.handle().state(), State::Open, "the last one was 600 ms ago");
}

#[tokio::test(start_paused = true)]
async fn failures_older_than_the_window_of_time_do_not_count_for_the_rate() {
    let by_rate = config().no_consecutive_failures().failure_rate(0.5, 20, 10);
    for (config, state) in [(by_rate.clone(), State::Open), (by_rate.failures_within(SLOW), State::Closed)] {
        let puppet = Puppet::default();
        let breaker = Breaker::new(puppet.service(), config);
        let call = |answer: Answer| {
            let mut call = task::spawn(breaker.clone().oneshot(read(1)));
            assert_pending!(call.poll());
            puppet.answer(0, answer.clone());
            assert_eq!(assert_ready!(call.poll()), answer);
        };
        (0..9).for_each(|_| call(DOWN));
        advance(SLOW * 2).await;
        (0..8).for_each(|_| call(Ok(Via(0))));
        call(DOWN);
        assert_eq!(breaker.handle().state(), state, "nine failures are too old");
        if state == State::Closed {
            (0..8).for_each(|_| call(DOWN));
            assert_eq!(breaker.handle().state(), State::Closed, "nine calls, too few");
            call(DOWN);
            assert_eq!(breaker.handle().state(), State::Open);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_rule_of_consecutive_failures_can_be_switched_off() {
    let by_rate = config().no_consecutive_failures().failure_rate(0.5, 100, 50);
    let breaker = Breaker::new(answers(DOWN), by_rate);
    for sent in 0..50 {
        assert_eq!(breaker.handle().state(), State::Closed, "after {sent}");
        assert_eq!(breaker.clone().oneshot(read(1)).await, DOWN);
    }
    assert_eq!(breaker.handle().state(), State::Open);
}

#[tokio::test]
async fn a_panic_of_the_service_is_a_failure_and_a_panic_of_its_caller_is_not() {
    let panics = service_fn(async |_: Req| -> Answer { panic!("on purpose") });
    let breaker = Breaker::new(panics, config());
    for _ in 0..2 {
        assert_eq!(breaker.handle().state(), State::Closed);
        assert!(tokio::spawn(breaker.clone().oneshot(read(1))).await.unwrap_err().is_panic());
    }
    assert_eq!(breaker.handle().state(), State::Open);

    let panics_at_once = service_fn(|_: Req| -> std::future::Ready<Answer> { panic!("on purpose") });
    let breaker = Breaker::new(panics_at_once, config().consecutive_failures(1));
    assert!(tokio::spawn(breaker.clone().oneshot(read(1))).await.unwrap_err().is_panic());
    assert_eq!(breaker.handle().state(), State::Open);

    let breaker = Breaker::new(silent(), config().consecutive_failures(1));
    let mut caller = breaker.clone();
    let task = tokio::spawn(async move {
        let mut call = task::spawn(caller.call(read(1)));
        assert_pending!(call.poll());
        panic!("the caller's own")
    });
    assert!(task.await.unwrap_err().is_panic());
    assert_eq!(breaker.handle().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_is_not_ready_where_that_is_asked_for_and_wakes_those_who_wait() {
    fn now<T>(ready: std::task::Poll<Result<T, Error>>) -> T {
        let std::task::Poll::Ready(Ok(service)) = ready else { panic!("not ready") };
        service
    }
    let puppet = Puppet::default();
    let breaker = Breaker::new(puppet.service(), config().unready_when_open());
    let waits = || task::spawn(async { breaker.clone().ready_oneshot().await });
    breaker.handle().trip();
    let (mut first, mut second) = (waits(), waits());
    assert!(first.poll().is_pending());
    assert!(second.poll().is_pending());
    advance(FIRST - Duration::from_millis(1)).await;
    assert!(!first.is_woken());
    advance(Duration::from_millis(1)).await;
    assert!(first.is_woken() && second.is_woken());
    let probe = now(first.poll());
    assert!(second.poll().is_pending());
    drop(probe);
    assert!(second.is_woken(), "the place is free");
    let mut second = now(second.poll());
    let mut third = waits();
    assert!(third.poll().is_pending());
    let mut call = task::spawn(second.call(read(1)));
    assert_pending!(call.poll());
    puppet.answer(0, Ok(Via(0)));
    assert_ready_ok!(call.poll());
    assert!(third.is_woken(), "closed");
    assert!(third.poll().is_ready());

    breaker.handle().force_open();
    let mut fourth = waits();
    assert!(fourth.poll().is_pending());
    advance(Duration::from_secs(3600)).await;
    assert!(fourth.poll().is_pending());
    breaker.handle().reset();
    assert!(fourth.is_woken());
    assert!(fourth.poll().is_ready());
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_fails_does_not_attract_what_a_healthy_one_could_serve() {
    let circuit = || config().unready_when_open().back_off(Duration::from_secs(60), Duration::from_secs(60));
    let healthy = Breaker::new(takes_a_second(), circuit());
    let broken = Breaker::new(answers(DOWN), circuit());
    let mut failed = 0;
    for id in 0..800 {
        // As a balancer does: whichever is ready and has the fewest in flight; the broken one answers at once.
        let mut broken = broken.clone();
        let is_ready = task::spawn(async { broken.ready().await.map(drop) }).poll().is_ready();
        let result =
            if is_ready { broken.call(read(id)).await } else { healthy.clone().oneshot(read(id)).await };
        failed += usize::from(result.is_err());
    }
    // Each takes a second: those that opened the circuit, and one probe a minute.
    assert_eq!(failed, 2 + 800 / 60);
}
