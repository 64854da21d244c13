//! What happens when the primary is late, and how the two calls end.

use super::*;

const LONG: Duration = Duration::from_secs(3600);

fn fails(class: Class) -> Answer {
    Err(Error::Of(class))
}

/// The result of one request over two paths, and how long it took.
async fn race(first: &After, second: &After) -> (Result<Via, Both>, Duration) {
    let start = Instant::now();
    let result = hedged(first.service(), second.service(), &always()).oneshot(read(1)).await;
    (result, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_answers_in_time_leaves_the_secondary_alone() {
    for time in [Duration::ZERO, DELAY - MS] {
        let (secondary, ledger) = Strict::counting(Ok(Via(1)));
        let stack = hedged(After::new(time, Ok(Via(0))).service(), secondary, &always());
        assert_eq!(stack.oneshot(read(1)).await, Ok(Via(0)));
        assert_eq!((ledger.clones(), ledger.polls(), ledger.calls()), (0, 0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_late_primary_is_hedged_after_the_delay_and_the_first_success_is_the_response() {
    let (slow, quick) = (After::new(LONG, Ok(Via(0))), After::new(5 * MS, Ok(Via(1))));
    assert_eq!(race(&slow, &quick).await, (Ok(Via(1)), DELAY + 5 * MS));
    let (late, slower) = (After::new(DELAY + 2 * MS, Ok(Via(0))), After::new(LONG, Ok(Via(1))));
    assert_eq!(race(&late, &slower).await, (Ok(Via(0)), DELAY + 2 * MS));
    assert_eq!((slow.calls(), quick.calls(), late.calls(), slower.calls()), (1, 1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_delay_both_paths_are_called_in_the_first_poll() {
    // Timers are kept by the millisecond.
    advance(Duration::from_micros(500)).await;
    let (first, second) = (After::new(LONG, Ok(Via(0))), After::new(MS, Ok(Via(1))));
    let pace = Pace::new(Config::new().after(Duration::ZERO).budget(Budget::unlimited()));
    let mut call = task::spawn(hedged(first.service(), second.service(), &pace).oneshot(read(1)));
    assert_pending!(call.poll());
    assert_eq!((first.calls(), second.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_loser_is_dropped_as_soon_as_the_other_has_answered() {
    for (first, second) in [(LONG, 5 * MS), (DELAY + 2 * MS, LONG)] {
        let (first, second) = (After::new(first, Ok(Via(0))), After::new(second, Ok(Via(1))));
        let mut stack = hedged(first.service(), second.service(), &always());
        let mut call = task::spawn(stack.ready().await.unwrap().call(read(1)));
        assert_pending!(call.poll());
        advance(DELAY).await;
        assert_pending!(call.poll());
        assert_eq!((first.alive(), second.alive()), (1, 1), "both run");
        advance(5 * MS).await;
        assert!(call.is_woken());
        assert!(assert_ready!(call.poll()).is_ok());
        assert_eq!((first.alive(), second.alive()), (0, 0), "although the future still lives");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_fails_waits_for_the_primary() {
    let (slow, broken) = (After::new(DELAY * 3, Ok(Via(0))), After::new(MS, fails(Class::Backend)));
    assert_eq!(race(&slow, &broken).await, (Ok(Via(0)), DELAY * 3));
    assert_eq!(broken.calls(), 1, "and is not tried again");
}

#[tokio::test(start_paused = true)]
async fn when_both_fail_the_caller_gets_both_errors_whichever_failed_first() {
    let both = || {
        Err(FallbackError::Both { primary: Error::Of(Class::Unknown), fallback: Error::Of(Class::Backend) })
    };
    for (first, second) in [(DELAY * 3, MS), (DELAY + MS, DELAY), (DELAY / 2, MS)] {
        let (first, second) =
            (After::new(first, fails(Class::Unknown)), After::new(second, fails(Class::Backend)));
        assert_eq!(race(&first, &second).await.0, both());
        assert_eq!((first.calls(), second.calls()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final_on_either_path() {
    let slow = || After::new(LONG, Ok(Via(1)));
    let refuses = After::new(DELAY + MS, fails(Class::Rejected));
    let refusal = Error::Of(Class::Rejected);
    assert_eq!(race(&refuses, &slow()).await, (Err(FallbackError::Primary(refusal.clone())), DELAY + MS));
    let refuses = After::new(MS, fails(Class::Rejected));
    assert_eq!(
        race(&slow(), &refuses).await,
        (Err(FallbackError::Unready { fallback: refusal }), DELAY + MS)
    );
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_fails_is_rerouted_at_once_and_one_that_is_hedged_only_once() {
    let second = || After::new(DELAY, Ok(Via(1)));
    let early = second();
    assert_eq!(
        race(&After::new(MS, fails(Class::NotSent)), &early).await,
        (Ok(Via(1)), MS + DELAY),
        "not later than a fallback would"
    );
    let hedge = second();
    assert_eq!(
        race(&After::new(DELAY + MS, fails(Class::NotSent)), &hedge).await,
        (Ok(Via(1)), DELAY * 2),
        "the hedge runs on"
    );
    assert_eq!((early.calls(), hedge.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn requests_that_may_not_overlap_are_never_hedged() {
    for repeat in [Idempotency::Never, Idempotency::IfNotSent] {
        let (slow, quick) = (After::new(LONG, Ok(Via(0))), After::new(MS, Ok(Via(1))));
        let stack = slow.service().hedge_with(quick.service(), ByClass::new().repeat(repeat), always());
        assert_eq!(stack.oneshot(read(1)).await, Ok::<_, Both>(Via(0)));
        assert_eq!(quick.calls(), 0, "{repeat:?}");
    }
    // A closure decides by the result alone, and there is none yet.
    let (slow, quick) = (After::new(LONG, Ok(Via(0))), After::new(MS, Ok(Via(1))));
    let on_error = |_: &Req, result: &Answer| result.is_err();
    let stack = slow.service().hedge_with(quick.service(), on_error, always());
    assert_eq!(stack.oneshot(read(1)).await, Ok::<_, Both>(Via(0)));
    assert_eq!(quick.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_drops_both_paths() {
    let (first, second) = (After::new(LONG, Ok(Via(0))), After::new(LONG, Ok(Via(1))));
    let mut call = task::spawn(hedged(first.service(), second.service(), &always()).oneshot(read(1)));
    assert_pending!(call.poll());
    advance(DELAY).await;
    assert_pending!(call.poll());
    assert_eq!((first.alive(), second.alive()), (1, 1));
    drop(call);
    assert_eq!((first.alive(), second.alive()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_on_either_path_reaches_the_caller_and_ends_the_other_path() {
    let panics = service_fn(async |_: Req| -> Result<Via, Error> {
        sleep(DELAY + MS).await;
        panic!("on purpose")
    });
    let slow = After::new(LONG, Ok(Via(0)));
    let pace = always();
    let on_primary = tokio::spawn(hedged(panics, slow.service(), &pace).oneshot(read(1)));
    assert!(on_primary.await.unwrap_err().is_panic());
    let on_secondary = tokio::spawn(hedged(slow.service(), panics, &pace).oneshot(read(1)));
    assert!(on_secondary.await.unwrap_err().is_panic());
    assert_eq!((slow.calls(), slow.alive()), (2, 0));
    // Nothing that is shared was left in the middle of something.
    let quick = After::new(MS, Ok(Via(1)));
    assert_eq!(hedged(slow.service(), quick.service(), &pace).oneshot(read(1)).await, Ok(Via(1)));
}

/// Uses up the task's budget in every poll, as a stream that is always ready does.
async fn busy() -> Answer {
    loop {
        tokio::task::consume_budget().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_primary_starves_neither_the_delay_nor_the_secondary() {
    let quick = After::new(MS, Ok(Via(1)));
    let secondary = service_fn(move |req: Req| {
        let call = quick.service().oneshot(req);
        async move {
            tokio::task::consume_budget().await; // pending without a budget
            call.await
        }
    });
    let stack = hedged(service_fn(|_: Req| busy()), secondary, &always());
    // A primary that never rests keeps paused time from going on by itself.
    let call = tokio::spawn(stack.oneshot(read(1)));
    for _ in 0..100 {
        advance(MS).await;
        tokio::task::yield_now().await;
    }
    assert!(call.is_finished());
    assert_eq!(call.await.unwrap(), Ok(Via(1)));
}

#[tokio::test(start_paused = true)]
async fn hedges_nest_and_each_path_starts_when_all_before_it_are_late() {
    let [a, b] = [(); 2].map(|()| After::new(LONG, Ok(Via(0))));
    let c = After::new(MS, Ok(Via(1)));
    let outer = Pace::new(Config::new().after(DELAY * 3));
    let inner = hedged(a.service(), b.service(), &always());
    let stack = inner.hedge_with(c.service(), ByClass::new(), outer);
    let start = Instant::now();
    let mut call = task::spawn(stack.oneshot(read(1)));
    for (calls, wait) in [((1, 0, 0), DELAY), ((1, 1, 0), DELAY * 2), ((1, 1, 1), MS)] {
        assert_pending!(call.poll());
        assert_eq!((a.calls(), b.calls(), c.calls()), calls, "after {:?}", start.elapsed());
        advance(wait).await;
        assert!(call.is_woken());
    }
    assert_eq!(assert_ready!(call.poll()), Ok(Via(1)));
    assert_eq!((a.alive(), b.alive(), c.alive()), (0, 0, 0));

    let by_default: Hedge<_, _, _, _> = a.service().hedge_to(b.service()).hedge_to(c.service());
    assert_eq!(by_default.oneshot(read(1)).await, Ok(Via(1)));
}

#[tokio::test(start_paused = true)]
async fn services_of_one_layer_share_the_secondary_and_the_pace() {
    let (slow, quick) = (After::new(LONG, Ok(Via(0))), After::new(MS, Ok(Via(1))));
    let pace = always();
    let layer = HedgeLayer::new(quick.service(), ByClass::new(), pace.clone());
    for _ in 0..2 {
        assert_eq!(layer.clone().layer(slow.service()).oneshot(read(1)).await, Ok(Via(1)));
    }
    assert_eq!((pace.counts().won, quick.calls()), (2, 2));
}
