//! The databases that the same checks run over.

use eitherway::operation::Persist;
#[cfg(feature = "postgres")]
use eitherway::postgres::PostgresOptions;
use eitherway::sql::{SqlService, SqliteOptions};
use eitherway::{Db, Request};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use super::shop::Shop;
#[cfg(feature = "postgres")]
use crate::support::Postgres;

/// A test for each store, of a function that takes a fixture.
macro_rules! on_each_store {
    ($($check:ident),+ $(,)?) => {
        $(mod $check {
            #[tokio::test]
            async fn on_sqlite() {
                super::$check(super::Fixture::new().await).await;
            }

            #[cfg(feature = "postgres")]
            #[tokio::test]
            async fn on_postgres() {
                super::$check(super::Fixture::on_postgres().await).await;
            }
        })+
    };
}
pub(super) use on_each_store;

/// Where a database is.
pub(super) enum Location {
    File(tempfile::TempDir),
    #[cfg(feature = "postgres")]
    Server(String),
}

/// A connection past the store.
enum Raw {
    Sqlite(SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgConnection),
}

impl Location {
    pub(super) fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    #[cfg(feature = "postgres")]
    pub(super) async fn server() -> Self {
        Self::Server(Postgres::shared().empty().await)
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// The address of the file.
    pub(super) fn path(&self) -> Option<String> {
        match self {
            Self::File(dir) => Some(dir.path().join("shop.db").to_str().unwrap().to_owned()),
            #[cfg(feature = "postgres")]
            Self::Server(_) => None,
        }
    }

    pub(super) async fn open<O: Persist>(&self) -> Result<SqlService<O>, String> {
        let opened = match self {
            Self::File(_) => SqlService::open(&SqliteOptions::new(&self.path().unwrap()).unwrap()).await,
            #[cfg(feature = "postgres")]
            Self::Server(url) => {
                // Sets that would have schemas of their own share this one.
                let options = PostgresOptions::new(url).unwrap().schema("rosey");
                SqlService::open_postgres(&options.retention(None)).await
            }
        };
        opened.map_err(|e| e.to_string())
    }

    async fn raw(&self) -> Raw {
        match self {
            Self::File(_) => Raw::Sqlite(SqliteConnection::connect(&self.path().unwrap()).await.unwrap()),
            #[cfg(feature = "postgres")]
            Self::Server(url) => {
                let mut raw = sqlx::PgConnection::connect(url).await.unwrap();
                sqlx::raw_sql("SET search_path = rosey").execute(&mut raw).await.unwrap();
                Raw::Postgres(raw)
            }
        }
    }

    pub(super) async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(format!("SELECT CAST(({sql}) AS bigint)"));
        match self.raw().await {
            Raw::Sqlite(mut raw) => sqlx::query_scalar(sql).fetch_one(&mut raw).await.unwrap(),
            #[cfg(feature = "postgres")]
            Raw::Postgres(mut raw) => sqlx::query_scalar(sql).fetch_one(&mut raw).await.unwrap(),
        }
    }

    pub(super) async fn execute(&self, sql: &str) {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()));
        match self.raw().await {
            Raw::Sqlite(mut raw) => drop(sql.execute(&mut raw).await.unwrap()),
            #[cfg(feature = "postgres")]
            Raw::Postgres(mut raw) => drop(sql.execute(&mut raw).await.unwrap()),
        }
    }

    async fn counters(&self) -> Vec<(String, i64)> {
        let sql = "SELECT name, CAST(n AS bigint) FROM counters ORDER BY name";
        match self.raw().await {
            Raw::Sqlite(mut raw) => sqlx::query_as(sql).fetch_all(&mut raw).await.unwrap(),
            #[cfg(feature = "postgres")]
            Raw::Postgres(mut raw) => sqlx::query_as(sql).fetch_all(&mut raw).await.unwrap(),
        }
    }
}

/// A shop.
pub(super) struct Fixture {
    pub(super) place: Location,
    pub(super) service: SqlService<Shop>,
    pub(super) db: Db<SqlService<Shop>>,
}

impl Fixture {
    pub(super) async fn new() -> Self {
        Self::at(Location::file()).await
    }

    #[cfg(feature = "postgres")]
    pub(super) async fn on_postgres() -> Self {
        Self::at(Location::server().await).await
    }

    async fn at(place: Location) -> Self {
        let service = place.open().await.unwrap();
        Self { place, db: Db::new(service.clone()), service }
    }

    pub(super) async fn number(&self, sql: &str) -> i64 {
        self.place.number(sql).await
    }

    pub(super) async fn execute(&self, sql: &str) {
        self.place.execute(sql).await;
    }

    pub(super) async fn counters(&self) -> Vec<(String, i64)> {
        self.place.counters().await
    }

    /// What is answered, as text; or the error.
    pub(super) async fn said(&self, request: &Request<Shop>) -> Result<String, eitherway::Error<Shop>> {
        self.db.send(request.clone()).await.map(|reply| format!("{:?}", reply.answer))
    }
}
