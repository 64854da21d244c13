//! What a runtime can be given as its paths.

use std::fmt;
use std::path::PathBuf;

use super::builder::BuildError;
use crate::namespace::{Namespace, NamespaceError};
use crate::nats::{NatsOptions, NatsService};
use crate::operation::{Operation, Persist};
use crate::outbox::{OutboxOptions, OutboxService};
use crate::sql::{SqliteOptions, SqlxService};
use crate::stack::Direct;

macro_rules! from {
    ($($path:ident: $from:ty => $how:expr;)+) => {
        $(impl<O> From<$from> for $path<O> {
            fn from(given: $from) -> Self {
                Self($how(given))
            }
        })+
    };
}

/// The path over NATS: an address, [`NatsOptions`], or a [`NatsService`] that connects already.
pub struct NatsPath<O>(Nats<O>);

enum Nats<O> {
    Options(NatsOptions),
    Service(NatsService<O>),
}

/// The store: an address (`sqlite://rosey.db`), [`SqliteOptions`], a [`SqlxService`] that is open already, or a [`Direct`]
/// that opens one later.
pub struct StorePath<O>(Store<O>);

enum Store<O> {
    Address(String),
    Options(SqliteOptions),
    Path(Direct<O>),
}

/// The outbox: a file, [`OutboxOptions`], an [`OutboxService`] that is open already, or an `Option` of one.
pub struct OutboxPath<O>(Outbox<O>);

enum Outbox<O> {
    Options(OutboxOptions),
    Service(Option<OutboxService<O>>),
}

from! {
    NatsPath: &str => |url: &str| Nats::Options(NatsOptions::new(url));
    NatsPath: String => |url: String| Nats::Options(NatsOptions::new(url));
    NatsPath: NatsOptions => Nats::Options;
    NatsPath: NatsService<O> => Nats::Service;
    StorePath: &str => |address: &str| Store::Address(address.to_owned());
    StorePath: String => Store::Address;
    StorePath: SqliteOptions => Store::Options;
    StorePath: SqlxService<O> => |open| Store::Path(Direct::open(open));
    StorePath: Direct<O> => Store::Path;
    OutboxPath: &str => |file: &str| Outbox::Options(OutboxOptions::new(file));
    OutboxPath: PathBuf => |file: PathBuf| Outbox::Options(OutboxOptions::new(file));
    OutboxPath: OutboxOptions => Outbox::Options;
    OutboxPath: OutboxService<O> => |open| Outbox::Service(Some(open));
    OutboxPath: Option<OutboxService<O>> => Outbox::Service;
}

impl<O: Operation> NatsPath<O> {
    /// In this namespace, or in its own if this is none.
    pub(super) async fn open(self, namespace: &Namespace) -> Result<NatsService<O>, BuildError> {
        match self.0 {
            Nats::Options(options) => {
                let namespace = namespace.or(&options.namespace)?;
                Ok(NatsService::connect(options.namespace(namespace)).await?)
            }
            Nats::Service(service) if namespace.is_none() || service.namespace() == namespace => Ok(service),
            Nats::Service(service) => Err(NamespaceError::Two {
                one: namespace.to_string(),
                other: service.namespace().to_string(),
            }
            .into()),
        }
    }
}

impl<O: Persist> StorePath<O> {
    pub(super) async fn open(self) -> Result<Direct<O>, BuildError> {
        let options = match self.0 {
            Store::Address(address) => SqliteOptions::new(&address)?,
            Store::Options(options) => options,
            Store::Path(direct) => return Ok(direct),
        };
        Ok(Direct::open(SqlxService::open(&options).await?))
    }
}

impl<O: Operation> OutboxPath<O> {
    pub(super) async fn open(self) -> Result<Option<OutboxService<O>>, BuildError> {
        Ok(match self.0 {
            Outbox::Options(options) => Some(OutboxService::open(&options).await?),
            Outbox::Service(service) => service,
        })
    }
}

macro_rules! debug {
    ($($path:ident)+) => {
        $(impl<O> fmt::Debug for $path<O> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($path)).finish_non_exhaustive()
            }
        })+
    };
}

debug! { NatsPath StorePath OutboxPath }
