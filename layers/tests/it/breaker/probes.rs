//! How an open circuit detects that the service has recovered.

use super::*;

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
