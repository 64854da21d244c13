//! The databases that the shop is tested on.

use eitherway_shop::Shop;
use eitherway_testkit::DbFile;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::postgres::Postgres;

/// A test for each database, of a function that takes one.
macro_rules! on_each_database {
    ($($check:ident),+ $(,)?) => {
        $(mod $check {
            #[tokio::test(flavor = "multi_thread")]
            async fn on_sqlite() {
                super::$check(crate::support::Database::file()).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn on_postgres() {
                super::$check(crate::support::Database::server().await).await;
            }
        })+
    };
}
pub(crate) use on_each_database;

/// Where the orders are.
pub(crate) enum Database {
    File(DbFile<Shop>),
    /// A server of this test's own, and the address of its database.
    Server(Postgres, String),
}

impl Database {
    pub(crate) fn file() -> Self {
        Self::File(DbFile::new())
    }

    pub(crate) async fn server() -> Self {
        let server = Postgres::start(&[]);
        let url = server.empty().await;
        Self::Server(server, url)
    }

    pub(crate) fn url(&self) -> String {
        match self {
            Self::File(file) => file.url(),
            Self::Server(_, url) => url.clone(),
        }
    }

    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        match self {
            Self::File(file) => file.number(sql).await,
            Self::Server(_, url) => {
                let mut raw = PgConnection::connect(url).await.unwrap();
                sqlx::raw_sql("SET search_path = shop").execute(&mut raw).await.unwrap();
                let sql = AssertSqlSafe(format!("SELECT CAST(({sql}) AS bigint)"));
                sqlx::query_scalar(sql).fetch_one(&mut raw).await.unwrap()
            }
        }
    }

    /// It cannot be reached until it is [back](Self::bring_back).
    pub(crate) fn take_away(&mut self) {
        match self {
            Self::File(file) => file.move_away(),
            Self::Server(server, _) => server.stop("-KILL"),
        }
    }

    pub(crate) fn bring_back(&mut self) {
        match self {
            Self::File(file) => file.move_back(),
            Self::Server(server, _) => server.run(),
        }
    }
}
