//! When a primary is late, and what hedges may cost.

use super::*;

/// Sends one request to a primary that takes this long; the secondary never answers.
async fn takes(pace: &Pace, time: Duration) {
    let primary = After::new(time, Ok(Via(0)));
    assert_eq!(hedged(primary.service(), silent(), pace).oneshot(read(1)).await, Ok(Via(0)));
}

#[tokio::test(start_paused = true)]
async fn the_delay_follows_the_slow_answers_of_the_primary_within_its_bounds() {
    let pace = Pace::new(Config::new().adaptive(2.0, 5 * MS, 200 * MS));
    assert_eq!(pace.delay(), 5 * MS, "nothing is known");
    // One in ten takes 20 ms: well above one in a hundred.
    for turn in 0..2000 {
        takes(&pace, if turn % 10 == 0 { 20 * MS } else { 2 * MS }).await;
    }
    assert!((35 * MS..50 * MS).contains(&pace.delay()), "{:?}", pace.delay());
    for _ in 0..5000 {
        takes(&pace, 3 * MS).await;
    }
    assert!((5 * MS..7 * MS).contains(&pace.delay()), "{:?}", pace.delay());
    for _ in 0..500 {
        takes(&pace, 500 * MS).await;
    }
    assert_eq!(pace.delay(), 200 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_never_waits_is_not_measured() {
    let pace = Pace::new(Config::new().adaptive(1.0, Duration::ZERO, 200 * MS));
    let before = pace.delay();
    for _ in 0..100 {
        takes(&pace, Duration::ZERO).await;
    }
    assert_eq!(pace.delay(), before);
}

/// Sends requests that take 30 ms, ten at a time, so that the primary is never silent, and tells how many were hedged.
async fn hedges_of(pace: &Pace, requests: usize, answer: Answer) -> u64 {
    let before = pace.counts().started;
    let primary = After::new(30 * MS, answer);
    let stack = hedged(primary.service(), silent(), pace);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..requests {
        sleep(3 * MS).await;
        calls.spawn(stack.clone().oneshot(read(1)));
    }
    calls.join_all().await;
    pace.counts().started - before
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_answers_is_hedged_no_more_often_than_the_budget_allows() {
    let config = Config::new().after(DELAY).charge_silence();
    let one_in_ten = Pace::new(config.budget(Budget::new(0.1, 0, 10)));
    let hedges = hedges_of(&one_in_ten, 1000, Ok(Via(0))).await;
    assert!((85..=100).contains(&hedges), "{hedges} of 1000");

    let five_a_second = Pace::new(config.budget(Budget::new(0.0, 5, 5)));
    let start = Instant::now();
    let hedges = hedges_of(&five_a_second, 1000, Ok(Via(0))).await;
    let earned = 5 + (start.elapsed().as_secs_f64() * 5.0) as u64;
    assert!((earned - 2..=earned).contains(&hedges), "{hedges}, not {earned}");

    let none = Pace::new(config.budget(Budget::new(0.0, 0, 0)));
    assert_eq!(hedges_of(&none, 100, Ok(Via(0))).await, 0);
    assert!(none.counts().denied > 0);

    let unlimited = Pace::new(config.budget(Budget::unlimited()));
    assert_eq!(hedges_of(&unlimited, 100, Ok(Via(0))).await, 100);
}

#[tokio::test(start_paused = true)]
async fn what_is_saved_up_is_spent_in_an_idle_hour_no_more_than_the_most() {
    let pace = Pace::new(Config::new().after(DELAY).charge_silence().budget(Budget::new(1.0, 10, 7)));
    sleep(Duration::from_secs(3600)).await;
    let stack = hedged(silent(), After::new(MS, Ok(Via(1))).service(), &pace);
    let mut calls: Vec<_> = (0..20).map(|id| task::spawn(stack.clone().oneshot(read(id)))).collect();
    calls.iter_mut().for_each(|call| assert_pending!(call.poll()));
    advance(DELAY).await;
    calls.iter_mut().for_each(|call| assert_pending!(call.poll()));
    assert_eq!(pace.counts().started, 7);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_overdue_is_hedged_whatever_the_budget_says() {
    let config = Config::new().after(DELAY).charge_silence().budget(Budget::new(0.0, 0, 0));
    let pace = Pace::new(config.overdue(DELAY * 5));
    let start = Instant::now();
    assert_eq!(
        hedged(silent(), After::new(MS, Ok(Via(1))).service(), &pace).oneshot(read(1)).await,
        Ok(Via(1))
    );
    assert_eq!(start.elapsed(), DELAY * 5 + MS);
    assert_eq!((pace.counts().overdue, pace.counts().started), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn times_of_any_length_are_allowed() {
    let never = Duration::MAX;
    let adaptive = Config::new().adaptive(f64::MAX, never, never);
    let short =
        Config::new().after(MS).silent_after(1, never).patience(never).overdue(never).while_silent(never);
    for config in
        [Config::new().after(never), adaptive, short, short.budget(Budget::new(0.0, 0, 0)).charge_silence()]
    {
        takes(&Pace::new(config), DELAY).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_denied_is_hedged_later_when_the_account_allows_it() {
    let pace = Pace::new(Config::new().after(DELAY).charge_silence().budget(Budget::new(0.0, 1, 1)));
    let stack = hedged(silent(), After::new(MS, Ok(Via(1))).service(), &pace);
    let start = Instant::now();
    let (first, second) = tokio::join!(stack.clone().oneshot(read(1)), stack.clone().oneshot(read(2)));
    assert_eq!((first, second), (Ok(Via(1)), Ok(Via(1))));
    let took = start.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_millis(1200), "{took:?}");
}
