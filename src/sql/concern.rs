//! What is wrong with a database that is the right file: its log cannot be moved into it, or it cannot be written.

use std::time::{Duration, Instant};

use super::error;
use super::writer::Writer;
use crate::error::{Cause, Code};
use crate::sqlite::database_file::DatabaseFile;
use crate::sqlite::limit;
use crate::store::Concerns;

/// For so long nothing must have failed before the disk is tried again.
const PATIENCE: Duration = Duration::from_secs(5);

/// A transaction that changes nothing, and is written.
const PROBE: &str = "UPDATE meta SET value = value WHERE key = 'database_id'";

impl Writer {
    /// Twice a second: what is wrong now.
    pub(super) async fn look_at_concerns(&mut self) {
        let log = self.backlog.look(&self.db_file);
        if log.is_some() {
            // Nothing may be written any more when the reader is gone.
            self.checkpoints.wake();
        }
        self.db_file.concern(|concerns| &mut concerns.log, log);
        // What is small may still fit where something larger has just failed.
        if self.disk_failed.is_some_and(|at| at.elapsed() >= PATIENCE) {
            self.probe().await;
        }
    }

    /// A transaction has failed: the disk, perhaps.
    pub(super) fn failed(&mut self, cause: &Cause) {
        if cause.code() == Code::STORAGE {
            self.disk_failed = Some(Instant::now());
            let file = self.db_file.said().display();
            let why =
                format!("nothing can be written to the database {file}, which is tried repeatedly: {cause}");
            self.db_file.concern(|concerns| &mut concerns.disk, Some(why));
        }
    }

    async fn probe(&mut self) {
        if self.ready().await.is_err() {
            return;
        }
        let result = match self.connection.get().await {
            Ok(connection) => limit::within(sqlx::query(PROBE).execute(connection)).await,
            Err(e) => Err(e),
        };
        match self.connection.after(result).await {
            Ok(_) => {
                self.disk_failed = None;
                self.db_file.concern(|concerns| &mut concerns.disk, None);
            }
            Err(e) => self.failed(&error::of_a_write(&e)),
        }
    }
}

impl DatabaseFile {
    /// States a concern, or that there is none any more. Said when it begins and when it is over.
    fn concern(&self, which: fn(&mut Concerns) -> &mut Option<String>, now: Option<String>) {
        self.with_concerns(|concerns| {
            let known = which(concerns);
            match (&known, &now) {
                (None, Some(begins)) => tracing::error!("{begins}"),
                (Some(over), None) => tracing::info!("resolved: {over}"),
                _ => {}
            }
            let is_new = *known != now;
            *known = now;
            is_new
        });
    }
}
