//! Whether the database is still the file at its path, and can be written: what the store finds out, told to whoever asks the
//! service.

use std::sync::Arc;

use super::Shared;
use super::subscription::told;
use crate::operation::Persist;

/// The keys of the notices.
const FILE: &str = "file";
const LOG: &str = "log";
const DISK: &str = "disk";

/// Follows the store for as long as the service runs.
pub(super) async fn watch<O: Persist>(shared: Arc<Shared<O>>) {
    let mut stop = shared.stop.clone();
    let (mut trouble, mut concerns) = (shared.db.watch_trouble(), shared.db.watch_concerns());
    loop {
        let now = trouble.borrow_and_update().clone();
        shared.notices.follow(FILE, now);
        let now = concerns.borrow_and_update().clone();
        shared.notices.follow(LOG, now.log);
        shared.notices.follow(DISK, now.disk);
        tokio::select! {
            changed = trouble.changed() => if changed.is_err() { return },
            changed = concerns.changed() => if changed.is_err() { return },
            () = told(&mut stop) => return,
        }
    }
}
