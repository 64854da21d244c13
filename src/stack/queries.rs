//! Where queries are read: over NATS as everything else, or on the database that lies beside the caller.

use std::task::{Context, Poll};

use futures_util::future::Either;
use tower::util::Oneshot;
use tower::{Service, ServiceExt};

use crate::operation::{Kind, Operation};
use crate::request::Request;

/// Which path queries take first; the other one serves when it cannot. Calls and events always go over NATS first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Queries {
    /// NATS: the database works in a process of its own, whatever is asked.
    #[default]
    Nats,
    /// The database itself: no way there and back, for a caller beside the file.
    Db,
}

/// A way of their own for queries, if there is one; the rest, and without one everything, goes the other way.
#[derive(Clone, Debug)]
pub(super) struct Apart<R, Q> {
    rest: R,
    queries: Option<Q>,
}

impl<R, Q> Apart<R, Q> {
    pub(super) const fn new(rest: R, queries: Option<Q>) -> Self {
        Self { rest, queries }
    }
}

impl<O, R, Q> Service<Request<O>> for Apart<R, Q>
where
    O: Operation,
    R: Service<Request<O>> + Clone,
    Q: Service<Request<O>, Response = R::Response, Error = R::Error> + Clone,
{
    type Response = R::Response;
    type Error = R::Error;
    type Future = Either<R::Future, Oneshot<Q, Request<O>>>;

    /// Of the rest. The way of queries is made ready when one comes: the two share their paths, and a path that has
    /// little room must not be asked for it twice.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), R::Error>> {
        self.rest.poll_ready(cx)
    }

    fn call(&mut self, request: Request<O>) -> Self::Future {
        match &self.queries {
            Some(queries) if request.op.spec().kind == Kind::Query => {
                let query = queries.clone().oneshot(request);
                // What the rest had reserved for this call is given back.
                self.rest = self.rest.clone();
                Either::Right(query)
            }
            _ => Either::Left(self.rest.call(request)),
        }
    }
}
