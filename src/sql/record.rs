//! Facts about the file that are written beside the operations, each in a transaction of its own: the time that is known, the
//! services that have it open.

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot};

use super::writer::Item;
use crate::error::Cause;
use crate::sqlite::statements::run;

/// Statements over one JSON value.
#[derive(Debug)]
pub(super) struct Record {
    /// Each ended by `;`. `$1` is the value.
    pub(super) statements: &'static str,
    pub(super) value: String,
}

/// Writes it, in one transaction.
pub(super) async fn write(connection: &mut SqliteConnection, record: &Record) -> Result<(), sqlx::Error> {
    let sql = format!("BEGIN IMMEDIATE; {} COMMIT", record.statements);
    run(connection, sqlx::query(AssertSqlSafe(sql)).bind(&record.value)).await.map(drop)
}

/// Has it written, when its turn comes.
pub(super) async fn hand_over(record: Record, writes: &mpsc::WeakSender<Item>) -> Result<(), Cause> {
    let (tx, rx) = oneshot::channel();
    let sender = writes.upgrade().ok_or_else(super::closed)?;
    sender.send(Item::Record(record, tx)).await.map_err(|_| super::closed())?;
    drop(sender);
    rx.await.map_err(|_| super::closed())?
}
