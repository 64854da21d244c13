//! The direct path: the database itself, where it is known to be the right one.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::future::{self, BoxFuture, Either, Ready};
use tokio::sync::Mutex;
use tower::{Service, ServiceExt};

use crate::error::{Cause, Code, Error};
use crate::operation::Persist;
use crate::reply::Reply;
use crate::request::Request;
use crate::sql::{SqlxFuture, SqlxService};

/// The path on the database itself, which serves only as long as it is the database that the service on NATS
/// writes to: two paths to two databases would tear the channel's memory apart.
///
/// Until a database is given to it, and from the moment it is found to be another one, it refuses with class
/// `NotSent`.
pub struct Direct<O> {
    shared: Arc<Shared<O>>,
}

struct Shared<O> {
    database: OnceLock<SqlxService<O>>,
    another: AtomicBool,
    /// Opens it for the first operation that needs it; one at a time.
    opener: Option<Mutex<Opener<O>>>,
    /// Looks for it when the service on NATS names it.
    #[cfg(feature = "nats")]
    finder: Option<Mutex<Finder<O>>>,
}

type Opener<O> = Box<dyn FnMut() -> BoxFuture<'static, Result<SqlxService<O>, Cause>> + Send>;

#[cfg(feature = "nats")]
type Finder<O> = Box<dyn FnMut(String) -> BoxFuture<'static, Option<SqlxService<O>>> + Send>;

impl<O> Default for Shared<O> {
    fn default() -> Self {
        Self {
            database: OnceLock::new(),
            another: AtomicBool::new(false),
            opener: None,
            #[cfg(feature = "nats")]
            finder: None,
        }
    }
}

impl<O> Clone for Direct<O> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<O> fmt::Debug for Direct<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct")
            .field("open", &self.shared.database.get().is_some())
            .field("another", &self.shared.another)
            .finish()
    }
}

impl<O> Default for Direct<O> {
    fn default() -> Self {
        Self::closed()
    }
}

impl<O> Direct<O> {
    /// A path with no database yet.
    #[must_use]
    pub fn closed() -> Self {
        Self::with(Shared::default())
    }

    /// A path whose database is opened by the first operation that comes this way. What that fails with, the operation
    /// does; the next one tries again.
    #[must_use]
    pub fn when_needed<F>(opener: F) -> Self
    where
        F: FnMut() -> BoxFuture<'static, Result<SqlxService<O>, Cause>> + Send + 'static,
    {
        Self::with(Shared { opener: Some(Mutex::new(Box::new(opener))), ..Shared::default() })
    }

    /// A path whose database is looked for, by its id, whenever the service on NATS names it and this path has none: see
    /// [`guard`](Self::guard).
    #[cfg(feature = "nats")]
    #[must_use]
    pub fn when_named<F>(finder: F) -> Self
    where
        F: FnMut(String) -> BoxFuture<'static, Option<SqlxService<O>>> + Send + 'static,
    {
        Self::with(Shared { finder: Some(Mutex::new(Box::new(finder))), ..Shared::default() })
    }

    fn with(shared: Shared<O>) -> Self {
        Self { shared: Arc::new(shared) }
    }

    /// A path to this database.
    #[must_use]
    pub fn open(database: SqlxService<O>) -> Self {
        let direct = Self::closed();
        direct.provide(database);
        direct
    }

    /// Gives the path its database. The first one stays.
    pub fn provide(&self, database: SqlxService<O>) {
        // A second one is the same file opened again: the first serves.
        let _ = self.shared.database.set(database);
    }

    /// The database, if there is one.
    #[must_use]
    pub fn database(&self) -> Option<&SqlxService<O>> {
        self.shared.database.get()
    }
}

