//! How many namespaces a process serves, and what all of them may hold together.

use std::time::Duration;

use tower::layer::util::Identity;

use crate::service::options::ServiceOptions;
use crate::setters::setters;

/// How many namespaces are served, each by a service of its own.
///
/// What one of them may hold is bounded by `service`: `in_flight` operations of a subject and of the stream, `bytes` of requests. What
/// all of them hold together is bounded here. A namespace whose store hangs holds its own part and no more: half of `in_flight`
/// and of `bytes` is divided among `most_open`, and no other namespace takes of that.
#[derive(Clone, Debug)]
pub struct Namespaces<L = Identity> {
    pub(super) service: ServiceOptions<L>,
    pub(super) idle: Duration,
    pub(super) most_open: usize,
    pub(super) most: usize,
    pub(super) in_flight: usize,
    pub(super) bytes: usize,
}

impl Default for Namespaces {
    fn default() -> Self {
        Self::new(ServiceOptions::default())
    }
}

impl<L> Namespaces<L> {
    /// The usual bounds, and this service for each. Its namespace is not looked at.
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

    setters! {
        /// After how long without a request, a client's sign of life and a message of the stream a store is closed. A client
        /// that is connected gives a sign of life several times a second. Default: 10 min.
        idle: Duration,
        /// How many may be open at the same time. One more is refused, and idle ones close sooner then. Default: 256.
        most_open: usize,
        /// How many there may be, open or not. One more is not served, and an error in the log. Default: 1000.
        most: usize,
        /// How many operations all of them work on at once. Half of it is divided among `most_open`, two each at least, and
        /// no other namespace takes of that. Default: 4096.
        in_flight: usize,
        /// How many bytes the requests of all of them may need together. Default: 256 MiB.
        bytes: usize,
    }
}
