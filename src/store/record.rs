//! Facts about the file that are written beside the operations, each in a transaction of its own: the time that is known, the
//! services that have it open.

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

use super::queue::Item;
use crate::error::Cause;
use crate::sqlite::statements::run;

/// Statements over one JSON value.
#[derive(Debug)]
pub(crate) struct Record {
    /// Each ended by `;`. `$1` is the value.
    pub(crate) statements: &'static str,
    pub(crate) value: String,
}

/// Writes it, in one transaction.
pub(crate) async fn write(connection: &mut SqliteConnection, record: &Record) -> Result<(), sqlx::Error> {
    let sql = format!("BEGIN IMMEDIATE; {} COMMIT", record.statements);
    run(connection, sqlx::query(AssertSqlSafe(sql)).bind(&record.value)).await.map(drop)
}

/// Has it written, when its turn comes.
pub(crate) async fn hand_over(record: Record, writes: &mpsc::WeakSender<Item>) -> Result<(), Cause> {
    let (tx, rx) = oneshot::channel();
    let sender = writes.upgrade().ok_or_else(crate::sql::closed)?;
    sender.send(Item::Record(record, tx)).await.map_err(|_| crate::sql::closed())?;
    drop(sender);
    rx.await.map_err(|_| crate::sql::closed())?
}
