//! What happens to requests while the secondary is not ready.

use super::*;
use eitherway_layers::fallback::{NotReady, Unready};
use std::{future::Pending, task};
use tower::util::BoxCloneService;

/// Never becomes ready.
#[derive(Clone)]
struct Never;

impl Service<Req> for Never {
    type Response = Via;
    type Error = Error;
    type Future = Pending<Answer>;
    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Error>> {
        task::Poll::Pending
    }
    fn call(&mut self, _: Req) -> Self::Future {
        panic!("called without being ready")
    }
}

const PATIENCE: Duration = Duration::from_millis(100);

fn over_never<P: Service<Req>>(primary: P) -> Hedge<P, Never, ByClass, Pace> {
    primary.hedge_with(Never, ByClass::new().unready(Unready::Reroute).patience(Some(PATIENCE)), always())
}

/// The result over a secondary that never becomes ready, and how long it took.
async fn result(time: Duration, answer: Answer) -> (Result<Via, Both>, Duration) {
    let start = Instant::now();
    let result = over_never(After::new(time, answer).service()).oneshot(read(1)).await;
    (result, start.elapsed())
}

fn not_ready(primary: Option<Class>) -> Result<Via, Both> {
    Err(FallbackError::NotReady { primary: primary.map(Error::Of), fallback: NotReady::new(PATIENCE) })
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_a_secondary_that_is_not_ready_as_long_as_the_policy_says() {
    for time in [Duration::ZERO, MS] {
        let failed = result(time, Err(Error::Of(Class::Backend))).await;
        assert_eq!(failed, (not_ready(Some(Class::Backend)), time + PATIENCE));
    }
    let start = Instant::now();
    assert_eq!(over_never(Never).oneshot(read(1)).await, not_ready(None), "around the primary");
    assert_eq!(start.elapsed(), PATIENCE);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_waits_for_its_secondary_since_its_start_and_for_the_primary_in_any_case() {
    let failed = |time| result(time, Err(Error::Of(Class::Unknown)));
    let while_it_waits = DELAY + PATIENCE / 2;
    assert_eq!(failed(while_it_waits).await, (not_ready(Some(Class::Unknown)), DELAY + PATIENCE));
    assert_eq!(failed(DELAY + PATIENCE * 2).await, (not_ready(Some(Class::Unknown)), DELAY + PATIENCE * 2));
    assert_eq!(result(PATIENCE * 50, Ok(Via(0))).await, (Ok(Via(0)), PATIENCE * 50));
}

#[tokio::test(start_paused = true)]
async fn a_third_path_takes_the_request_of_a_secondary_that_is_not_ready() {
    let fails = After::new(MS, Err(Error::Of(Class::NotSent))).service();
    let third = After::new(MS, Ok(Via(1))).service();
    let start = Instant::now();
    let pace = Pace::new(Config::new().after(PATIENCE * 50));
    let stack = over_never(fails).hedge_with(third, ByClass::new(), pace);
    assert_eq!(stack.oneshot(read(1)).await, Ok(Via(1)));
    assert_eq!(start.elapsed(), MS + PATIENCE + MS);
}

#[tokio::test]
async fn a_hedge_whose_secondary_is_not_sync_can_be_spawned() {
    let boxed = || BoxCloneService::new(After::new(Duration::ZERO, Ok(Via(1))).service());
    let stack = boxed().hedge_to(boxed()).hedge_to(boxed());
    assert_eq!(tokio::spawn(stack.oneshot(read(1))).await.unwrap(), Ok(Via(1)));
}

#[tokio::test(start_paused = true)]
async fn what_a_primary_with_an_unwanted_response_has_served_was_sent_however_the_hedge_fails() {
    // Of a closure, no request is hedged; of this policy, all are.
    let policy = || ByClass::new().classify_by(|_: &Answer| Some(Class::NotSent.into()));
    for time in [MS, DELAY + MS * 2] {
        let primary = || After::new(time, Ok(Via(0))).service();
        let fails = After::new(MS, Err(Error::Of(Class::NotSent))).service();
        let error = primary().hedge_with(fails, policy(), always()).oneshot(read(1)).await.unwrap_err();
        assert_eq!(error, FallbackError::Unaccepted { fallback: Error::Of(Class::NotSent) });
        assert_eq!(error.class(), Class::Unknown);
        let error = primary().hedge_with(Never, policy(), always()).oneshot(read(1)).await.unwrap_err();
        let fallback = NotReady::new(ByClass::SECONDARY_PATIENCE).after_response();
        assert_eq!(error, FallbackError::NotReady { primary: None, fallback });
    }
}
