//! When futures are dropped, and which policy methods are called.

use super::*;

/// Fails at once; its token shows whether its call still lives.
#[derive(Clone)]
struct Holds(Arc<()>);
struct Pending(#[allow(dead_code)] Arc<()>);

impl Service<Req> for Holds {
    type Response = Via;
    type Error = Error;
    type Future = Pending;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: Req) -> Pending {
        Pending(Arc::clone(&self.0))
    }
}

impl Future for Pending {
    type Output = Answer;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Answer> {
        Poll::Ready(Err(Error::Of(Class::Unknown)))
    }
}

/// Checks, when it is cloned, polled and called, how many calls of the primary live.
struct Looks(Arc<()>);

impl Looks {
    /// Only the test, the primary and this many copies of `Looks` may hold the token: no call of the primary.
    fn look(&self, copies: usize) {
        assert_eq!(Arc::strong_count(&self.0), 2 + copies, "the primary's call still lives");
    }
}

impl Clone for Looks {
    fn clone(&self) -> Self {
        self.look(1);
        Self(Arc::clone(&self.0))
    }
}

impl Service<Req> for Looks {
    type Response = Via;
    type Error = Error;
    type Future = Ready<Answer>;
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.look(2);
        Poll::Ready(Ok(()))
    }
    fn call(&mut self, _: Req) -> Self::Future {
        self.look(2);
        ready(Ok(Via(1)))
    }
}

#[tokio::test]
async fn the_primarys_call_and_what_it_holds_is_dropped_before_the_secondary_starts() {
    let token = Arc::new(());
    let mut stack = Holds(Arc::clone(&token)).fallback_to(Looks(Arc::clone(&token)));
    assert_eq!(Arc::strong_count(&token), 3);
    // `oneshot` would drop the primary and so hide a live call.
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

/// Counts the calls of its methods.
#[derive(Clone, Default)]
struct Notes(Rc<Cell<(usize, usize)>>);

impl Policy<Req, Via, Error> for Notes {
    fn keep(&self, req: &mut Req) -> Option<Req> {
        Some(req.clone())
    }
    fn reroute(&self, _: &Req, result: &Answer) -> bool {
        result.is_err()
    }
    fn rerouted(&self, req: &Req, result: &Answer) {
        assert!(result.is_err() && req.id == 1);
        self.0.set((self.0.get().0 + 1, self.0.get().1));
    }
    fn bypassed(&self, _: &Req) {
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
