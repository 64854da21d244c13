//! For the macros of this crate and the other packages of its repository. It is no part of the public interface and changes
//! without notice.

pub use crate::operation::definition::{decode, decode_json, encode, encode_json};
pub use crate::operation::validate::validate_set;

/// The headers and bodies of the wire.
#[cfg(feature = "nats")]
pub mod wire {
    pub use crate::nats::wire::*;
}

/// The parts of an address.
#[cfg(feature = "nats")]
pub mod address {
    pub use crate::nats::address::{bare, login};
}

/// A connection for a look at a server.
#[cfg(feature = "nats")]
pub mod connecting {
    pub use crate::nats::connect::once;
}

/// Bundles of operations.
#[cfg(feature = "nats")]
pub mod bundle {
    pub use crate::nats::bundle::operations::{Entry, read};
    pub use crate::nats::names::is_of_stored_bundles as is_stored;
}

/// How a stream names its database.
#[cfg(feature = "nats")]
pub mod stored {
    pub use crate::nats::stored::*;
}

/// Messages that end a connection.
#[cfg(all(feature = "nats", feature = "sqlite"))]
pub mod unreadable {
    pub use crate::nats::unreadable::*;
}

/// The SQL that runs, for benches and tests that look at it from outside.
#[cfg(feature = "sqlite")]
pub mod shown {
    pub use crate::sql::batch::shown::*;
}
