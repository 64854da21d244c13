//! The third path of the stack: the outbox.

use eitherway_layers::fallback::{ByClass, Idempotency, IdempotencyRule};
use eitherway_layers::{FallbackError, Hedge, LogLayer, MetricsLayer, TimeoutLayer};
use tower::ServiceBuilder;

use super::hedging::ToOutbox;
use super::{Hedges, Path, Paths, SpanLayer, StackBuilder};
use crate::client::Stack;
use crate::error::Error;
use crate::operation::{Kind, Operation};
use crate::reply::Via;
use crate::request::Request;

/// Only events go on to the third path. Calls and queries are not offered to it, so that their error is that
/// of the paths that could have served them.
#[derive(Clone, Copy, Debug)]
struct EventsOnly;

impl<O: Operation> IdempotencyRule<Request<O>> for EventsOnly {
    fn repeat(&self, request: &Request<O>) -> Idempotency {
        match request.op.spec().kind {
            // Even if the event may have taken effect already: the ledger knows its id.
            Kind::Event => Idempotency::Always,
            Kind::Call | Kind::Query => Idempotency::Never,
        }
    }

    fn copy(&self, request: &mut Request<O>) -> Option<Request<O>> {
        Some(request.clone())
    }
}

impl StackBuilder {
    /// The paths, with the outbox and its layers behind them.
    pub(super) fn with_outbox<O, S, X>(
        &self,
        paths: S,
        outbox: X,
        hedges: Hedges,
    ) -> impl Paths<O, Error = FallbackError<S::Error, Error<O>>> + use<O, S, X>
    where
        O: Operation,
        S: Paths<O>,
        X: Path<O>,
    {
        let outbox = ServiceBuilder::new()
            .layer(SpanLayer::path(Via::OUTBOX))
            .layer(LogLayer::new(Via::OUTBOX.tag()).share_clock())
            .layer(MetricsLayer::new(Via::OUTBOX.as_str()).prefix(self.metrics_prefix))
            // A disk that hangs must not hold a caller longer than a database that hangs.
            .layer(TimeoutLayer::new(self.db_timeout))
            .service(outbox);
        Hedge::new(paths, outbox, ByClass::new().repeat(EventsOnly), ToOutbox(hedges))
    }

    /// The paths as the replay of an outbox needs them.
    pub(super) fn replay<O: Operation, S: Paths<O>>(
        &self,
        paths: S,
        hedges: Hedges,
    ) -> impl Stack<O> + use<O, S> {
        ServiceBuilder::new()
            .layer(SpanLayer::REPLAY)
            .layer(LogLayer::new("[REPLAY]"))
            .layer(MetricsLayer::new("replay").prefix(self.metrics_prefix))
            .map_response(move |reply| {
                hedges.replayed();
                reply
            })
            .service(paths)
    }
}
