//! Promises of `Fallback`.
#![allow(clippy::unwrap_used)]

mod support;

use rosey_layers::{
    Class, Classify, Elapsed, Fallback, FallbackError, FallbackExt, FallbackLayer,
    breaker::Rejected,
    fallback::{ByClass, Policy, Repeat, Unready},
};
use std::{
    cell::Cell,
    error::Error as _,
    future::{Future, Ready, pending, ready},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};
use support::{Error, Req, Via, read, strict::Strict, write};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

type Answer = Result<Via, Error>;

fn answers(
    answer: Answer,
) -> impl Service<Req, Response = Via, Error = Error, Future = Ready<Answer>> + Clone {
    service_fn(move |_: Req| ready(answer.clone()))
}

fn fails(class: Class) -> impl Service<Req, Response = Via, Error = Error, Future = Ready<Answer>> + Clone {
    answers(Err(Error::Of(class)))
}

// ## Which requests are rerouted

#[tokio::test]
async fn every_class_but_a_refusal_is_rerouted_by_default() {
    for class in Class::ALL {
        let result = fails(class).fallback_to(answers(Ok(Via(1)))).oneshot(read(1)).await;
        match class {
            Class::Rejected => assert_eq!(result, Err(FallbackError::Primary(Error::Of(class)))),
            _ => assert_eq!(result, Ok(Via(1)), "{class}"),
        }
    }
}

#[tokio::test]
async fn a_success_of_the_primary_leaves_the_secondary_alone() {
    let (secondary, ledger) = Strict::counting(Ok(Via(1)));
    let stack = answers(Ok(Via(0))).fallback_to(secondary);
    assert_eq!(stack.oneshot(read(1)).await, Ok(Via(0)));
    assert_eq!((ledger.clones(), ledger.polls(), ledger.calls()), (0, 0, 0));
}

#[tokio::test]
async fn the_secondary_is_cloned_once_for_the_call_that_needs_it() {
    let (secondary, ledger) = Strict::counting(Ok(Via(1)));
    let stack = fails(Class::NotSent).fallback_to(secondary);
    assert_eq!(stack.oneshot(read(1)).await, Ok(Via(1)));
    assert_eq!((ledger.clones(), ledger.calls()), (1, 1));
}

#[tokio::test]
async fn a_class_that_is_excepted_stays_with_the_primary() {
    let policy = ByClass::new().except(Class::Backend);
    let stack = fails(Class::Backend).fallback_with(answers(Ok(Via(1))), policy);
    assert_eq!(stack.oneshot(read(1)).await, Err(FallbackError::Primary(Error::Of(Class::Backend))));
}

#[tokio::test]
async fn a_closure_over_the_response_is_a_policy() {
    let unwanted = |req: &Req, result: &Answer| req.write && *result == Ok(Via(0));
    let stack = Fallback::new(answers(Ok(Via(0))), answers(Ok(Via(1))), unwanted);
    assert_eq!(stack.clone().oneshot(write(1)).await, Ok(Via(1)));
    assert_eq!(stack.oneshot(read(1)).await, Ok(Via(0)));
}

// ## How far a request is repeated

/// A request that counts its copies.
#[derive(Debug)]
struct Counted(Rc<Cell<usize>>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.set(self.0.get() + 1);
        Self(Rc::clone(&self.0))
    }
}

async fn copies(repeat: Repeat, class: Class) -> (usize, bool) {
    let copies = Rc::new(Cell::new(0));
    let primary = service_fn(move |_: Counted| ready(Err::<Via, _>(Error::Of(class))));
    let secondary = service_fn(|_: Counted| ready(Ok::<_, Error>(Via(1))));
    let stack = primary.fallback_with(secondary, ByClass::new().repeat(repeat));
    let rerouted = stack.oneshot(Counted(Rc::clone(&copies))).await.is_ok();
    (copies.get(), rerouted)
}

#[tokio::test]
async fn what_must_never_be_repeated_is_never_repeated_and_never_copied() {
    for class in Class::ALL {
        assert_eq!(copies(Repeat::Never, class).await, (0, false), "{class}");
    }
}

#[tokio::test]
async fn what_may_be_repeated_if_not_sent_is_repeated_only_where_it_had_no_effect() {
    for class in Class::ALL {
        let no_effect = matches!(class, Class::NotSent | Class::TooLarge);
        assert_eq!(copies(Repeat::IfNotSent, class).await, (1, no_effect), "{class}");
    }
}

#[tokio::test]
async fn a_rerouted_request_is_copied_once() {
    assert_eq!(copies(Repeat::Always, Class::Unknown).await, (1, true));
}

