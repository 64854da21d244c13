//! Turns between the writers of several processes.
//!
//! SQLite has no queue: a writer that waits for its lock polls, and would hardly ever catch a busy writer between two
//! transactions. So a writer that waits takes a shared lock on a file beside the database; and a writer that has
//! written for a while checks for such locks, and if there is one leaves SQLite's lock free for a moment. It is a hint and
//! nothing more: SQLite's lock alone decides, and a process that dies takes its hint along.

use std::fs::{File, TryLockError};
use std::time::{Duration, Instant};

use tokio::time;

use super::SqliteOptions;
use crate::sqlite::files;

/// How long a writer may go on before it checks whether another one waits.
const MINE: Duration = Duration::from_millis(4);
/// How long it then leaves the lock free: longer than the pause between two tries of one that waits.
const YOURS: Duration = Duration::from_millis(3);
/// The pause between two tries, and for how long it is that short.
const TRY: Duration = Duration::from_millis(1);
const SOON: Duration = Duration::from_millis(100);
/// The pause after that: a writer that holds the lock does not check.
const LATER: Duration = Duration::from_millis(5);
/// For how long a hint is believed. No writer waits for longer; another program that has taken the lock may, and would make
/// all of them slow.
const BELIEVED: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct WriteFairness {
    /// None where the file cannot be opened: then no writer yields.
    hint: Option<File>,
    /// Whether our hint is up.
    raised: bool,
    /// How long this writer has held the lock since another one could take it.
    held: Duration,
    /// Since when every check has found a writer that waits.
    waits: Option<time::Instant>,
}

impl WriteFairness {
    pub(super) fn new(options: &SqliteOptions) -> Self {
        let path = options.turn_path();
        let hint = files::lock(&path, options.path(), options.file_mode);
        if let Err(e) = &hint {
            tracing::debug!(path = %path.display(), "no turns between processes: {e}");
        }
        Self { hint: hint.ok(), raised: false, held: Duration::ZERO, waits: None }
    }

    /// Another writer has had the lock for as long as this one has `waited`: sets the hint, and waits a moment.
    pub(super) async fn wait(&mut self, waited: Duration) {
        if let Some(hint) = self.hint.as_ref().filter(|_| !self.raised) {
            // A writer that checks just now holds it for an instant: then the next try sets it.
            self.raised = hint.try_lock_shared().is_ok();
        }
        time::sleep(if waited < SOON { TRY } else { LATER }).await;
    }

    /// Waits no longer: takes the hint back.
    pub(super) fn give_up(&mut self) {
        if std::mem::take(&mut self.raised)
            && let Some(hint) = &self.hint
        {
            let _ = hint.unlock();
        }
    }

    /// After a transaction that began at `since`, ours or not: takes the hint back, and leaves the lock free if it
    /// was ours for long and another writer waits.
    pub(super) async fn over(&mut self, since: Instant) {
        self.give_up();
        self.held += since.elapsed();
        if self.held < MINE {
            return;
        }
        // One that has waited for long looks less often.
        let yours = if self.held < SOON { YOURS } else { 2 * LATER };
        self.held = Duration::ZERO;
        if self.somebody_waits() {
            time::sleep(yours).await;
        } else {
            tokio::task::yield_now().await;
        }
    }

    fn somebody_waits(&mut self) -> bool {
        let Some(hint) = &self.hint else { return false };
        match hint.try_lock() {
            Ok(()) => {
                let _ = hint.unlock();
                self.waits = None;
                false
            }
            Err(TryLockError::WouldBlock) => {
                self.waits.get_or_insert_with(time::Instant::now).elapsed() < BELIEVED
            }
            Err(TryLockError::Error(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(dir: &tempfile::TempDir, name: &str) -> SqliteOptions {
        SqliteOptions::new(&dir.path().join(name).display().to_string()).expect("a path")
    }

    fn turns<const N: usize>() -> (tempfile::TempDir, [WriteFairness; N]) {
        let dir = tempfile::tempdir().expect("a folder");
        let options = options(&dir, "shop.db");
        (dir, std::array::from_fn(|_| WriteFairness::new(&options)))
    }

    /// How long the lock is left free after a transaction of this length, on a clock that only sleeping moves.
    async fn free_after(turn: &mut WriteFairness, length: Duration) -> Duration {
        let before = time::Instant::now();
        turn.over(Instant::now() - length).await;
        before.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn the_lock_is_left_free_after_a_while_if_somebody_waits_and_only_then() {
        let (_dir, [mut writes, mut waits]) = turns();
        assert_eq!(free_after(&mut writes, MINE).await, Duration::ZERO, "no process waits");
        waits.wait(Duration::ZERO).await;
        assert_eq!(free_after(&mut writes, MINE / 4).await, Duration::ZERO, "it has only begun");
        assert_eq!(free_after(&mut writes, MINE).await, YOURS);
        assert_eq!(free_after(&mut writes, MINE).await, YOURS, "still waiting");
        assert_eq!(free_after(&mut waits, Duration::ZERO).await, Duration::ZERO);
        assert_eq!(free_after(&mut writes, MINE).await, Duration::ZERO, "it has had its turn");
    }

    #[tokio::test(start_paused = true)]
    async fn short_transactions_add_up() {
        let (_dir, [mut writes, mut waits]) = turns();
        waits.wait(Duration::ZERO).await;
        let mut free = Duration::ZERO;
        for _ in 0..8 {
            free += free_after(&mut writes, MINE / 4).await;
        }
        assert_eq!(free, 2 * YOURS);
    }

    #[tokio::test(start_paused = true)]
    async fn several_may_wait_and_whoever_dies_waits_no_more() {
        let (_dir, [mut writes, mut one, mut two]) = turns();
        one.wait(Duration::ZERO).await;
        two.wait(Duration::ZERO).await;
        one.over(Instant::now()).await;
        assert_eq!(free_after(&mut writes, MINE).await, YOURS, "one of them still does");
        drop(two);
        assert_eq!(free_after(&mut writes, MINE).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hint_that_never_ends_is_not_believed_and_the_next_one_is() {
        let (_dir, [mut writes, mut waits]) = turns();
        waits.wait(Duration::ZERO).await;
        assert_eq!(free_after(&mut writes, MINE).await, YOURS);
        time::advance(BELIEVED).await;
        assert_eq!(free_after(&mut writes, MINE).await, Duration::ZERO, "no writer waits for that long");
        waits.over(Instant::now()).await;
        assert_eq!(free_after(&mut writes, MINE).await, Duration::ZERO);
        waits.wait(Duration::ZERO).await;
        assert_eq!(free_after(&mut writes, MINE).await, YOURS);
    }

    #[tokio::test(start_paused = true)]
    async fn without_the_file_nobody_is_polite_and_nobody_fails() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut turn = WriteFairness::new(&options(&dir, "missing/shop.db"));
        turn.wait(Duration::ZERO).await;
        assert_eq!(free_after(&mut turn, MINE).await, Duration::ZERO);
    }
}
