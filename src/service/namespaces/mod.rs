//! Many namespaces in one process: each has a store and a service of its own, which begin when it is first asked for and end
//! when no client has needed them for a while. One that cannot be served refuses its own requests, with the reason; the others do
//! not notice.
//!
//! Until then a namespace costs one subscription of a connection that all of them share, and a task that waits.

mod host;
mod lifecycle;
mod list;
mod options;
mod pending_messages;
mod shared_connection;
mod states;

use tower::Layer;

pub use options::Namespaces;

use super::counters::Served;
use super::options::ServeError;
use crate::client::Stack;
use crate::nats::NatsOptions;
use crate::operation::Operation;
use crate::store::Stores;

/// Serves the namespaces of `stores` until `shutdown`; then each finishes what it took, as [`serve`](super::serve) does.
///
/// A namespace is **asked for** by a request, a client's ping, or a message that waits in its stream. What has come is held while
/// its store opens, and served then. A store is **closed** when no client has asked for `idle`: what was taken is committed and
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
    list::run(nats, stores, options, ready, shutdown).await
}