impl<O: Persist> Direct<O> {
    /// Follows the service on NATS for as long as that is watched: while it names another database than this
    /// path's, this path refuses, and says so once in the log.
    ///
    /// Spawns a task, so it must be called within a tokio runtime.
    #[cfg(feature = "nats")]
    pub fn guard(&self, mut status: tokio::sync::watch::Receiver<crate::nats::Status>) {
        let direct = self.clone();
        tokio::spawn(async move {
            loop {
                let (database, instance) = {
                    let status = status.borrow_and_update();
                    (status.database().map(str::to_owned), status.instance.clone())
                };
                if let Some(database) = database {
                    direct.find(&database).await;
                    let copy = direct.serves_a_copy(&database, instance.as_ref()).await;
                    direct.compare(&database, copy);
                }
                if status.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    /// Looks for the service's database, if there is none yet and it may be looked for.
    #[cfg(feature = "nats")]
    async fn find(&self, service: &str) {
        if let (None, Some(finder)) = (self.database(), &self.shared.finder)
            && let Some(found) = (finder.lock().await)(service.to_owned()).await
        {
            self.provide(found);
        }
    }

    /// Whether the instance that answers on NATS has another file open than this path: every instance is written down in
    /// its own. One that an older program runs is not, and says so.
    #[cfg(feature = "nats")]
    async fn serves_a_copy(&self, service: &str, instance: Option<&(String, i64)>) -> bool {
        let Some((own, (id, seen))) = self.database().filter(|own| own.database() == service).zip(instance)
        else {
            return false;
        };
        let written = tokio::time::timeout(std::time::Duration::from_secs(1), own.seen(id)).await;
        // What cannot be asked now is asked again with the next word of the service.
        matches!(written, Ok(Ok(known)) if known.is_none_or(|known| known < *seen))
    }

    #[cfg(feature = "nats")]
    fn compare(&self, service: &str, copy: bool) {
        let Some(own) = self.database() else { return };
        let another = copy || own.database() != service;
        if self.shared.another.swap(another, Ordering::Release) != another {
            if copy {
                tracing::error!(
                    file = own.shown(),
                    database = service,
                    "the database service on NATS has another file open than --database-url names, and both have the same \
                     id: one is a copy of the other. Operations go over NATS only; give both the same file"
                );
            } else if another {
                tracing::error!(
                    file = own.shown(),
                    database = own.database(),
                    service,
                    "the database service on NATS writes to another database than --database-url names: operations go \
                     over NATS only; give both the same file"
                );
            } else {
                tracing::info!(database = service, "both paths lead to the same database");
            }
        }
    }

    /// Why this path refuses; none, if it serves, or opens its database when it is needed.
    #[must_use]
    pub fn why_not(&self) -> Option<String> {
        match self.usable() {
            Ok(database) => database.trouble(),
            Err(_) if self.database().is_none() && self.shared.opener.is_some() => None,
            Err(Cause::Failed { message, .. }) => Some(message.into_owned()),
            Err(cause) => Some(cause.to_string()),
        }
    }

    fn usable(&self) -> Result<&SqlxService<O>, Cause> {
        if self.shared.another.load(Ordering::Acquire) {
            let why = "the database here is not the one that the service on NATS writes to";
            return Err(Cause::new(Code::UNAVAILABLE, why));
        }
        self.database().ok_or_else(|| {
            Cause::new(Code::UNAVAILABLE, "no database is open here; name one with --database-url")
        })
    }
}

impl<O: Persist> Direct<O> {
    /// The database that the opener brings; not twice, for whoever waits meanwhile.
    async fn opened(&self) -> Result<SqlxService<O>, Cause> {
        if let Some(opener) = &self.shared.opener {
            let mut opener = opener.lock().await;
            if self.database().is_none() {
                self.provide(opener().await?);
            }
        }
        self.usable().cloned()
    }
}

impl<O: Persist> Service<Request<O>> for Direct<O> {
    type Response = Reply<O::Answer>;
    type Error = Error<O>;
    type Future = Either<
        Either<SqlxFuture<O>, Ready<Result<Self::Response, Error<O>>>>,
        BoxFuture<'static, Result<Self::Response, Error<O>>>,
    >;

    /// Always ready, as [`SqlxService`] is.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<O>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<O>) -> Self::Future {
        if self.database().is_none() && self.shared.opener.is_some() {
            let direct = self.clone();
            return Either::Right(Box::pin(async move {
                match direct.opened().await {
                    Ok(service) => service.oneshot(request).await,
                    Err(cause) => Err(Error::new(cause, request)),
                }
            }));
        }
        Either::Left(match self.usable() {
            Ok(service) => Either::Left(service.clone().call(request)),
            Err(cause) => Either::Right(future::err(Error::new(cause, request))),
        })
    }
}
