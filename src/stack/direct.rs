//! The direct path: the database itself, guarded against being the wrong one.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::future::{self, BoxFuture, Either, Ready};
use tokio::sync::Mutex;
use tower::util::Oneshot;
use tower::{Service, ServiceExt};

use super::service_database::{ServiceDatabase, is_of_a_copy};
use crate::error::{Cause, Code, Error};
use crate::hints::option;
use crate::operation::Operation;
use crate::reply::Reply;
use crate::request::Request;
use crate::sql::SqlService;
use crate::store::Store;

/// The path to the database itself. It serves only while this is the database that the service on NATS writes
/// to: two paths to two databases would split the channel's data between them.
///
/// It refuses with class `NotSent` until it has a database, and while the service names another one.
pub struct GuardedStore<O, D = SqlService<O>> {
    shared: Arc<Shared<D>>,
    operation: PhantomData<fn(O)>,
}

struct Shared<D> {
    database: OnceLock<D>,
    /// How its file relates to the file of the service: one of the three below.
    verdict: AtomicU8,
    /// Called after every change of the verdict to one of the wrong ones.
    wrong: parking_lot::Mutex<Vec<Box<dyn Fn() + Send + Sync>>>,
    words: ServiceDatabase,
    /// Opens the database for the first operation that needs it; one attempt at a time.
    opener: Option<Mutex<Opener<D>>>,
    /// Looks for the database when the service on NATS names it.
    finder: Option<Mutex<Finder<D>>>,
}

/// Nothing is known against it.
const RIGHT: u8 = 0;
/// The service writes to a database with another id.
const ANOTHER: u8 = 1;
/// The service writes to another file, and both have the same id.
const COPY: u8 = 2;

/// The option that names the database of this path.
const DATABASE: &str = "database-url";

/// How often a file that is not the right one is compared again.
const AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

type Opener<D> = Box<dyn FnMut() -> BoxFuture<'static, Result<D, Cause>> + Send>;

type Finder<D> = Box<dyn FnMut(String) -> BoxFuture<'static, Option<D>> + Send>;

impl<D> Default for Shared<D> {
    fn default() -> Self {
        Self {
            database: OnceLock::new(),
            verdict: AtomicU8::new(RIGHT),
            wrong: parking_lot::Mutex::default(),
            words: ServiceDatabase::default(),
            opener: None,
            finder: None,
        }
    }
}

impl<O, D> Clone for GuardedStore<O, D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), operation: PhantomData }
    }
}

impl<O, D> fmt::Debug for GuardedStore<O, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedStore")
            .field("open", &self.shared.database.get().is_some())
            .field("right", &(self.shared.verdict.load(Ordering::Acquire) == RIGHT))
            .finish()
    }
}

impl<O> Default for GuardedStore<O> {
    fn default() -> Self {
        Self::closed()
    }
}

impl<O> GuardedStore<O> {
    /// A path without a database.
    #[must_use]
    pub fn closed() -> Self {
        Self::without()
    }
}

impl<O, D> GuardedStore<O, D> {
    /// As [`closed`](GuardedStore::closed), for any store.
    pub(crate) fn without() -> Self {
        Self::with(Shared::default())
    }

    /// A path whose database is opened by the first operation that takes it. If opening fails, the operation
    /// fails with the same error, and the next operation tries again.
    #[must_use]
    pub fn when_needed<F>(opener: F) -> Self
    where
        F: FnMut() -> BoxFuture<'static, Result<D, Cause>> + Send + 'static,
    {
        Self::with(Shared { opener: Some(Mutex::new(Box::new(opener))), ..Shared::default() })
    }

    /// A path whose database is looked for, by its id, whenever the service on NATS names it and this path has none: see
    /// [`guard`](Self::guard). A copy that is found is refused like any other.
    #[must_use]
    pub fn when_named<F>(finder: F) -> Self
    where
        F: FnMut(String) -> BoxFuture<'static, Option<D>> + Send + 'static,
    {
        Self::with(Shared { finder: Some(Mutex::new(Box::new(finder))), ..Shared::default() })
    }

    fn with(shared: Shared<D>) -> Self {
        Self { shared: Arc::new(shared), operation: PhantomData }
    }

    /// A path to this database.
    #[must_use]
    pub fn open(database: D) -> Self {
        let direct = Self::without();
        direct.provide(database);
        direct
    }

    /// Gives the path its database. The first one stays.
    pub fn provide(&self, database: D) {
        // A second one is the same file opened again, so the first one stays.
        let _ = self.shared.database.set(database);
    }

    /// What is to be done when this path turns out to lead to the wrong database, and what it has answered does not count any
    /// more: see [`StaleAnswers`](super::StaleAnswers). Called where the path is compared, and after all that was set before.
    pub fn when_wrong(&self, then: impl Fn() + Send + Sync + 'static) {
        self.shared.wrong.lock().push(Box::new(then));
    }

    /// The database, if there is one.
    #[must_use]
    pub fn database(&self) -> Option<&D> {
        self.shared.database.get()
    }
}

