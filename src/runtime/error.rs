//! Why a runtime was not built.

use crate::namespace::NamespaceError;
use crate::nats::ConnectError;
use crate::outbox::OutboxError;
use crate::sql::OpenError;

/// Why a runtime was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// It was given nothing that could serve.
    #[error("a runtime needs a path: name a NATS server (`nats`), a database (`store`), or both")]
    NoPath,
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The outbox cannot be opened.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The NATS address or the credentials cannot be read.
    #[error(transparent)]
    Nats(#[from] ConnectError),
    /// The path over NATS is in another namespace.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
}
