//! A path to a database service somewhere else.

use tokio::sync::watch;

use super::Path;
use crate::health::Health;
use crate::operation::Operation;
use crate::reply::Via;

/// How many answers came when their request was not waited for any more: it was served by another path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LateAnswers {
    /// Answers to events.
    pub events: u64,
    /// Answers to calls and queries.
    pub requests: u64,
}

/// A way to a database service: a `tower::Service` of requests that tells how it is. Over NATS it is
/// [`NatsService`](crate::nats::NatsService).
///
/// **`call`** answers once a path has taken responsibility: the operation is committed, or stored and going to be applied. Its
/// error's class says whether the operation may have taken effect ([`Error`](crate::Error)), and so whether it is tried on the
/// next path. It need not limit the time; the stack does. Dropping the future stops the waiting.
pub trait Bus<O: Operation>: Path<O> {
    /// The label of this path, as it is in its replies and its health.
    fn via(&self) -> Via;

    /// How it is, now and on every change: what it takes, why not, and which database it leads to. The channel closes with the
    /// bus. What it says decides when circuits close at once, and whether the store beside it is the same database.
    fn health(&self) -> watch::Receiver<Health>;

    /// The answers that come too late, now and on every change, if the bus still hears them. A bus that does shows that it is
    /// only slow; one that does not counts as silent while all its requests are hedged ([`Hedging`](super::Hedging)).
    fn late_answers(&self) -> Option<watch::Receiver<LateAnswers>> {
        None
    }
}
