//! Two circuits over one path: events may have a living stream to go to while nobody answers calls and queries, and must
//! not be kept from it by them.

use std::mem;
use std::task::{Context, Poll, ready};

use futures_util::future::Either;
use rosey_layers::breaker::Handle;
use tower::Service;

use crate::operation::{Kind, Operation};
use crate::request::Request;

/// The circuits of a stack.
#[derive(Clone, Debug)]
pub struct Circuits {
    /// Of events.
    pub events: Handle,
    /// Of calls and queries.
    pub requests: Handle,
}

impl Circuits {
    /// The one of this kind of operation.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> &Handle {
        match kind {
            Kind::Event => &self.events,
            Kind::Call | Kind::Query => &self.requests,
        }
    }

    /// Follows what is known on NATS for as long as that is watched: whoever is found again is tried at once, whatever
    /// his circuit had seen before. Without it a circuit closes on its own probe, some hundred milliseconds later.
    ///
    /// Spawns a task, so it must be called within a tokio runtime.
    #[cfg(feature = "nats")]
    pub fn follow(&self, mut status: tokio::sync::watch::Receiver<crate::nats::Status>) {
        let circuits = self.clone();
        tokio::spawn(async move {
            while status.changed().await.is_ok() {
                for kind in [Kind::Event, Kind::Query] {
                    if status.borrow().takes(kind) {
                        circuits.of(kind).set_healthy(true);
                    }
                }
            }
        });
    }
}

/// One path behind two circuits. It is made ready once for whichever request comes, and goes with the request through
/// the circuit of its kind: two instances of it, both ready for a request that only one of them gets, would be twice the
/// room in a path that has little.
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

/// Calls the service that comes with the request, which is ready.
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
