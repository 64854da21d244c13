//! Two circuits over one path: a stream may take events while no service answers calls and queries, so
//! silence on calls and queries must not stop events.

use std::mem;
use std::task::{Context, Poll, ready};

use eitherway_layers::breaker::Handle;
use futures_util::future::Either;
use tokio::sync::watch;
use tower::Service;

use crate::health::Health;
use crate::operation::{Kind, Operation};
use crate::request::Request;

/// The circuits of a stack.
#[derive(Clone, Debug)]
pub struct Circuits {
    /// The circuit of events.
    pub events: Handle,
    /// The circuit of calls and queries.
    pub requests: Handle,
}

impl Circuits {
    /// The circuit of this kind of operation.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> &Handle {
        match kind {
            Kind::Event => &self.events,
            Kind::Call | Kind::Query => &self.requests,
        }
    }

    /// Watches the health of the bus until the channel closes. A kind of operation that the bus takes again is tried
    /// at once, whatever its circuit has seen before. Without this, a circuit closes on its own probe, some
    /// hundred milliseconds later.
    ///
    /// `found` is called after every change, with each kind that the bus takes, for example to wake the replay
    /// of an outbox.
    ///
    /// Spawns a task, so it must be called within a tokio runtime.
    pub fn follow(&self, mut bus: watch::Receiver<Health>, found: impl Fn(Kind) + Send + 'static) {
        let circuits = self.clone();
        tokio::spawn(async move {
            while bus.changed().await.is_ok() {
                for kind in [Kind::Event, Kind::Call, Kind::Query] {
                    if bus.borrow().takes(kind) {
                        circuits.of(kind).set_healthy(true);
                        found(kind);
                    }
                }
            }
        });
    }
}

/// One path behind two circuits. The path is polled ready once; `call` then moves the ready instance,
/// together with the request, into the circuit of the request's kind. Two ready instances would reserve
/// capacity twice for a request that uses only one of them.
#[derive(Clone, Debug)]
pub(super) struct ByKind<P, E, R> {
    pub(super) path: P,
    pub(super) events: E,
    pub(super) requests: R,
}

impl<O, P, E, R> Service<Request<O>> for ByKind<P, E, R>
where
    O: Operation,
    P: Service<Request<O>> + Clone,
    E: Service<(P, Request<O>), Response = P::Response, Error = P::Error>,
    R: Service<(P, Request<O>), Response = P::Response, Error = P::Error>,
{
    type Response = P::Response;
    type Error = P::Error;
    type Future = Either<E::Future, R::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), P::Error>> {
        ready!(self.path.poll_ready(cx))?;
        ready!(self.events.poll_ready(cx))?;
        self.requests.poll_ready(cx)
    }

    fn call(&mut self, request: Request<O>) -> Self::Future {
        let next = self.path.clone();
        let ready = mem::replace(&mut self.path, next);
        match request.op.spec().kind {
            Kind::Event => Either::Left(self.events.call((ready, request))),
            Kind::Call | Kind::Query => Either::Right(self.requests.call((ready, request))),
        }
    }
}

/// Calls the ready service that comes with the request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readied;

impl<P, Req> Service<(P, Req)> for Readied
where
    P: Service<Req>,
{
    type Response = P::Response;
    type Error = P::Error;
    type Future = P::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), P::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (mut path, request): (P, Req)) -> P::Future {
        path.call(request)
    }
}
