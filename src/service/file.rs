//! Whether the database is still the file at its path, and can be written: what the store finds out becomes notices of the
//! service.

use std::sync::Arc;

use super::Shared;
use crate::operation::Operation;
use crate::store::Store;

/// The keys of the notices.
const FILE: &str = "file";
const LOG: &str = "log";
const DISK: &str = "disk";
const FOLDS: &str = "folds";

/// Follows the store for as long as the service runs.
pub(super) async fn watch<O: Operation, D: Store<O>>(shared: Arc<Shared<O, D>>) {
    let (mut trouble, mut concerns) = (shared.db.trouble(), shared.db.concerns());
    loop {
        let now = trouble.borrow_and_update().clone();
        if now.is_none() {
            shared.outage.lives();
        }
        shared.notices.set(FILE, now);
        let now = concerns.borrow_and_update().clone();
        shared.notices.set(LOG, now.log);
        shared.notices.set(DISK, now.disk);
        shared.notices.set(FOLDS, now.folds);
        tokio::select! {
            Ok(()) = trouble.changed() => {}
            Ok(()) = concerns.changed() => {}
            () = shared.stop.cancelled() => return,
        }
    }
}
