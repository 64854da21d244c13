//! Old answers to queries that no path answers.

use std::time::Duration;

use eitherway_layers::StaleLayer;
use eitherway_layers::stale::Keep;

use crate::operation::{Kind, Operation};
use crate::reply::{Ack, Reply, Via};
use crate::request::Request;

/// The layer that keeps the answers to queries of `O` for so long.
pub(super) type StaleQueries<O> = StaleLayer<Queried, Key, Reply<<O as Operation>::Answer>>;

pub(super) fn stale_queries<O: Operation>(max_age: Duration) -> StaleQueries<O> {
    StaleLayer::new(Queried).max_age(max_age)
}

/// Keeps the answers to queries, and to nothing else, because calls and events change something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queried;

/// The index of a query and its payload: all that its answer depends on, beside the database.
pub(super) type Key = (usize, Vec<u8>);

impl<O: Operation> Keep<Request<O>, Reply<O::Answer>> for Queried {
    type Key = Key;

    fn key(&self, request: &Request<O>) -> Option<Key> {
        let is_query = request.op.spec().kind == Kind::Query;
        is_query
            .then(|| request.op.payload().ok())
            .flatten()
            .map(|payload| (request.op.index(), payload.to_vec()))
    }

    /// As many as the answer has when it is encoded. One that cannot be encoded is not kept.
    fn bytes(&self, reply: &Reply<O::Answer>) -> usize {
        O::encode_answer(reply.answer.clone()).map_or(usize::MAX, |bytes| bytes.len())
    }

    fn mark(&self, reply: &mut Reply<O::Answer>, age: Duration) {
        (reply.via, reply.ack) = (Via::STALE, Ack::Stale { age });
    }
}
