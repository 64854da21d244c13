//! How an open circuit detects that the service has recovered.

use super::*;

#[tokio::test(start_paused = true)]
async fn after_the_back_off_one_probe_passes_and_its_success_closes_the_circuit() {
    let puppet = Puppet::default();
    let breaker = half_open(&puppet).await;
    let mut probe = task::spawn(breaker.clone().oneshot(read(1)));
    assert_pending!(probe.poll());
    assert_eq!(breaker.handle().state(), State::HalfOpen);
    rejected(breaker.clone().oneshot(read(2)).await);
    assert_eq!(puppet.calls(), 1);
    puppet.answer(0, Ok(Via(0)));
    assert_ready_ok!(probe.poll());
    assert_eq!(breaker.handle().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_was_never_sent_says_nothing_where_that_is_asked_for() {
    let unsent = Err(Error::Of(Class::NotSent));
    let puppet = Puppet::default();
    let breaker = half_open_with(&puppet, config().unsent_is_neutral()).await;
    for _ in 0..3 {
        let mut probe = task::spawn(breaker.clone().oneshot(read(1)));
        assert_pending!(probe.poll());
        puppet.answer(0, unsent.clone());
        assert_eq!(assert_ready!(probe.poll()), unsent);
        assert_eq!(breaker.handle().state(), State::HalfOpen, "and makes room for another one");
    }
    let closed = Breaker::new(answers(unsent.clone()), config().consecutive_failures(1).unsent_is_neutral());
    assert_eq!(closed.clone().oneshot(read(1)).await, unsent);
    assert_eq!(closed.handle().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_opens_the_circuit_for_twice_as_long_up_to_the_cap() {
    let breaker = Breaker::new(answers(DOWN), config());
    open(&breaker).await;
    let mut wait = FIRST;
    for _ in 0..4 {
        assert_eq!(rejected(breaker.clone().oneshot(read(1)).await).retry_after(), Some(wait));
        advance(wait).await;
        assert_eq!(breaker.clone().oneshot(read(1)).await, DOWN);
        wait = (wait * 2).min(CAP);
    }
    breaker.handle().reset();
    open(&breaker).await;
    assert_eq!(
        rejected(breaker.oneshot(read(1)).await).retry_after(),
        Some(FIRST),
        "begins anew once closed"
    );
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_the_back_off_differently_each_time_and_never_lengthens_it() {
    let mut waits = vec![];
    for seed in 0..50 {
        let breaker = Breaker::new(answers(DOWN), config().jitter(0.5).seed(seed));
        open(&breaker).await;
        waits.push(rejected(breaker.oneshot(read(1)).await).retry_after().unwrap());
    }
    assert!(waits.iter().all(|wait| (FIRST / 2..=FIRST).contains(wait)), "{waits:?}");
    waits.sort();
    waits.dedup();
    assert!(waits.len() > 40, "{waits:?}");
    assert!(waits[0] < FIRST * 6 / 10 && waits[waits.len() - 1] > FIRST * 9 / 10, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_probes_are_out_than_allowed_and_that_many_successes_close_the_circuit() {
    let puppet = Puppet::default();
    let breaker = half_open_with(&puppet, config().probes(2, 3)).await;
    let begin = || {
        let mut probe = task::spawn(breaker.clone().oneshot(read(1)));
        assert_pending!(probe.poll());
        probe
    };
    let (mut first, mut second) = (begin(), begin());
    rejected(breaker.clone().oneshot(read(2)).await);
    puppet.answer(0, Ok(Via(0)));
    assert_ready_ok!(first.poll());
    let mut third = begin();
    rejected(breaker.clone().oneshot(read(2)).await);
    for probe in [&mut second, &mut third] {
        assert_eq!(breaker.handle().state(), State::HalfOpen);
        puppet.answer(0, Ok(Via(0)));
        assert_ready_ok!(probe.poll());
    }
    assert_eq!(breaker.handle().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_makes_room_for_another_whether_it_was_called_or_only_made_ready() {
    let puppet = Puppet::default();
    let breaker = half_open(&puppet).await;
    let mut called = task::spawn(breaker.clone().oneshot(read(1)));
    assert_pending!(called.poll());
    rejected(breaker.clone().oneshot(read(2)).await);
    drop(called);
    assert_eq!(breaker.handle().state(), State::HalfOpen, "neutral");

    let mut only_ready = breaker.clone();
    only_ready.ready().await.unwrap();
    rejected(breaker.clone().oneshot(read(3)).await);
    drop(only_ready);
    let mut probe = task::spawn(breaker.clone().oneshot(read(4)));
    assert_pending!(probe.poll());
}

#[tokio::test(start_paused = true)]
async fn a_clone_of_a_service_that_holds_a_probe_does_not_hold_one() {
    let puppet = Puppet::default();
    let breaker = half_open(&puppet).await;
    let mut holder = breaker.clone();
    holder.ready().await.unwrap();
    rejected(holder.clone().oneshot(read(1)).await);
    assert_pending!(task::spawn(holder.call(read(2))).poll());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_never_comes_back_loses_its_place_and_its_outcome() {
    let puppet = Puppet::default();
    let breaker = half_open(&puppet).await;
    let mut lost = task::spawn(breaker.clone().oneshot(read(1)));
    assert_pending!(lost.poll());
    advance(LEASE - Duration::from_millis(1)).await;
    assert_eq!(
        rejected(breaker.clone().oneshot(read(2)).await).retry_after(),
        Some(Duration::from_millis(1))
    );
    advance(Duration::from_millis(1)).await;
    let mut probe = task::spawn(breaker.clone().oneshot(read(3)));
    assert_pending!(probe.poll());
    puppet.answer(0, DOWN);
    assert_eq!(assert_ready!(lost.poll()), DOWN);
    assert_eq!(breaker.handle().state(), State::HalfOpen, "its outcome came too late");
    puppet.answer(0, Ok(Via(0)));
    assert_ready_ok!(probe.poll());
    assert_eq!(breaker.handle().state(), State::Closed);
}
