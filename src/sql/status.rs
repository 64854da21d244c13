//! What a database reports of itself, for display.

use std::time::Duration;

use serde::Serialize;

use super::SqlService;
use crate::error::Cause;
use crate::operation::Persist;

/// A writer, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WriterStatus {
    /// How many writes wait for it.
    pub waiting: usize,
    /// How many may; more are refused as `overloaded`.
    pub most: usize,
    /// For how long it has not turned to its queue. Twice a second is usual; a transaction that waits for a lock or a disk
    /// takes as long as that.
    #[serde(serialize_with = "seconds")]
    pub silent: Duration,
    /// Why it could not write when it tried last, and no operation was to blame: a lock, a full disk. While there are no requests, it
    /// tries by itself, every five seconds.
    pub failing: Option<String>,
}

impl<O: Persist> SqlService<O> {
    /// Its writer, as it is now. Waits for nothing.
    #[must_use]
    pub fn writer(&self) -> WriterStatus {
        let (writes, most) = (&self.shared.writes, self.shared.writes.max_capacity());
        // One that was closed has nothing to turn to; one that has panicked is silent.
        let silent = if self.shared.pulse.has_ended() { Duration::ZERO } else { self.shared.pulse.silent() };
        let failing = self.shared.pulse.failing().map(|cause| cause.to_string());
        WriterStatus { waiting: most - writes.capacity(), most, silent, failing }
    }

    /// How many dead letters it holds. Reads, and waits for a reader like a query; cancel safe.
    ///
    /// # Errors
    /// Those of a read.
    pub async fn dead_letters(&self) -> Result<u64, Cause> {
        let reader = &self.shared.reader;
        let found = reader.look_up(reader.texts().dead_letters.to_owned(), Vec::new()).await;
        let found = found.map_err(|e| reader.cause(&e))?;
        Ok(found.first().and_then(|count| count.parse().ok()).unwrap_or_default())
    }
}

fn seconds<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    time.as_secs_f64().serialize(to)
}
