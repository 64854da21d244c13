//! Many namespaces in one process: each has a store and a service of its own, which begin when it is first asked for and end
//! when nobody has needed them for a while. One that cannot be served refuses its own requests, with the reason; the others do
//! not notice.
//!
//! Until then a namespace costs one subscription of a connection that all of them share, and a task that waits.

mod course;
mod door;
mod held;
mod host;
mod states;

use std::time::Duration;

use tower::Layer;
use tower::layer::util::Identity;

use super::counters::Served;
use super::options::{ServeError, ServiceOptions};
use crate::client::Stack;
use crate::nats::NatsOptions;
use crate::operation::Operation;
use crate::store::Stores;

/// How many namespaces are served, each by a service of its own.
///
/// What one of them may hold is bounded by `service`: `in_flight` operations of a subject and of the stream, `bytes` of requests. What
/// all of them hold together is bounded here. A namespace whose store hangs holds its own part and no more: half of `in_flight`
/// and of `bytes` is divided among `most_open`, and nobody else takes of that.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Namespaces<L = Identity> {
    /// How each of them is served. Its namespace is not looked at.
    pub service: ServiceOptions<L>,
    /// After how long without a request, a client's sign of life and a message of the stream a store is closed; 10 min. A client
    /// that is connected gives a sign of life several times a second.
    pub idle: Duration,
    /// How many may be open at the same time; 256. One more is refused, and those that nobody needs close sooner then.
    pub most_open: usize,
    /// How many there may be, open or not; 1000. One more is not served, and an error in the log.
    pub most: usize,
    /// How many operations all of them work on at once; 4096. Half of it is divided among `most_open`, two each at least, and nobody
    /// else takes of that.
    pub in_flight: usize,
    /// How many bytes the requests of all of them may need together; 256 MiB.
    pub bytes: usize,
}

impl Default for Namespaces {
    fn default() -> Self {
        Self::new(ServiceOptions::default())
    }
}

impl<L> Namespaces<L> {
    /// The usual bounds, and this service for each.
    pub const fn new(service: ServiceOptions<L>) -> Self {
        Self {
            service,
            idle: Duration::from_secs(600),
            most_open: 256,
            most: 1000,
            in_flight: 4096,
            bytes: 256 << 20,
        }
    }
}

/// Serves the namespaces of `stores` until `shutdown`; then each finishes what it took, as [`serve`](super::serve) does.
///
/// A namespace is **asked for** by a request, a client's ping, or a message that waits in its stream. What has come is held while
/// its store opens, and served then. A store is **closed** when nobody has asked for `idle`: what was taken is committed and
/// answered first, the file and its locks are given back, and the next request opens it again.
///
/// A store that does not open, or a service that must not start there, is tried again for as long as it is asked for, with a pause of 1 s
/// that grows to 30 s. Requests are refused with the reason meanwhile (`unavailable`, so that clients take another path); what a
/// stream holds waits.
///
/// `ready` is called once, when all that are listed can be asked for. Waits for a server for as long as that takes.
///
/// # Errors
/// An address or credentials that cannot be read, or a prefix of reply subjects that cannot be answered to.
pub async fn serve_namespaces<O, S, L>(
    nats: NatsOptions,
    stores: S,
    options: Namespaces<L>,
    ready: impl FnOnce() + Send,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<Served, ServeError>
where
    O: Operation,
    S: Stores<O>,
    L: Layer<S::Store, Service: Stack<O>> + Clone + Send + Sync + 'static,
{
    host::run(nats, stores, options, ready, shutdown).await
}
