//! What a SQLite file holds, over a connection that is not the code under test.

use sqlx::{Connection, SqliteConnection};

/// The number that a query answers.
pub(crate) async fn number(mut connection: SqliteConnection, sql: &'static str) -> i64 {
    let number = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    number
}

/// The texts that a query answers.
pub(crate) async fn texts(mut connection: SqliteConnection, sql: &'static str) -> Vec<String> {
    let texts = sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    texts
}

/// Runs statements.
pub(crate) async fn execute(mut connection: SqliteConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
