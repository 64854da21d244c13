//! What is wrong with a database that is the right file: its log cannot be moved into it, or it cannot be written.

use std::time::{Duration, Instant};

use super::writer::Writer;
use super::{error, holders};
use crate::error::{Cause, Code};
use crate::sqlite::limit;
use crate::sqlite::place::Place;
use crate::store::Concerns;

/// The log may be this much longer than what was moved into the file: twice as long as it gets by itself.
const LONG: u64 = 64 << 20;
/// For so long: a query may be slow. And for so long nothing must have failed before the disk is tried again.
const PATIENCE: Duration = Duration::from_secs(5);

/// A transaction that changes nothing, and is written.
const PROBE: &str = "UPDATE meta SET value = value WHERE key = 'database_id'";

/// Since when the log is too long.
#[derive(Debug, Default)]
pub(super) struct Backlog(Option<Instant>);

impl Backlog {
    /// What is to be said of the log now.
    fn look(&mut self, place: &Place) -> Option<String> {
        let Some(bytes) = place.backlog().filter(|bytes| *bytes > LONG) else {
            self.0 = None;
            return None;
        };
        let since = self.0.get_or_insert_with(Instant::now).elapsed();
        (since >= PATIENCE).then(|| {
            let readers = holders::of_readers(place.index());
            let (file, index) = (place.said().display(), place.index().display());
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

impl Writer {
    /// Twice a second: what is wrong now.
    pub(super) async fn look_at_concerns(&mut self) {
        let log = self.backlog.look(&self.place);
        if log.is_some() {
            // Nothing may be written any more when the reader is gone.
            self.checkpoints.wake();
        }
        self.place.concern(|concerns| &mut concerns.log, log);
        // What is small may still fit where something larger has just failed.
        if self.disk_failed.is_some_and(|at| at.elapsed() >= PATIENCE) {
            self.probe().await;
        }
    }

    /// A transaction has failed: the disk, perhaps.
    pub(super) fn failed(&mut self, cause: &Cause) {
        if cause.code() == Code::STORAGE {
            self.disk_failed = Some(Instant::now());
            let file = self.place.said().display();
            let why =
                format!("nothing can be written to the database {file}, which is tried repeatedly: {cause}");
            self.place.concern(|concerns| &mut concerns.disk, Some(why));
        }
    }

    async fn probe(&mut self) {
        if self.ready().await.is_err() {
            return;
        }
        let result = match self.held.get().await {
            Ok(connection) => limit::within(sqlx::query(PROBE).execute(connection)).await,
            Err(e) => Err(e),
        };
        match self.held.after(result).await {
            Ok(_) => {
                self.disk_failed = None;
                self.place.concern(|concerns| &mut concerns.disk, None);
            }
            Err(e) => self.failed(&error::of_a_write(&e)),
        }
    }
}

impl Place {
    /// States a concern, or that there is none any more. Said when it begins and when it is over.
    fn concern(&self, which: fn(&mut Concerns) -> &mut Option<String>, now: Option<String>) {
        self.with_concerns(|concerns| {
            let known = which(concerns);
            match (&known, &now) {
                (None, Some(begins)) => tracing::error!("{begins}"),
                (Some(over), None) => tracing::info!("not any more: {over}"),
                _ => {}
            }
            let is_new = *known != now;
            *known = now;
            is_new
        });
    }
}
