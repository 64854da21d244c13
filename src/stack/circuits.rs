//! Two circuits over one path: events may have a living stream to go to while nobody answers calls and queries, and must
//! not be kept from it by them.

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

/// A path for events and a path for the rest. Ready when both are: which one a request takes is not known before it comes.
#[derive(Clone, Debug)]
pub(super) struct ByKind<E, R> {
    pub(super) events: E,
    pub(super) requests: R,
}

impl<O, E, R> Service<Request<O>> for ByKind<E, R>
where
    O: Operation,
    E: Service<Request<O>>,
    R: Service<Request<O>, Response = E::Response, Error = E::Error>,
{
    type Response = E::Response;
    type Error = E::Error;
    type Future = Either<E::Future, R::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E::Error>> {
        ready!(self.events.poll_ready(cx))?;
        self.requests.poll_ready(cx)
    }

    fn call(&mut self, request: Request<O>) -> Self::Future {
        match request.op.spec().kind {
            Kind::Event => Either::Left(self.events.call(request)),
            Kind::Call | Kind::Query => Either::Right(self.requests.call(request)),
        }
    }
}
