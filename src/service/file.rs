//! Whether the database is still the file at its path: what the store finds out becomes a notice of the service.

use std::sync::Arc;

use super::Shared;
use super::subscription::told;
use crate::operation::Operation;
use crate::store::Store;

/// The key of the notice.
const KEY: &str = "file";

/// Follows the store for as long as the service runs.
pub(super) async fn watch<O: Operation, D: Store<O>>(shared: Arc<Shared<O, D>>) {
    let (mut stop, mut trouble) = (shared.stop.clone(), shared.db.trouble());
    loop {
        let now = trouble.borrow_and_update().clone();
        shared.notices.follow(KEY, now);
        tokio::select! {
            changed = trouble.changed() => if changed.is_err() { return },
            () = told(&mut stop) => return,
        }
    }
}
