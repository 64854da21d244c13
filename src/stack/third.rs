//! The stack with a third path: the outbox.

use rosey_layers::fallback::{ByClass, Repeat, RepeatRule};
use rosey_layers::{Fallback, LogLayer, MetricsLayer, TimeoutLayer};
use tower::ServiceBuilder;

use super::{Circuits, Path, Paths, StackBuilder};
use crate::client::Stack;
use crate::operation::{Kind, Operation};
use crate::reply::Via;
use crate::request::Request;

/// Only events go on to the third path. Calls and queries are not offered to it, so that their error is that
/// of the paths that could have served them.
#[derive(Clone, Copy, Debug)]
struct EventsOnly;

impl<O: Operation> RepeatRule<Request<O>> for EventsOnly {
    fn repeat(&self, request: &Request<O>) -> Repeat {
        match request.op.spec().kind {
            // Even if the event may have taken effect already: the ledger knows its id.
            Kind::Event => Repeat::Always,
            Kind::Call | Kind::Query => Repeat::Never,
        }
    }
}

impl StackBuilder {
    /// Builds the stack over two paths with an outbox for events that neither takes. Returns that stack, the
    /// same two paths without the outbox for its replay, and the handles of their circuits.
    ///
    /// A refused event (class `Rejected`) never goes to the outbox. The replay's stack does not limit
    /// operations in flight, because the replayer does, and logs and counts as `[REPLAY]`.
    pub fn build_with_outbox<O, P, S, X>(
        &self,
        nats: P,
        db: S,
        outbox: X,
    ) -> (impl Stack<O> + use<O, P, S, X>, impl Stack<O> + use<O, P, S, X>, Circuits)
    where
        O: Operation,
        P: Path<O>,
        S: Path<O>,
        X: Path<O>,
    {
        let (paths, circuits) = self.both(nats, db);
        (self.total(self.third(paths.clone(), outbox)), self.replay(paths), circuits)
    }

    /// The same over the database alone: the stack with an outbox, and the path without it.
    pub fn build_direct_with_outbox<O, S, X>(
        &self,
        db: S,
        outbox: X,
    ) -> (impl Stack<O> + use<O, S, X>, impl Stack<O> + use<O, S, X>)
    where
        O: Operation,
        S: Path<O>,
        X: Path<O>,
    {
        let path = self.direct(db);
        (self.total(self.third(path.clone(), outbox)), self.replay(path))
    }

    /// The paths, with the outbox and its layers behind them.
    fn third<O, S, X>(&self, paths: S, outbox: X) -> impl Paths<O> + use<O, S, X>
    where
        O: Operation,
        S: Paths<O>,
        X: Path<O>,
    {
        let outbox = ServiceBuilder::new()
            .layer(LogLayer::new(Via::Outbox.tag()))
            .layer(MetricsLayer::new(Via::Outbox.as_str()).prefix(self.prefix))
            // A disk that hangs must not hold a caller longer than a database that hangs.
            .layer(TimeoutLayer::new(self.db_timeout))
            .service(outbox);
        Fallback::new(paths, outbox, ByClass::new().repeat(EventsOnly))
    }

    fn replay<O: Operation, S: Paths<O>>(&self, paths: S) -> impl Stack<O> + use<O, S> {
        ServiceBuilder::new()
            .layer(LogLayer::new("[REPLAY]"))
            .layer(MetricsLayer::new("replay").prefix(self.prefix))
            .service(paths)
    }
}
