//! The store of a service behind the layers that an embedder puts around it.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use pin_project::pin_project;
use tokio::sync::watch;
use tower::Service;

use crate::client::Stack;
use crate::error::{Cause, Error};
use crate::operation::Operation;
use crate::reply::Reply;
use crate::request::Request;
use crate::store::{Concerns, DeadLetter, Enrolled, Instances, Store};

/// A store whose requests go through a stack over it. What is no request goes to the store itself.
pub(super) struct Layered<O, D, S> {
    store: D,
    stack: S,
    operation: PhantomData<fn(O)>,
}

impl<O, D, S> Layered<O, D, S> {
    pub(super) const fn new(store: D, stack: S) -> Self {
        Self { store, stack, operation: PhantomData }
    }
}

impl<O, D: Clone, S: Clone> Clone for Layered<O, D, S> {
    fn clone(&self) -> Self {
        Self::new(self.store.clone(), self.stack.clone())
    }
}

impl<O: Operation, D: Store<O>, S: Stack<O>> Service<Request<O>> for Layered<O, D, S> {
    type Response = Reply<O::Answer>;
    type Error = Error<O>;
    type Future = LayeredFuture<O, S>;

    /// Always ready: a request waits in its future for a stack that is not.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<O>>> {
        Poll::Ready(Ok(()))
    }

    /// Hands the request over before it returns, if the stack is ready: so requests arrive in the order of the calls.
    #[inline]
    fn call(&mut self, request: Request<O>) -> LayeredFuture<O, S> {
        let (mut stack, kept) = (self.stack.clone(), Some(request.clone()));
        let state = match stack.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => State::Called(stack.call(request)),
            Poll::Ready(Err(error)) => State::Failed(Some(error.into())),
            // Polled again with a waker, by the future.
            Poll::Pending => State::Waits(stack, Some(request)),
        };
        LayeredFuture { state, kept }
    }
}

/// The future of a request that goes through the layers. Whatever error they make, it carries the request.
#[pin_project]
pub(super) struct LayeredFuture<O: Operation, S: Stack<O>> {
    #[pin]
    state: State<O, S>,
    kept: Option<Request<O>>,
}

#[pin_project(project = Projected)]
enum State<O: Operation, S: Stack<O>> {
    Called(#[pin] S::Future),
    Waits(S, Option<Request<O>>),
    Failed(Option<Error<O>>),
}

impl<O: Operation, S: Stack<O>> Future for LayeredFuture<O, S> {
    type Output = Result<Reply<O::Answer>, Error<O>>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut me = self.project();
        let result = loop {
            let future = match me.state.as_mut().project() {
                Projected::Called(future) => break ready!(future.poll(cx)).map_err(Into::into),
                Projected::Failed(error) => break Err(error.take().expect("polled after it was ready")),
                Projected::Waits(stack, request) => match ready!(stack.poll_ready(cx)) {
                    Ok(()) => stack.call(request.take().expect("it waits")),
                    Err(error) => break Err(error.into()),
                },
            };
            me.state.set(State::Called(future));
        };
        Poll::Ready(result.map_err(|error| {
            let kept = me.kept.take();
            error.or_request(|| kept.expect("polled after it was ready"))
        }))
    }
}

impl<O, D: Instances, S> Instances for Layered<O, D, S> {
    fn file_id(&self) -> Option<String> {
        self.store.file_id()
    }

    fn enrol(&self, id: &str, started: i64) -> impl Future<Output = Result<Enrolled, Cause>> + Send {
        self.store.enrol(id, started)
    }

    fn seen(&self, id: &str) -> impl Future<Output = Result<Option<i64>, Cause>> + Send {
        self.store.seen(id)
    }

    fn started_since(&self, time: i64) -> impl Future<Output = Result<Vec<String>, Cause>> + Send {
        self.store.started_since(time)
    }

    fn seen_since(&self, time: i64) -> impl Future<Output = Result<Vec<String>, Cause>> + Send {
        self.store.seen_since(time)
    }
}

impl<O: Operation, D: Store<O>, S: Stack<O>> Store<O> for Layered<O, D, S> {
    fn id(&self) -> &str {
        self.store.id()
    }

    fn ping(&self) -> impl Future<Output = Result<(), Cause>> + Send {
        self.store.ping()
    }

    fn dead_letter(
        &self,
        letter: DeadLetter,
        again: bool,
    ) -> impl Future<Output = Result<bool, Cause>> + Send {
        self.store.dead_letter(letter, again)
    }

    fn duplicates(&self, index: usize) -> u64 {
        self.store.duplicates(index)
    }

    fn close(&self) -> impl Future<Output = ()> + Send {
        self.store.close()
    }

    fn shown(&self) -> &str {
        self.store.shown()
    }

    fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.store.trouble()
    }

    fn concerns(&self) -> watch::Receiver<Concerns> {
        self.store.concerns()
    }

    fn future_tolerance(&self) -> Duration {
        self.store.future_tolerance()
    }

    fn observe_time(&self, at: i64, elsewhere: bool) {
        self.store.observe_time(at, elsewhere);
    }

    fn clock_skew(&self) -> Option<String> {
        self.store.clock_skew()
    }
}
