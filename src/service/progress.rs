//! What was taken and is not applied yet: why it is tried again, and since when. Without a stream this is all there is to
//! watch; with one, it is one of the reasons for which the stream does not get empty.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::counters::Served;
use super::received::Received;
use super::status::StreamStatus;
use crate::error::{Cause, Code};

/// What is acknowledged, or taken without a peer that waits for an answer, is a notice after this time.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// For how long a request for more that was refused explains why nothing comes.
const FRESH: Duration = Duration::from_secs(6);

/// What waits, and why.
#[derive(Debug, Default)]
pub(super) struct Progress {
    waiting: Mutex<Waiting>,
    /// What came from the stream's consumer.
    pub(super) received: Received,
    /// How many messages of the stream were acknowledged here.
    pub(super) acknowledged: AtomicU64,
    /// Whether the stream is read past its consumer.
    walking: AtomicBool,
    /// What the stream held when it was looked at last; nothing where there is none, or it is not told.
    pub(super) stream: Mutex<Option<StreamStatus>>,
    /// Why the stream's consumer gave nothing when it was asked last.
    pull: Mutex<Option<(Instant, String)>>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    since: Instant,
    operation: &'static str,
    cause: Cause,
}

/// One message that failed and is tried again; it is over when this is dropped.
#[derive(Debug)]
pub(super) struct RetriedMessage<'a> {
    progress: &'a Progress,
    operation: &'static str,
    since: Instant,
    key: Option<u64>,
}

/// The messages that are tried again, together.
#[derive(Debug)]
pub(super) struct Stuck {
    pub(super) count: usize,
    pub(super) longest: Duration,
    operation: &'static str,
    cause: Cause,
}

impl Progress {
    /// A message that was just taken. Costs nothing until it fails.
    pub(super) fn taken(&self, operation: &'static str) -> RetriedMessage<'_> {
        RetriedMessage { progress: self, operation, since: Instant::now(), key: None }
    }

    /// What is tried again, if anything is.
    pub(super) fn stuck(&self) -> Option<Stuck> {
        let waiting = self.waiting.lock();
        let oldest = waiting.entries.values().min_by_key(|entry| entry.since)?;
        Some(Stuck {
            count: waiting.entries.len(),
            longest: oldest.since.elapsed(),
            operation: oldest.operation,
            cause: oldest.cause.clone(),
        })
    }

    /// The stream is read past its consumer, or not any more.
    pub(super) fn walks(&self, walks: bool) {
        self.walking.store(walks, Ordering::Relaxed);
    }

    pub(super) fn is_walking(&self) -> bool {
        self.walking.load(Ordering::Relaxed)
    }

    /// The consumer was asked for more, and refused; or it gave something.
    pub(super) fn pull(&self, refused: Option<String>) {
        let mut pull = self.pull.lock();
        *pull = refused.map(|why| (Instant::now(), why));
    }

    /// Why it refused, if that is not long ago.
    pub(super) fn refused(&self) -> Option<String> {
        let pull = self.pull.lock();
        pull.as_ref().filter(|(at, _)| at.elapsed() < FRESH).map(|(_, why)| why.clone())
    }
}

impl RetriedMessage<'_> {
    /// It has failed, and is tried again.
    pub(super) fn because(&mut self, cause: &Cause) {
        let mut waiting = self.progress.waiting.lock();
        let key = *self.key.get_or_insert_with(|| {
            waiting.next += 1;
            waiting.next
        });
        let entry = Entry { since: self.since, operation: self.operation, cause: cause.clone() };
        waiting.entries.insert(key, entry);
    }
}

impl Drop for RetriedMessage<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.progress.waiting.lock().entries.remove(&key);
        }
    }
}

impl Stuck {
    /// What fails, and what to do.
    pub(super) fn reason(&self) -> String {
        let Self { operation, cause, .. } = self;
        let advice = match cause.code() {
            Code::BUSY => "end the transaction of the program that holds the file",
            Code::STORAGE => "make room, or make the file and its directory writable",
            _ => "see the log of this service",
        };
        format!("the database fails ({operation}: {cause}); {advice}. It is tried again until it works")
    }
}

/// A number and its noun, in words.
pub(super) fn counted(count: u64, what: &str) -> String {
    let many = if count == 1 { "" } else { "s" };
    format!("{count} {what}{many}")
}

/// Counts what is being worked on, and notices when none of it ends.
#[derive(Debug, Default)]
pub(super) struct Pace {
    ended: u64,
    since: Option<Instant>,
}

impl Pace {
    /// For how long nothing of what was taken has ended, and how much that is.
    pub(super) fn look(&mut self, all: &Served) -> Option<(u64, Duration)> {
        let ended = all.done + all.refused + all.failed + all.returned + all.lost;
        let open = all.taken.saturating_sub(ended);
        if open == 0 || std::mem::replace(&mut self.ended, ended) != ended {
            self.since = None;
        }
        let since = self.since.get_or_insert_with(Instant::now);
        (open > 0).then(|| (open, since.elapsed()))
    }
}

/// That the database answers nothing at all.
pub(super) fn worker(open: u64, time: Duration) -> String {
    let seconds = time.as_secs();
    format!(
        "{} begun and not ended for {seconds} s: the database does not answer. See whether its \
         disk hangs; if not, restart this service",
        counted(open, "message")
    )
}

#[cfg(test)]
mod tests {
    use tokio::time;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_tried_again_is_known_with_its_cause_until_it_is_done() {
        let progress = Progress::default();
        let mut first = progress.taken("item_added");
        assert!(progress.stuck().is_none(), "it has not failed");
        time::advance(Duration::from_secs(2)).await;
        let mut second = progress.taken("note_taken");
        first.because(&Cause::new(Code::BUSY, "locked"));
        first.because(&Cause::new(Code::BUSY, "still locked"));
        second.because(&Cause::new(Code::STORAGE, "full"));
        let stuck = progress.stuck().expect("two wait");
        assert_eq!((stuck.count, stuck.longest), (2, Duration::from_secs(2)));
        assert!(stuck.reason().contains("still locked"), "{}", stuck.reason());
        drop(first);
        assert!(progress.stuck().expect("one waits").reason().contains("full"));
        drop(second);
        assert!(progress.stuck().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_from_which_nothing_comes_back_is_noticed_by_the_counters() {
        let mut pace = Pace::default();
        let mut all = Served { taken: 3, ..Served::default() };
        pace.look(&all);
        time::advance(PATIENCE).await;
        assert_eq!(pace.look(&all), Some((3, PATIENCE)));
        all.done = 1;
        assert_eq!(pace.look(&all), Some((2, Duration::ZERO)));
        all.done = 3;
        assert_eq!(pace.look(&all), None);
    }
}
