//! Promises of `Timeout`.
#![allow(clippy::type_complexity)]

use crate::support::{Error, Req, Via, read, silent, write};
use eitherway_layers::{Elapsed, Timeout, TimeoutLayer};
use proptest::prelude::*;
use std::{
    future::{pending, ready},
    task::Poll,
    time::Duration,
};
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Service, ServiceExt, service_fn};
use tower_test::mock;

const LIMIT: Duration = Duration::from_millis(200);

#[tokio::test(start_paused = true)]
async fn a_call_fails_after_the_limit_and_says_which_limit_it_was() {
    let (mut service, mut handle) = mock::spawn_layer::<Req, Via, _>(wrap());
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(read(1)));
    let (_, _answer) = handle.next_request().await.unwrap();
    assert_pending!(call.poll());
    advance(LIMIT - Duration::from_millis(1)).await;
    assert_pending!(call.poll());
    advance(Duration::from_millis(1)).await;
    assert!(call.is_woken());
    assert_eq!(assert_ready_err!(call.poll()), Error::Elapsed(Elapsed::new(LIMIT)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_time_passes_and_so_does_an_error() {
    let (mut service, mut handle) = mock::spawn_layer::<Req, Via, _>(wrap());
    for good in [true, false] {
        assert_ready_ok!(service.poll_ready());
        let mut call = task::spawn(service.call(read(1)));
        assert_pending!(call.poll());
        advance(LIMIT / 2).await;
        let (_, answer) = handle.next_request().await.unwrap();
        if good {
            answer.send_response(Via(1));
            assert_eq!(assert_ready!(call.poll()), Ok(Via(1)));
        } else {
            answer.send_error(Error::Of(eitherway_layers::Class::Backend));
            assert_eq!(assert_ready!(call.poll()), Err(Error::Of(eitherway_layers::Class::Backend)));
        }
    }
}

/// Converts the mock's error into the test's own.
fn wrap() -> impl tower::Layer<
    mock::Mock<Req, Via>,
    Service = Timeout<tower::util::MapErr<mock::Mock<Req, Via>, fn(tower::BoxError) -> Error>>,
> {
    tower::layer::layer_fn(|mock: mock::Mock<Req, Via>| {
        Timeout::new(mock.map_err(Error::from as fn(tower::BoxError) -> Error), LIMIT)
    })
}

#[test]
fn a_call_that_is_answered_at_once_needs_no_runtime() {
    let service = service_fn(|_: Req| ready(Ok::<_, Error>(Via(0))));
    let mut call = task::spawn(Timeout::new(service, LIMIT).call(read(1)));
    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_together_with_the_end_of_the_time_wins() {
    let service = service_fn(async |_: Req| {
        sleep(LIMIT).await;
        Ok::<_, Error>(Via(0))
    });
    let mut call = task::spawn(Timeout::new(service, LIMIT).call(read(1)));
    assert_pending!(call.poll());
    advance(LIMIT).await;
    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_closure_gives_each_request_its_own_limit_or_none() {
    let limit = |req: &Req| (!req.write).then(|| Duration::from_millis(req.id));
    let mut service = tower::Layer::layer(&TimeoutLayer::with_limit(limit), silent());

    let start = Instant::now();
    assert!(service.call(read(7)).await.is_err());
    assert_eq!(start.elapsed(), Duration::from_millis(7));
    let mut unlimited = task::spawn(service.call(write(7)));
    assert_pending!(unlimited.poll());
    advance(Duration::from_secs(86_400)).await;
    assert_pending!(unlimited.poll());
}

#[tokio::test(start_paused = true)]
async fn a_disabled_timeout_never_ends_a_call() {
    let mut call = task::spawn(Timeout::disabled(silent()).call(read(1)));
    assert_pending!(call.poll());
    advance(Duration::from_secs(86_400)).await;
    assert_pending!(call.poll());
}

/// Tokio makes the resources of a task that has used up its budget return `Pending`: the timer must not be
/// one of them.
#[tokio::test(start_paused = true)]
async fn a_service_that_is_always_busy_times_out_all_the_same() {
    let busy = service_fn(async |_: Req| {
        let (tx, mut rx) = tokio::sync::mpsc::unbounded_channel();
        loop {
            tx.send(()).unwrap();
            rx.recv().await.unwrap(); // pends only when the budget is used up
        }
        #[allow(unreachable_code)]
        Ok::<_, Error>(Via(0))
    });
    let mut call = task::spawn(Timeout::new(busy, LIMIT).call(read(1)));
    assert_pending!(call.poll());
    advance(LIMIT).await;
    assert_eq!(assert_ready!(call.poll()), Err(Error::Elapsed(Elapsed::new(LIMIT))));
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_drops_the_inner_call() {
    let (mut service, mut handle) = mock::spawn_layer::<Req, Via, _>(wrap());
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(read(1)));
    assert_pending!(call.poll());
    let (_, answer) = handle.next_request().await.unwrap();
    drop(call);
    // The mock's response sender does not report a dropped call; the next request finds the service free.
    answer.send_response(Via(0));
    assert_ready_ok!(service.poll_ready());
}

/// The behaviour of one call of an inner service: it answers after `takes`, and is polled at the moments
/// `polls`.
#[derive(Clone, Debug)]
struct Schedule {
    limit: Duration,
    takes: Option<Duration>,
    fails: bool,
    polls: Vec<Duration>,
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let ms = |most: u64| (0..most).prop_map(Duration::from_millis);
    (ms(50), proptest::option::of(ms(100)), any::<bool>(), proptest::collection::vec(ms(30), 1..12))
        .prop_map(|(limit, takes, fails, polls)| Schedule { limit, takes, fails, polls })
}

/// The result of each poll of one call: `None` pending, else whether it timed out, failed or answered.
async fn run<S>(mut service: S, polls: &[Duration]) -> Vec<Option<&'static str>>
where
    S: Service<Req, Response = Via, Error: Into<tower::BoxError>>,
{
    let mut call = task::spawn(service.call(read(1)));
    let mut seen = vec![];
    for wait in std::iter::once(&Duration::ZERO).chain(polls) {
        advance(*wait).await;
        match call.poll() {
            Poll::Pending => seen.push(None),
            Poll::Ready(result) => {
                seen.push(Some(match result.map_err(Into::into) {
                    Ok(_) => "answer",
                    Err(error) if error.is::<tower::timeout::error::Elapsed>() => "elapsed",
                    Err(error) if matches!(error.downcast_ref(), Some(Error::Elapsed(_))) => "elapsed",
                    Err(_) => "error",
                }));
                break;
            }
        }
    }
    seen
}

proptest! {
    /// Polled at once, as with `await`, both time limits start at the same moment.
    #[test]
    fn timeout_ends_calls_exactly_when_towers_own_does(schedule in schedules()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let Schedule { limit, takes, fails, polls } = schedule;
        let inner = || service_fn(move |_: Req| async move {
            match takes {
                Some(takes) => sleep(takes).await,
                None => pending().await,
            }
            if fails { Err(Error::Of(eitherway_layers::Class::Backend)) } else { Ok(Via(0)) }
        });
        let ours = runtime.block_on(run(Timeout::new(inner(), limit), &polls));
        let towers = runtime.block_on(run(tower::timeout::Timeout::new(inner(), limit), &polls));
        prop_assert_eq!(ours, towers);
    }
}
