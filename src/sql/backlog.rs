//! Whether the log of a database cannot be moved into the file.

use std::time::{Duration, Instant};

use super::holders;
use crate::sqlite::database_file::DatabaseFile;

/// The log may be this much longer than what was moved into the file: twice as long as it gets by itself.
const LONG: u64 = 64 << 20;
/// For so long: a query may be slow.
const PATIENCE: Duration = Duration::from_secs(5);

/// Since when the log is too long.
#[derive(Debug, Default)]
pub(super) struct Backlog(Option<Instant>);

impl Backlog {
    /// What is to be said of the log now.
    pub(super) fn look(&mut self, db_file: &DatabaseFile) -> Option<String> {
        let Some(bytes) = db_file.backlog().filter(|bytes| *bytes > LONG) else {
            self.0 = None;
            return None;
        };
        let since = self.0.get_or_insert_with(Instant::now).elapsed();
        (since >= PATIENCE).then(|| {
            let readers = holders::of_readers(db_file.index());
            let (file, index) = (db_file.said().display(), db_file.index().display());
            let who = if readers.is_empty() {
                format!("a transaction that is open for reading (fuser {index} lists who may have it)")
            } else {
                format!("a transaction that is open for reading in {}", readers.join(", "))
            };
            format!(
                "{who} keeps the log of the database, {file}-wal, from being moved into it: {} MiB wait there, and all that \
                 is written makes it longer. End that transaction, or that program",
                bytes >> 20
            )
        })
    }
}
