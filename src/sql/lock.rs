//! The lock beside a database: creating, migrating and taking over are for one process at a time.

use std::fs::{File, TryLockError};
use std::time::{Duration, SystemTime};

use tokio::time::{self, Instant};

use super::holders;
use super::open_error::OpenError;
use super::options::SqliteOptions;
use crate::sqlite::files;

/// How long opening may take elsewhere before it is said.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long one other process may take for opening: less than an operation on the database may take, so that this is what is
/// told.
const ONE: Duration = Duration::from_secs(4);
/// How long others may take, one after the other.
const ALL: Duration = Duration::from_secs(60);
/// The pause between two tries to take the lock: opening takes longer than that.
const AGAIN: Duration = Duration::from_millis(5);

/// Takes the lock beside the file; waits for the process that holds it, with a limit for each and one for all. Who takes it
/// says so by the time of the lock's file: another time is another process.
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
    let (mut holder, mut since) = (taken_at(&file), begun);
    let mut said = false;
    loop {
        match file.try_lock() {
            Ok(()) => {
                // Where the file system refuses that, the others only wait less.
                let _ = file.set_modified(SystemTime::now());
                return Ok(file);
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        let now = taken_at(&file);
        if now != holder {
            (holder, since) = (now, Instant::now());
        }
        // Asked again and again rather than waited for in a thread: one that waits for a lock cannot be called back, and a process
        // that opens many files, and tries those again that are locked, would keep more of them each time.
        if since.elapsed() >= ONE || begun.elapsed() >= ALL {
            let waited = if since.elapsed() >= ONE { ONE } else { ALL };
            return Err(OpenError::Locked { by: holders::of_lock(&path), path, waited });
        }
        if begun.elapsed() >= PATIENCE && !std::mem::replace(&mut said, true) {
            let (file, lock) = (options.path.display(), path.display());
            tracing::warn!(
                "another process is opening {file}: waiting for its lock {lock}, {ONE:?} at most for each that takes it. Is \
                 one stopped or hanging?"
            );
        }
        time::sleep(AGAIN).await;
    }
}

fn taken_at(lock: &File) -> Option<SystemTime> {
    lock.metadata().and_then(|data| data.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_that_holds_the_lock_is_waited_for_and_many_in_turn_for_longer() {
        let dir = tempfile::tempdir().expect("a folder");
        let options =
            SqliteOptions::new(&format!("sqlite://{}", dir.path().join("it.db").display())).expect("a path");
        let held = lock(&options).await.expect("it is free");
        let waited = async |taken_again_after: Duration| {
            let begun = Instant::now();
            let others = async {
                loop {
                    time::sleep(taken_again_after).await;
                    held.set_modified(SystemTime::now()).expect("a file of ours");
                }
            };
            let refused = tokio::select! { taken = lock(&options) => taken.expect_err("it is held"), () = others => unreachable!() };
            (refused.to_string(), begun.elapsed())
        };
        let (said, time) = waited(ALL).await;
        assert!(said.contains("for more than 4s") && time >= ONE && time < ONE * 2, "{said} after {time:?}");
        let (said, time) = waited(ONE - PATIENCE).await;
        assert!(
            said.contains("for more than 60s") && time >= ALL && time < ALL + ONE,
            "{said} after {time:?}"
        );
        drop(held);
        lock(&options).await.expect("it is free");
    }
}
