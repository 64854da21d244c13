//! Facts about the file that are written beside the operations, each in a transaction of its own: the time that is known, the
//! services that have it open.

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use crate::operation::RetentionRule;
use crate::sqlite::statements::run;

/// Statements over one JSON value.
#[derive(Debug)]
pub(crate) struct Record {
    /// Each ended by `;`. `$1` is the value.
    pub(crate) statements: &'static str,
    pub(crate) value: String,
}

/// Something that the writer removes in a transaction of its own.
#[derive(Debug)]
pub(crate) struct Removal {
    pub(crate) sweep: &'static RetentionRule,
    /// A JSON array.
    pub(crate) keys: String,
    pub(crate) horizon: i64,
    pub(crate) now: i64,
}

/// Writes it, in one transaction.
pub(crate) async fn write(connection: &mut SqliteConnection, record: &Record) -> Result<(), sqlx::Error> {
    let sql = format!("BEGIN IMMEDIATE; {} COMMIT", record.statements);
    run(connection, sqlx::query(AssertSqlSafe(sql)).bind(&record.value)).await.map(drop)
}
