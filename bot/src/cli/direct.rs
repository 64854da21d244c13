//! The database of a command, made from its options: opened at once, or for the first operation that needs it.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::args::DatabaseArgs;
use super::database_options::DatabaseOptions;
use super::exit::Failure;
use super::retention::KeepArgs;
use crate::op::Op;
use eitherway::error::{Cause, Code};
use eitherway::nats::NatsService;
use eitherway::postgres::PostgresOptions;
use eitherway::sql::{SqlService, SqliteOptions};

/// The database of `serve` and `up`, if none is named.
pub(super) const DEFAULT_DATABASE: &str = "sqlite://rosey.db";

impl DatabaseArgs {
    fn place(&self, url: &str) -> Result<DatabaseOptions, Failure> {
        if PostgresOptions::is_address(url) {
            let mut options = PostgresOptions::new(url)?;
            if let Some(file) = &self.database_password_file {
                options = options.password_file(file)?;
            }
            let options = options
                .namespace(self.namespace.clone())
                .create(!self.existing)
                .read_alone(self.existing)
                .retention(self.retention.clone())
                .future_tolerance(self.future_tolerance_ms)
                .past_tolerance(self.past_tolerance_days)
                .trust_clock(self.trust_clock)
                .metrics_prefix("rosey");
            return Ok(DatabaseOptions::Postgres(Box::new(options)));
        }
        let options = SqliteOptions::new(url)?
            .create(!self.existing)
            // The way back is long: not by the way, by a command that asks or sends one thing.
            .take_over(self.retention.is_some())
            .file_mode(self.file_mode)
            .retention(self.retention.clone())
            .future_tolerance(self.future_tolerance_ms)
            .past_tolerance(self.past_tolerance_days)
            .trust_clock(self.trust_clock)
            .metrics_prefix("rosey")
            .synchronous(self.synchronous);
        Ok(DatabaseOptions::Sqlite(options))
    }

    /// Which one is used if none is named.
    pub(super) fn usual(&self) -> &str {
        self.usual.as_deref().unwrap_or(DEFAULT_DATABASE)
    }

    /// The database that is named, or the usual one.
    pub(super) fn named_or_usual(&self) -> Result<DatabaseOptions, Failure> {
        self.place(self.database_url.as_deref().unwrap_or_else(|| self.usual()))
    }

    /// Opens it.
    pub(super) async fn open(&self) -> Result<SqlService<Op>, Failure> {
        Ok(self.named_or_usual()?.open().await?)
    }

    /// The same for a command that runs for long: it removes what is old.
    pub(super) fn with_retention(mut self, keep: &KeepArgs) -> Self {
        self.retention = Some(keep.retention());
        self.trust_clock = keep.trust_clock;
        self
    }

    /// Whether a database is named, and there is nothing in its file.
    pub(super) fn is_missing(&self) -> Result<bool, Failure> {
        let Some(url) = &self.database_url else { return Ok(false) };
        Ok(self.place(url)?.is_empty_file())
    }

    /// Opens the database of the service on NATS for the first operation that needs it. `known`: which one that is, before it
    /// says so again.
    pub(super) fn opener(
        &self,
        nats: &NatsService<Op>,
        known: Option<String>,
    ) -> impl FnMut() -> BoxFuture<'static, Result<SqlService<Op>, Cause>> + Send + 'static {
        let (status, database) = (nats.status(), self.clone());
        move || {
            let service = status.borrow().database().map(str::to_owned).or_else(|| known.clone());
            let database = database.clone();
            async move {
                match service {
                    Some(service) => database.open_known(service).await,
                    None => Err(Cause::new(
                        Code::UNAVAILABLE,
                        "no service has said which database it has; name one with --database-url",
                    )),
                }
            }
            .boxed()
        }
    }

    /// Opens the database that is named, if one is.
    pub(super) async fn open_named(&self) -> Result<Option<SqlService<Op>>, Failure> {
        match &self.database_url {
            Some(_) => self.open().await.map(Some),
            None => Ok(None),
        }
    }

    /// Opens the database that is named, or the usual one, for an operation that NATS has not served: the one with this id,
    /// and never creates it.
    async fn open_known(self, database: String) -> Result<SqlService<Op>, Cause> {
        let unavailable = |why: String| Cause::new(Code::UNAVAILABLE, why);
        let place = self.named_or_usual().map_err(|failure| unavailable(failure.message().to_owned()))?;
        let place = place.existing();
        if self.database_url.is_none() && place.lacks_file() {
            return Err(unavailable("no database is open here; name one with --database-url".to_owned()));
        }
        let found = place.open().await.map_err(|e| unavailable(e.to_string()))?;
        if found.database() == database {
            return Ok(found);
        }
        found.close().await;
        let why = "the database here is not the one that the service on NATS writes to";
        Err(unavailable(why.to_owned()))
    }

    /// The usual database, if it lies here and is the one with this id. Never creates one.
    pub(super) fn open_if(self, database: String) -> BoxFuture<'static, Option<SqlService<Op>>> {
        async move { self.find(&database).await }.boxed()
    }

    async fn find(&self, database: &str) -> Option<SqlService<Op>> {
        let place = self.place(self.usual()).ok()?.existing();
        if place.lacks_file() {
            return None;
        }
        match place.open().await {
            Ok(found) if found.database() == database => Some(found),
            Ok(found) => {
                found.close().await;
                None
            }
            Err(e) => {
                tracing::warn!("no direct path: {e}");
                None
            }
        }
    }
}
