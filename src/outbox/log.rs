//! The lines of the log about a replay, and how often they are written.

use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clock;

/// The shortest time between two lines.
const QUIET: Duration = Duration::from_secs(5);

/// What was replayed and not said yet.
#[derive(Debug, Default)]
pub(super) struct ReplayLog(Mutex<Unlogged>);

#[derive(Debug, Default)]
struct Unlogged {
    replayed: u64,
    /// When the oldest of them was taken.
    oldest: Option<i64>,
    /// Since when there is something to say.
    since: Option<Instant>,
    last_line: Option<Instant>,
}

impl ReplayLog {
    /// This many were replayed.
    pub(super) fn add(&self, replayed: u64, oldest: Option<i64>) {
        let mut unsaid = self.0.lock();
        unsaid.replayed += replayed;
        unsaid.oldest = unsaid.oldest.into_iter().chain(oldest).min();
        unsaid.since.get_or_insert_with(Instant::now);
    }

    /// When the next line is due, if there is something to say.
    pub(super) fn due(&self) -> Option<Instant> {
        let unsaid = self.0.lock();
        let since = unsaid.since?;
        Some(unsaid.last_line.map_or(since, |line| line.max(since)) + QUIET)
    }

    /// Says it, if it is time; or at once, if the outbox is empty now and nothing was said a moment ago.
    pub(super) fn say(&self, outbox: &Path, waiting: u64, at_the_end: bool) {
        let mut unsaid = self.0.lock();
        let (now, Some(since)) = (Instant::now(), unsaid.since) else { return };
        let quiet = unsaid.last_line.is_none_or(|line| line + QUIET <= now);
        let long = since + QUIET <= now || waiting == 0;
        if !(at_the_end || quiet && long) {
            return;
        }
        #[allow(clippy::cast_precision_loss)] // a duration for people
        let age = clock::now().saturating_sub(unsaid.oldest.unwrap_or(i64::MAX)).max(0) as f64 / 1000.0;
        tracing::info!(
            outbox = %outbox.display(),
            "replayed {} operations from the outbox, the oldest of which had waited for {age:.1} s; {}",
            unsaid.replayed,
            if waiting == 0 { "none waits now".to_owned() } else { format!("{waiting} wait") }
        );
        *unsaid = Unlogged { last_line: Some(now), ..Unlogged::default() };
    }
}
