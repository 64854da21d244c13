//! What happens to requests while a service is not ready.

use super::*;

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
    // The next request has a new time limit.
    assert_pending!(stack.poll_ready());
    advance(patience / 2).await;
    assert_pending!(stack.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn a_decision_stands_for_poll_ready_and_is_made_again_for_the_call() {
    let (mut stack, mut handle) = over_mock(Unready::Reroute);
    handle.allow(0);
    assert_ready_ok!(stack.poll_ready());
    assert_ready_ok!(stack.poll_ready());
    handle.allow(1); // an hour later, say
    let _call = task::spawn(stack.call(read(1)));
    let (request, _) = assert_ready!(task::spawn(handle.next_request()).poll()).unwrap();
    assert_eq!(request, read(1));
}

#[tokio::test]
async fn a_primary_whose_readiness_has_failed_is_never_polled_again() {
    #[derive(Clone)]
    struct Fails(Arc<AtomicUsize>);
    impl Service<Req> for Fails {
        type Response = Via;
        type Error = Error;
        type Future = Ready<Answer>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
            self.0.fetch_add(1, SeqCst);
            Poll::Ready(Err(Error::Of(Class::NotSent)))
        }
        fn call(&mut self, _: Req) -> Self::Future {
            panic!("not ready")
        }
    }
    let polls = Arc::new(AtomicUsize::new(0));
    let mut stack = Fails(Arc::clone(&polls)).fallback_to(answers(Ok(Via(1))));
    for id in 0..5 {
        assert_eq!(stack.ready().await.unwrap().call(read(id)).await, Ok(Via(1)));
    }
    assert_eq!(polls.load(SeqCst), 1);
    stack.clone().oneshot(read(1)).await.unwrap();
    assert_eq!(polls.load(SeqCst), 2, "a clone is another service");
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

/// Each instance becomes ready on its own, after it was polled often enough, like a service that connects.
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
