//! The lock beside a database: creating, migrating and taking over are for one process at a time.

use std::fs::{File, TryLockError};
use std::time::Duration;

use tokio::time::{self, Instant};

use super::holders;
use super::open_error::{LOCK_PATIENCE, OpenError};
use super::options::SqliteOptions;
use crate::sqlite::files;

/// How long opening may take elsewhere before it is said.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause between two tries to take the lock: opening takes longer than that.
const AGAIN: Duration = Duration::from_millis(5);

/// Takes the lock beside the file; waits for the process that holds it, with a limit.
pub(super) async fn lock(options: &SqliteOptions) -> Result<File, OpenError> {
    let directory = options.path().parent().filter(|dir| !dir.as_os_str().is_empty());
    if let Some(missing) = directory.filter(|dir| !dir.is_dir()) {
        let why = format!("the directory {} does not exist", missing.display());
        return Err(OpenError::Address(options.path.display().to_string(), why));
    }
    if !options.store.create && !options.path.is_file() {
        let why = "there is no such database".to_owned();
        return Err(OpenError::Address(options.path.display().to_string(), why));
    }
    let path = options.lock_path();
    let failed = |error| OpenError::File { path: path.clone(), error };
    let file = files::lock(&path, &options.path, options.file_mode).map_err(failed)?;
    let begun = Instant::now();
    let mut said = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        // Asked again and again rather than waited for in a thread: one that waits for a lock cannot be called back, and a process
        // that opens many files, and tries those again that are locked, would keep more of them each time.
        if begun.elapsed() >= LOCK_PATIENCE {
            return Err(OpenError::Locked { by: holders::of_lock(&path), path });
        }
        if begun.elapsed() >= PATIENCE && !std::mem::replace(&mut said, true) {
            let (file, lock) = (options.path.display(), path.display());
            tracing::warn!(
                "another process is opening {file}: waiting for its lock {lock}, {LOCK_PATIENCE:?} at most. Is one \
                 stopped or hanging?"
            );
        }
        time::sleep(AGAIN).await;
    }
}
