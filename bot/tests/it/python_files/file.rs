//! A file of the Python bot, and what one finds in it.

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::support::DbFile;

/// The database of one test, as the Python bot left it.
pub(crate) struct PythonFile {
    pub(crate) file: DbFile,
    /// The time of the test, in unix seconds: `NOW` in the fixtures.
    pub(crate) now: i64,
}

impl PythonFile {
    pub(crate) async fn made_by(scripts: &[&str]) -> Self {
        let made = Self { file: DbFile::new(), now: eitherway::clock::now() / 1000 };
        let mut connection = made.connect(true).await;
        for script in scripts {
            sqlx::raw_sql(AssertSqlSafe(made.dated(script))).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
        made
    }

    fn dated(&self, sql: &str) -> String {
        sql.replace("NOW", &self.now.to_string())
    }

    async fn connect(&self, create: bool) -> SqliteConnection {
        let options =
            sqlx::sqlite::SqliteConnectOptions::new().filename(self.file.path()).create_if_missing(create);
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    /// Runs statements as the Python bot, or its operator, would.
    pub(crate) async fn run(&self, sql: &str) {
        let mut connection = self.connect(false).await;
        sqlx::raw_sql(AssertSqlSafe(self.dated(sql))).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// The rows of one query.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        let mut connection = self.connect(false).await;
        let rows = sqlx::query_scalar(AssertSqlSafe(self.dated(sql))).fetch_all(&mut connection).await;
        connection.close().await.unwrap();
        rows.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The rows of several queries, with the queries.
    pub(crate) async fn answers(&self, queries: &[&[&str]]) -> Vec<(String, Vec<String>)> {
        let mut answers = Vec::new();
        for query in queries.concat() {
            answers.push((query.to_owned(), self.rows(query).await));
        }
        answers
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let mut connection = self.connect(false).await;
        let number =
            sqlx::query_scalar(AssertSqlSafe(self.dated(sql))).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        number
    }

    /// Every table, index, trigger and view, and how many rows each table has.
    pub(crate) async fn shape(&self) -> Vec<String> {
        let mut shape = self
            .rows(
                "SELECT coalesce(sql, name) FROM sqlite_master WHERE name <> 'sqlite_sequence' ORDER BY name",
            )
            .await;
        for table in self.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").await {
            shape.push(format!("{table}: {}", self.number(&format!("SELECT count(*) FROM {table}")).await));
        }
        shape
    }
}
