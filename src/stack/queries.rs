//! Where queries are read: over NATS like everything else, or from a database on the caller's host.

use std::task::{Context, Poll};

use futures_util::future::Either;
use tower::util::Oneshot;
use tower::{Service, ServiceExt};

use crate::operation::{Kind, Operation};
use crate::request::Request;

/// Which path queries take first; the other one serves when the first cannot. Calls and events always go over
/// NATS first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Queries {
    /// NATS first: the database work happens in the service's process.
    #[default]
    Nats,
    /// The database first: saves the round trip for a caller on the host of the file.
    Db,
}

/// A separate stack for queries, if there is one. All other requests, and queries without one, go to `rest`.
#[derive(Clone, Debug)]
pub(super) struct SplitQueries<R, Q> {
    rest: R,
    queries: Option<Q>,
}

impl<R, Q> SplitQueries<R, Q> {
    pub(super) const fn new(rest: R, queries: Option<Q>) -> Self {
        Self { rest, queries }
    }
}

impl<O, R, Q> Service<Request<O>> for SplitQueries<R, Q>
where
    O: Operation,
    R: Service<Request<O>> + Clone,
    Q: Service<Request<O>, Response = R::Response, Error = R::Error> + Clone,
{
    type Response = R::Response;
    type Error = R::Error;
    type Future = Either<R::Future, Oneshot<Q, Request<O>>>;

    /// The readiness of `rest`. The stack for queries is polled when a query comes: both share their paths,
    /// and a path of limited capacity must not reserve it twice.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), R::Error>> {
        self.rest.poll_ready(cx)
    }

    fn call(&mut self, request: Request<O>) -> Self::Future {
        match &self.queries {
            Some(queries) if request.op.spec().kind == Kind::Query => {
                let query = queries.clone().oneshot(request);
                // Releases what `rest` has reserved for this call.
                self.rest = self.rest.clone();
                Either::Right(query)
            }
            _ => Either::Left(self.rest.call(request)),
        }
    }
}
