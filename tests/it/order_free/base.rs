//! A database that is used for many cases: opening and migrating it for each would take most of the time.

use std::sync::atomic::{AtomicUsize, Ordering};

use eitherway::sql::{SqlService, Verdict};
use rosey::op::Op;

use super::dump::Dump;

pub(crate) trait Base {
    /// Those that write to it.
    fn writers(&self) -> &[SqlService<Op>];

    /// Makes the database what it was when it was new.
    async fn clear(&self);

    async fn verdict(&self) -> Verdict;

    /// Its canonical content.
    async fn dump(&self) -> Dump;

    /// Whether each operation is given to two writers at once, as a stack does that always asks both paths.
    fn hedged(&self) -> bool {
        false
    }

    /// Has something done beside this.
    async fn beside<T>(&self, this: impl Future<Output = T>) -> T {
        this.await
    }

    /// Folds what waits, if anything does: all stays as it is.
    async fn fold(&self) -> bool {
        false
    }

    /// Folds a part of what waits, if anything does.
    async fn fold_half(&self) -> bool {
        false
    }

    /// Whether queries answer what the database holds.
    async fn answers(&self) -> Result<(), String> {
        Ok(())
    }

    /// When something was applied last.
    async fn last_applied(&self) -> Result<i64, String>;

    /// The ids that were applied before.
    async fn applied_before(&self, until: i64) -> Result<Vec<String>, String>;
}

pub(crate) const LAST_APPLIED: &str = "SELECT coalesce(max(applied_at), 0) FROM ledger";
pub(crate) const APPLIED_BEFORE: &str = "SELECT id FROM ledger WHERE applied_at < $1";

/// Runs this; in every other case while two writers fold.
pub(crate) async fn beside_folds<T>(
    cases: &AtomicUsize,
    [one, other]: [&SqlService<Op>; 2],
    this: impl Future<Output = T>,
) -> T {
    if cases.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
        return this.await;
    }
    let folds = async |writer: &SqlService<Op>| loop {
        writer.fold().await.unwrap();
        tokio::task::yield_now().await;
    };
    tokio::select! {
        done = this => done,
        () = folds(one) => unreachable!(),
        () = folds(other) => unreachable!(),
    }
}
