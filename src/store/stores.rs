//! Where the stores of many namespaces come from.

use std::future::{Future, ready};

use super::Store;
use crate::namespace::Namespace;
use crate::operation::Operation;

/// The stores of namespaces, for a service that opens each when it is first asked for and closes it when no client needs it:
/// [`service::serve_namespaces`](crate::service::serve_namespaces).
pub trait Stores<O: Operation>: Send + Sync + 'static {
    /// One of them.
    type Store: Store<O>;

    /// The namespaces that there are now, asked again and again: one that is missing is not served any more.
    ///
    /// # Errors
    /// Why they cannot be told. What was served stays.
    fn list(&self) -> impl Future<Output = Result<Vec<Namespace>, String>> + Send;

    /// Opens the store of one. Never called for one that is open.
    ///
    /// **Cancel safety**: nothing stays open of a future that is dropped.
    ///
    /// # Errors
    /// Why it cannot be opened, as a sentence. It is tried again when the namespace is asked for, with a growing pause.
    fn open(&self, namespace: &Namespace) -> impl Future<Output = Result<Self::Store, String>> + Send;

    /// Whether opening would create the store, or change it beyond its operations: not for a service that must not start.
    fn is_to_come(&self, namespace: &Namespace) -> impl Future<Output = bool> + Send {
        let _ = namespace;
        ready(false)
    }

    /// Whether a name that is asked for and not listed becomes a namespace.
    fn creates(&self) -> bool {
        false
    }
}