impl<O: Operation, D: Store<O>> GuardedStore<O, D> {
    /// Watches the service on NATS until the channel closes: while the service names another database than
    /// this path's, or has a copy of its file open, this path refuses, and logs that once.
    ///
    /// While it has none, a path that looks for its database ([`when_named`](Self::when_named)) does so. Spawns a task, so it
    /// must be called within a tokio runtime.
    pub fn guard(&self, mut bus: tokio::sync::watch::Receiver<crate::health::Health>) {
        let direct = self.clone();
        direct.shared.words.watch(bus.clone());
        tokio::spawn(async move {
            loop {
                let database = bus.borrow_and_update().database.as_ref().map(|database| database.id.clone());
                if let Some(database) = database {
                    direct.find(database).await;
                    direct.judge().await;
                }
                // The file may become the right one without a word of the service.
                let wrong = direct.shared.verdict.load(Ordering::Acquire) != RIGHT;
                tokio::select! {
                    changed = bus.changed() => if changed.is_err() { return },
                    () = tokio::time::sleep(AGAIN), if wrong => {}
                }
            }
        });
    }

    /// Looks for the service's database, if there is none yet and it may be looked for.
    async fn find(&self, service: String) {
        if let (None, Some(finder)) = (self.database(), &self.shared.finder)
            && let Some(found) = (finder.lock().await)(service).await
        {
            self.admit(found).await;
        }
    }

    /// Gives the path a database that was opened just now, and compares it before anything is written to it.
    pub async fn admit(&self, database: D) {
        self.compare(&database).await;
        self.provide(database);
    }

    /// Compares the file of this path with what the service says of its own now. What cannot be told leaves the verdict as it
    /// was.
    pub async fn judge(&self) {
        if let Some(own) = self.database() {
            self.compare(own).await;
        }
    }

    async fn compare(&self, own: &D) {
        let Some(said) = self.shared.words.last() else { return };
        let verdict = if own.id() == said.id {
            match is_of_a_copy(&said, own).await {
                Some(true) => COPY,
                Some(false) => RIGHT,
                None => return,
            }
        } else {
            ANOTHER
        };
        let before = self.shared.verdict.swap(verdict, Ordering::AcqRel);
        if before == verdict {
            return;
        }
        if verdict != RIGHT {
            self.shared.wrong.lock().iter().for_each(|then| then());
        }
        let (file, service) = (own.shown(), said.id.as_str());
        match verdict {
            COPY => tracing::error!(
                file,
                database = service,
                "the database service on NATS has another file open than {} names, and both have the same \
                 id: one is a copy of the other, or the service's own file is not in order (it says so). Operations go over \
                 NATS only; give both the same file",
                option(DATABASE)
            ),
            ANOTHER => tracing::error!(
                file,
                database = own.id(),
                service,
                "the database service on NATS writes to another database than {} names: operations go \
                 over NATS only; give both the same file",
                option(DATABASE)
            ),
            _ => tracing::info!(database = service, "both paths lead to the same database"),
        }
    }

    /// Why this path refuses; none, if it serves, or opens its database when it is needed.
    #[must_use]
    pub fn why_not(&self) -> Option<String> {
        match self.usable() {
            Ok(database) => database.trouble().borrow().clone(),
            Err(_) if self.database().is_none() && self.shared.opener.is_some() => None,
            Err(Cause::Failed { message, .. }) => Some(message.into_owned()),
            Err(cause) => Some(cause.to_string()),
        }
    }

    fn usable(&self) -> Result<&D, Cause> {
        let file = || self.database().map_or("here", Store::shown);
        let why = match self.shared.verdict.load(Ordering::Acquire) {
            RIGHT => None,
            COPY => Some(format!(
                "the database {} is not the file that the service on NATS has open, though it has the same id: a copy, or the \
                 service's own file is not in order (it says so). Nothing is taken here; name the same file with {}",
                file(),
                option(DATABASE)
            )),
            _ => Some(format!("the database {} is not the one that the service on NATS writes to", file())),
        };
        if let Some(why) = why {
            return Err(Cause::new(Code::UNAVAILABLE, why));
        }
        self.database().ok_or_else(|| {
            let why = format!("no database is open here; name one with {}", option(DATABASE));
            Cause::new(Code::UNAVAILABLE, why)
        })
    }
}

impl<O: Operation, D: Store<O>> GuardedStore<O, D> {
    /// The database, opened if necessary; callers that wait meanwhile share the result.
    async fn opened(&self) -> Result<D, Cause> {
        if let Some(opener) = &self.shared.opener {
            let mut opener = opener.lock().await;
            if self.database().is_none() {
                self.admit(opener().await?).await;
            }
        }
        self.usable().cloned()
    }
}

impl<O: Operation, D: Store<O>> Service<Request<O>> for GuardedStore<O, D> {
    type Response = Reply<O::Answer>;
    type Error = Error<O>;
    type Future = Either<
        Either<Oneshot<D, Request<O>>, Ready<Result<Self::Response, Error<O>>>>,
        BoxFuture<'static, Result<Self::Response, Error<O>>>,
    >;

    /// Always ready: a store that is not is waited for by the future.
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
            Ok(service) => Either::Left(service.clone().oneshot(request)),
            Err(cause) => Either::Right(future::err(Error::new(cause, request))),
        })
    }
}