#[tokio::test]
async fn a_closure_decides_request_by_request() {
    let by_kind = |req: &Req| if req.write { Repeat::IfNotSent } else { Repeat::Always };
    let policy = ByClass::new().repeat(by_kind);
    let stack = fails(Class::Unknown).fallback_with(answers(Ok(Via(1))), policy);
    assert_eq!(stack.clone().oneshot(read(1)).await, Ok(Via(1)));
    assert!(stack.oneshot(write(1)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_must_not_be_repeated_may_still_go_around_a_primary_that_never_got_it() {
    let (primary, mut handle) = mock::pair::<Req, Via>();
    handle.allow(0);
    let primary = primary.map_err(Error::from);
    let policy = ByClass::new().repeat(Repeat::Never).unready(Unready::Reroute);
    let stack = primary.fallback_with(answers(Ok(Via(1))), policy);
    assert_eq!(stack.oneshot(read(1)).await, Ok(Via(1)));
}

// ## Readiness

fn over_mock(
    unready: Unready,
) -> (
    mock::Spawn<
        impl Service<
            Req,
            Response = Via,
            Error = FallbackError<Error, Error>,
            Future = impl Future<Output = Result<Via, FallbackError<Error, Error>>>,
        >,
    >,
    mock::Handle<Req, Via>,
) {
    mock::spawn_with(move |mock| {
        let policy = ByClass::new().unready(unready);
        mock.map_err(Error::from).fallback_with(answers(Ok(Via(1))), policy)
    })
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_is_not_ready_is_waited_for_as_long_as_the_policy_says() {
    let (mut stack, mut handle) = over_mock(Unready::Wait);
    handle.allow(0);
    assert_pending!(stack.poll_ready());
    advance(Duration::from_secs(3600)).await;
    assert_pending!(stack.poll_ready());
    handle.allow(1);
    assert!(stack.is_woken());
    assert_ready_ok!(stack.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_is_not_ready_is_gone_around_at_once_where_the_policy_says_so() {
    let (mut stack, mut handle) = over_mock(Unready::Reroute);
    handle.allow(0);
    assert_ready_ok!(stack.poll_ready());
    let mut call = task::spawn(stack.call(read(1)));
    assert_eq!(assert_ready!(call.poll()), Ok(Via(1)));
}

#[tokio::test(start_paused = true)]
async fn patience_ends_when_it_was_said_to_end_and_wakes_the_caller() {
    let patience = Duration::from_millis(50);
    let (mut stack, mut handle) = over_mock(Unready::After(patience));
    handle.allow(0);
    assert_pending!(stack.poll_ready());
    advance(patience - Duration::from_millis(1)).await;
    assert_pending!(stack.poll_ready());
    advance(Duration::from_millis(1)).await;
    assert!(stack.is_woken());
    assert_ready_ok!(stack.poll_ready());
    let mut call = task::spawn(stack.call(read(1)));
    assert_eq!(assert_ready!(call.poll()), Ok(Via(1)));
    // The next request has its own patience.
    assert_pending!(stack.poll_ready());
    advance(patience / 2).await;
    assert_pending!(stack.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn a_decision_stands_until_the_call() {
    let (mut stack, mut handle) = over_mock(Unready::Reroute);
    handle.allow(0);
    assert_ready_ok!(stack.poll_ready());
    handle.allow(1); // too late for this request
    assert_ready_ok!(stack.poll_ready());
    let mut call = task::spawn(stack.call(read(1)));
    assert_eq!(assert_ready!(call.poll()), Ok(Via(1)));
    assert_pending!(task::spawn(handle.next_request()).poll());
}

#[tokio::test]
async fn a_primary_that_fails_to_become_ready_is_gone_around_and_its_error_is_kept() {
    let dead = || {
        let (mock, mut handle) = mock::pair::<Req, Via>();
        handle.send_error(Error::Of(Class::Unknown));
        mock.map_err(Error::from)
    };
    assert_eq!(dead().fallback_to(answers(Ok(Via(1)))).oneshot(read(1)).await, Ok(Via(1)));
    assert_eq!(
        dead().fallback_to(fails(Class::Backend)).oneshot(read(1)).await,
        Err(FallbackError::Both { primary: Error::Of(Class::Unknown), fallback: Error::Of(Class::Backend) })
    );
}

#[tokio::test(start_paused = true)]
async fn a_secondary_that_is_not_ready_holds_up_only_the_calls_that_need_it() {
    let (secondary, mut handle) = mock::pair::<Req, Via>();
    handle.allow(0);
    let primary =
        service_fn(|req: Req| ready(if req.write { Err(Error::Of(Class::NotSent)) } else { Ok(Via(0)) }));
    let stack = primary.fallback_to(secondary.map_err(Error::from));
    let mut rerouted = task::spawn(stack.clone().oneshot(write(1)));
    assert_pending!(rerouted.poll());
    assert_eq!(stack.oneshot(read(2)).await, Ok(Via(0)));
    handle.allow(1);
    assert!(rerouted.is_woken());
}

/// Ready for each instance on its own, after it was asked often enough: as a service that connects.
#[derive(Clone)]
struct Slow(usize, Arc<AtomicUsize>);

impl Service<Req> for Slow {
    type Response = Via;
    type Error = Error;
    type Future = Ready<Answer>;
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.0 -= 1;
        self.1.fetch_add(1, SeqCst);
        if self.0 == 0 {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
    fn call(&mut self, _: Req) -> Self::Future {
        ready(Ok(Via(1)))
    }
}

#[tokio::test]
async fn many_fallbacks_at_once_do_not_queue_behind_each_other() {
    let polls = Arc::new(AtomicUsize::new(0));
    let stack = fails(Class::NotSent).fallback_to(Slow(2, Arc::clone(&polls)));
    let mut calls: Vec<_> = (0..100).map(|id| task::spawn(stack.clone().oneshot(read(id)))).collect();
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    assert_eq!(polls.load(SeqCst), 100, "every call drives its own secondary, none waits for another");
    for call in &mut calls {
        assert_ready_ok!(call.poll());
    }
}

// ## Errors

#[tokio::test]
async fn when_both_fail_the_caller_gets_both_errors_and_the_heavier_class() {
    let stack = fails(Class::Unknown).fallback_to(fails(Class::Backend));
    let error = stack.oneshot(read(1)).await.unwrap_err();
    assert_eq!(error.primary(), Some(&Error::Of(Class::Unknown)));
    assert_eq!(error.fallback(), Some(&Error::Of(Class::Backend)));
    assert_eq!(error.class(), Class::Unknown);
    assert_eq!(error.to_string(), "primary: unknown; fallback: backend");
    assert_eq!(error.source().unwrap().downcast_ref(), Some(&Error::Of(Class::Backend)));
    assert_eq!(error.into_parts(), (Some(Error::Of(Class::Unknown)), Some(Error::Of(Class::Backend))));
}

#[tokio::test]
async fn a_fallback_that_fails_after_an_unwanted_response_or_an_unready_primary_has_one_error() {
    let error = Fallback::new(answers(Ok(Via(0))), fails(Class::Backend), |_: &Req, _: &Answer| true)
        .oneshot(read(1))
        .await
        .unwrap_err();
    assert_eq!(error, FallbackError::Unready { fallback: Error::Of(Class::Backend) });
    assert_eq!((error.primary(), error.class()), (None, Class::Backend));
}

#[test]
fn a_timeout_or_a_breaker_around_a_fallback_makes_an_error_of_the_primary() {
    type Deep = FallbackError<FallbackError<Error, Error>, Error>;
    let elapsed = Elapsed::new(Duration::from_secs(2));
    let error = Deep::from(elapsed);
    assert_eq!(error, FallbackError::Primary(FallbackError::Primary(Error::Elapsed(elapsed))));
    assert!(error.is_timeout());
    assert_eq!(Deep::from(Rejected::new(None)).class(), Class::NotSent);
}

#[tokio::test]
async fn errors_of_any_depth_become_one_type() {
    #[derive(Debug, PartialEq)]
    enum One {
        Leaf(Class),
        Both(Box<(One, One)>),
    }
    impl From<Error> for One {
        fn from(error: Error) -> Self {
            Self::Leaf(error.class())
        }
    }
    impl<A: Into<One>, B: Into<One>> From<FallbackError<A, B>> for One {
        fn from(error: FallbackError<A, B>) -> Self {
            error.unify(|primary, fallback| Self::Both(Box::new((primary, fallback))))
        }
    }
    let stack = fails(Class::NotSent).fallback_to(fails(Class::Unknown)).fallback_to(fails(Class::Backend));
    let one: One = stack.oneshot(read(1)).await.unwrap_err().into();
    let inner = One::Both(Box::new((One::Leaf(Class::NotSent), One::Leaf(Class::Unknown))));
    assert_eq!(one, One::Both(Box::new((inner, One::Leaf(Class::Backend)))));
}

// ## Drops and hooks

/// Fails at once, and says whether its call still lives.
#[derive(Clone)]
struct Holds(Arc<()>);
struct Held(#[allow(dead_code)] Arc<()>);

impl Service<Req> for Holds {
    type Response = Via;
    type Error = Error;
    type Future = Held;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: Req) -> Held {
        Held(Arc::clone(&self.0))
    }
}

impl Future for Held {
    type Output = Answer;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        Poll::Ready(Err(Error::Of(Class::Unknown)))
    }
}

/// Looks, when it is cloned, polled and called, at how many calls of the primary live.
struct Looks(Arc<()>);

impl Looks {
    fn look(&self) {
        // The test, the primary, and two copies of `Looks` at most: no call.
        assert!(Arc::strong_count(&self.0) <= 4, "the primary's call still lives");
    }
}

impl Clone for Looks {
    fn clone(&self) -> Self {
        self.look();
        Self(Arc::clone(&self.0))
    }
}

impl Service<Req> for Looks {
    type Response = Via;
    type Error = Error;
    type Future = Ready<Answer>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.look();
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: Req) -> Self::Future {
        self.look();
        ready(Ok(Via(1)))
    }
}

#[tokio::test]
async fn the_primarys_call_and_what_it_holds_is_dropped_before_the_secondary_starts() {
    let token = Arc::new(());
    let mut stack = Holds(Arc::clone(&token)).fallback_to(Looks(Arc::clone(&token)));
    assert_eq!(Arc::strong_count(&token), 3);
    // Not through `oneshot`, which would drop the primary and hide a call that lives.
    let mut call = task::spawn(stack.ready().await.unwrap().call(read(1)));
    assert_eq!(Arc::strong_count(&token), 4, "the primary's call lives");
    assert_eq!(assert_ready!(call.poll()), Ok(Via(1)));
}

#[tokio::test]
async fn dropping_a_call_drops_the_call_in_flight_and_reroutes_nothing() {
    let (secondary, ledger) = Strict::counting(Ok(Via(1)));
    let token = Arc::new(());
    let held = Arc::clone(&token);
    let primary = service_fn(move |_: Req| {
        let held = Arc::clone(&held);
        async move {
            let _held = held;
            pending::<Answer>().await
        }
    });
    let mut stack = primary.fallback_to(secondary);
    let mut call = task::spawn(stack.call(read(1)));
    assert_pending!(call.poll());
    assert_eq!(Arc::strong_count(&token), 3);
    drop(call);
    assert_eq!((Arc::strong_count(&token), ledger.clones()), (2, 0));
}

/// Notes what it is told.
#[derive(Clone, Default)]
struct Notes(Rc<Cell<(usize, usize)>>);

impl Policy<Req, Via, Error> for Notes {
    fn keep(&self, req: &Req) -> Option<Req> {
        Some(req.clone())
    }
    fn reroute(&self, _: &Req, result: &Answer) -> bool {
        result.is_err()
    }
    fn rerouted(&self, req: &Req, result: &Answer) {
        assert!(result.is_err() && req.id == 1);
        self.0.set((self.0.get().0 + 1, self.0.get().1));
    }
    fn went_around(&self, _: &Req) {
        self.0.set((self.0.get().0, self.0.get().1 + 1));
    }
    fn unready(&self) -> Unready {
        Unready::Reroute
    }
}

#[tokio::test]
async fn the_policy_is_told_of_every_reroute_once() {
    let notes = Notes::default();
    let stack = fails(Class::Backend).fallback_with(answers(Ok(Via(1))), notes.clone());
    stack.oneshot(read(1)).await.unwrap();
    assert_eq!(notes.0.get(), (1, 0));

    let (mock, mut handle) = mock::pair::<Req, Via>();
    handle.allow(0);
    mock.map_err(Error::from)
        .fallback_with(answers(Ok(Via(1))), notes.clone())
        .oneshot(read(1))
        .await
        .unwrap();
    assert_eq!(notes.0.get(), (1, 1));

    let (mock, mut handle) = mock::pair::<Req, Via>();
    handle.send_error(Error::Of(Class::Unknown));
    mock.map_err(Error::from)
        .fallback_with(answers(Ok(Via(1))), notes.clone())
        .oneshot(read(1))
        .await
        .unwrap();
    assert_eq!(notes.0.get(), (2, 1));

    answers(Ok(Via(0))).fallback_with(answers(Ok(Via(1))), notes.clone()).oneshot(read(1)).await.unwrap();
    assert_eq!(notes.0.get(), (2, 1), "a success is no reroute");
}

#[tokio::test]
async fn services_of_one_layer_share_the_secondary() {
    let (secondary, ledger) = Strict::counting(Ok(Via(1)));
    let layer = FallbackLayer::new(secondary, ByClass::new());
    for _ in 0..3 {
        layer.layer(fails(Class::NotSent)).oneshot(read(1)).await.unwrap();
    }
    assert_eq!(ledger.clones(), 3, "one for each call, none for a layer or a service");
}

#[tokio::test]
async fn an_error_of_the_secondarys_readiness_comes_with_the_primarys_error() {
    let (mock, mut handle) = mock::pair::<Req, Via>();
    handle.send_error(Error::Of(Class::Backend));
    let mut call = task::spawn(fails(Class::Unknown).fallback_to(mock.map_err(Error::from)).oneshot(read(1)));
    let error = assert_ready_err!(call.poll());
    assert_eq!(
        error,
        FallbackError::Both { primary: Error::Of(Class::Unknown), fallback: Error::Of(Class::Backend) }
    );
}
