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

pub use list::serve_namespaces;
pub use options::Namespaces;
