//! What a runtime can be given as its paths.

use std::fmt;
use std::future::{Future, ready};
use std::path::PathBuf;

use futures_util::future::BoxFuture;

use super::error::BuildError;
use crate::namespace::{Namespace, NamespaceError};
use crate::nats::{NatsOptions, NatsService};
use crate::operation::{Operation, Persist};
use crate::outbox::{OutboxError, OutboxOptions, OutboxService};
#[cfg(feature = "postgres")]
use crate::postgres::PostgresOptions;
use crate::sql::{SqlService, SqliteOptions};
use crate::stack::GuardedStore;
use crate::store::Store;

/// What the bus of a runtime is made of: [`NatsPath`] or [`Connected`].
pub trait Opens {
    /// The bus.
    type Path;

    /// The namespace that it is in by itself.
    fn namespace(&self) -> Namespace {
        Namespace::none()
    }

    /// Connects in this namespace, and does not wait for a server.
    ///
    /// # Errors
    /// When what it is given cannot be read, or names another namespace.
    fn open(self, namespace: &Namespace) -> impl Future<Output = Result<Self::Path, BuildError>> + Send;
}

/// A bus that connects already.
#[derive(Clone, Copy, Debug)]
pub struct Connected<B>(pub(super) B);

impl<B: Send> Opens for Connected<B> {
    type Path = B;

    /// Which namespace it is in is its own matter.
    async fn open(self, _: &Namespace) -> Result<B, BuildError> {
        Ok(self.0)
    }
}

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
    Options(Box<NatsOptions>),
    Service(NatsService<O>),
}

/// The store: an address (`sqlite://shop.db`), [`SqliteOptions`], a [`SqlService`] that is open already, or a [`GuardedStore`]
/// to any other one, open or opened later.
///
/// `D` is the store's type.
pub struct StorePath<O, D = SqlService<O>>(Opener<O, D>);

/// Opens a store for a namespace.
type Opener<O, D> =
    Box<dyn FnOnce(Namespace) -> BoxFuture<'static, Result<GuardedStore<O, D>, BuildError>> + Send>;

/// The outbox: a file, [`OutboxOptions`], an [`OutboxService`] that is open already, or an `Option` of one.
pub struct OutboxPath<O>(Outbox<O>);

enum Outbox<O> {
    Options(OutboxOptions),
    Service(Option<OutboxService<O>>),
}

from! {
    NatsPath: &str => |url: &str| Nats::Options(NatsOptions::new(url).into());
    NatsPath: String => |url: String| Nats::Options(NatsOptions::new(url).into());
    NatsPath: NatsOptions => |options: NatsOptions| Nats::Options(options.into());
    NatsPath: NatsService<O> => Nats::Service;
    OutboxPath: &str => |file: &str| Outbox::Options(OutboxOptions::new(file));
    OutboxPath: String => |file: String| Outbox::Options(OutboxOptions::new(file));
    OutboxPath: PathBuf => |file: PathBuf| Outbox::Options(OutboxOptions::new(file));
    OutboxPath: OutboxOptions => Outbox::Options;
    OutboxPath: OutboxService<O> => |open| Outbox::Service(Some(open));
    OutboxPath: Option<OutboxService<O>> => Outbox::Service;
}

impl<O: Persist> From<&str> for StorePath<O> {
    fn from(address: &str) -> Self {
        address.to_owned().into()
    }
}

impl<O: Persist> From<String> for StorePath<O> {
    fn from(address: String) -> Self {
        Self::by(|namespace| async move { Ok(GuardedStore::open(open_in(&address, &namespace).await?)) })
    }
}

#[cfg(feature = "postgres")]
impl<O: Persist> From<PostgresOptions> for StorePath<O> {
    fn from(options: PostgresOptions) -> Self {
        Self::by(|namespace| async move { Ok(GuardedStore::open(postgres(options, &namespace).await?)) })
    }
}

impl<O: Persist> From<SqliteOptions> for StorePath<O> {
    fn from(options: SqliteOptions) -> Self {
        Self::by(|_| async move { Ok(GuardedStore::open(SqlService::open(&options).await?)) })
    }
}

impl<O: Persist> From<SqlService<O>> for StorePath<O> {
    fn from(open: SqlService<O>) -> Self {
        GuardedStore::open(open).into()
    }
}

impl<O: Operation, D: Store<O>> From<GuardedStore<O, D>> for StorePath<O, D> {
    fn from(direct: GuardedStore<O, D>) -> Self {
        Self::by(|_| ready(Ok(direct)))
    }
}

/// Opens the database at an address, `sqlite://shop.db` or `postgres://HOST/DATABASE`, with the usual options: what a
/// [service](crate::service) serves.
///
/// # Errors
/// When the address cannot be read, or the database cannot be opened.
pub async fn open_store<O: Persist>(address: &str) -> Result<SqlService<O>, BuildError> {
    open_in(address, &Namespace::none()).await
}

#[cfg_attr(not(feature = "postgres"), expect(unused_variables, reason = "a file is of one namespace"))]
async fn open_in<O: Persist>(address: &str, namespace: &Namespace) -> Result<SqlService<O>, BuildError> {
    #[cfg(feature = "postgres")]
    if PostgresOptions::is_address(address) {
        return postgres(PostgresOptions::new(address)?, namespace).await;
    }
    Ok(SqlService::open(&SqliteOptions::new(address)?).await?)
}

#[cfg(feature = "postgres")]
async fn postgres<O: Persist>(
    options: PostgresOptions,
    namespace: &Namespace,
) -> Result<SqlService<O>, BuildError> {
    let namespace = namespace.or(&options.namespace)?;
    Ok(SqlService::open_postgres(&options.namespace(namespace)).await?)
}

impl<O: Operation> Opens for NatsPath<O> {
    type Path = NatsService<O>;

    fn namespace(&self) -> Namespace {
        match &self.0 {
            Nats::Options(options) => options.namespace.clone(),
            Nats::Service(service) => service.namespace().clone(),
        }
    }

    // In this namespace, or in its own if this is none.
    async fn open(self, namespace: &Namespace) -> Result<NatsService<O>, BuildError> {
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

impl<O, D> StorePath<O, D> {
    fn by<F>(open: impl FnOnce(Namespace) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<GuardedStore<O, D>, BuildError>> + Send + 'static,
    {
        Self(Box::new(|namespace| Box::pin(open(namespace))))
    }

    /// Opens it. On PostgreSQL, this namespace has a schema of its own.
    pub(super) async fn open(self, namespace: &Namespace) -> Result<GuardedStore<O, D>, BuildError> {
        (self.0)(namespace.clone()).await
    }
}

impl<O, D> fmt::Debug for StorePath<O, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorePath").finish_non_exhaustive()
    }
}

impl<O: Operation> OutboxPath<O> {
    /// Opens it for this namespace, and for no other.
    pub(super) async fn open(self, wanted: &Namespace) -> Result<Option<OutboxService<O>>, BuildError> {
        let outbox = match self.0 {
            Outbox::Options(mut options) => {
                options.namespace.get_or_insert_with(|| wanted.clone());
                Some(OutboxService::open(&options).await?)
            }
            Outbox::Service(service) => service,
        };
        match outbox {
            Some(outbox) if outbox.namespace() != wanted => {
                let (path, kept) = (outbox.path().to_owned(), outbox.namespace().clone());
                outbox.close().await;
                Err(OutboxError::Namespace { path, kept, wanted: wanted.clone() }.into())
            }
            outbox => Ok(outbox),
        }
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

debug! { NatsPath OutboxPath }
