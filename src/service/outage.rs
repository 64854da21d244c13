//! While the database fails, one back-off for all that is tried again: a probe at a time, and after a success twice as many.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{self, Instant};
use uuid::Uuid;

use crate::error::{Cause, Code};

/// The pause before the next probe, first and longest, before jitter.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// After this many successes in a row, with nothing that waits, the database is well.
const WELL: usize = 64;

/// The back-off of one database.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// The same as in the state, for those that only want to know.
    fails: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What waits for its turn: those that have failed least first, then in the order in which they came.
    waiting: BTreeMap<Priority, oneshot::Sender<RetryPermit>>,
    next: u64,
    failing: Option<Failing>,
}

/// How often it has failed, and a number.
type Priority = (u32, u64);

#[derive(Debug)]
struct Failing {
    pause: Duration,
    not_before: Instant,
    failed: Instant,
    /// How many attempts are under way, and how many may be.
    under_way: usize,
    width: usize,
}

/// The right to try once. Dropped without a word, it is given on.
#[derive(Debug)]
pub(super) struct RetryPermit {
    outage: Arc<Outage>,
    given: Instant,
    /// Whether it is one of those that are counted while the database fails.
    counted: bool,
}

/// Waits for a turn. Dropped, it has left the queue.
#[derive(Debug)]
pub(super) struct PendingPermit {
    outage: Arc<Outage>,
    priority: Priority,
    permit: oneshot::Receiver<RetryPermit>,
}

/// Whether the database is the cause, and every other operation meets the same.
pub(super) fn is_of_the_database(cause: &Cause) -> bool {
    let codes = [Code::UNAVAILABLE, Code::UNANSWERED, Code::STORAGE, Code::OVERLOADED, Code::BUSY];
    codes.contains(&cause.code())
}

impl Outage {
    /// A turn for something that has failed so often; or a place in the queue, while the database fails.
    pub(super) fn enter(self: &Arc<Self>, failures: u32) -> Result<RetryPermit, PendingPermit> {
        if !self.fails.load(Ordering::Relaxed) {
            return Ok(RetryPermit { outage: Arc::clone(self), given: Instant::now(), counted: false });
        }
        let (tx, permit) = oneshot::channel();
        let mut state = self.state.lock();
        state.next += 1;
        let priority = (failures, state.next);
        state.waiting.insert(priority, tx);
        drop(state);
        self.admit();
        Err(PendingPermit { outage: Arc::clone(self), priority, permit })
    }

    /// Something was written beside the queue, or the store has found its database again: the next probe comes soon.
    #[inline]
    pub(super) fn lives(self: &Arc<Self>) {
        if !self.fails.load(Ordering::Relaxed) {
            return;
        }
        let sooner = self.state.lock().failing.as_mut().is_some_and(|failing| {
            failing.pause = PAUSE.0;
            let soon = failing.failed + PAUSE.0;
            let sooner = failing.not_before > soon;
            failing.not_before = failing.not_before.min(soon);
            sooner
        });
        if sooner {
            self.admit_later();
        }
    }

    /// Gives turns to those whose time has come.
    fn admit(self: &Arc<Self>) {
        let mut late = Vec::new();
        let mut state = self.state.lock();
        let State { waiting, failing, .. } = &mut *state;
        let now = Instant::now();
        while failing.as_ref().is_none_or(|f| f.under_way < f.width && f.not_before <= now) {
            let Some((_, waits)) = waiting.pop_first() else { break };
            let permit = RetryPermit { outage: Arc::clone(self), given: now, counted: failing.is_some() };
            match (waits.send(permit), failing.as_mut()) {
                (Ok(()), Some(failing)) => failing.under_way += 1,
                (Ok(()), None) => {}
                (Err(mut permit), _) => {
                    permit.counted = false;
                    late.push(permit);
                }
            }
        }
        drop(state);
    }

    /// The same when the pause is over.
    fn admit_later(self: &Arc<Self>) {
        let Some(until) = self.state.lock().failing.as_ref().map(|failing| failing.not_before) else {
            return;
        };
        let outage: Weak<Self> = Arc::downgrade(self);
        tokio::spawn(async move {
            time::sleep_until(until).await;
            outage.upgrade().iter().for_each(Self::admit);
        });
    }
}

impl Failing {
    fn begins(now: Instant) -> Self {
        let pause = PAUSE.0;
        Self { pause, not_before: now + jittered(pause), failed: now, under_way: 0, width: 1 }
    }
}

/// Between a half and all of it: the services of one server do not come back all at once.
fn jittered(pause: Duration) -> Duration {
    let (random, _) = Uuid::new_v4().as_u64_pair();
    pause.mul_f64(0.5 + f64::from((random >> 40) as u32) / f64::from(1 << 25))
}

impl RetryPermit {
    /// The database has done it.
    pub(super) fn served(mut self) {
        if !self.outage.fails.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.outage.state.lock();
        let waits = !state.waiting.is_empty();
        let Some(failing) = &mut state.failing else { return };
        if std::mem::take(&mut self.counted) {
            failing.under_way = failing.under_way.saturating_sub(1);
        }
        // What was begun before it failed tells nothing.
        if self.given > failing.failed {
            failing.pause = PAUSE.0;
            failing.width = (failing.width * 2).min(1 << 20);
        }
        if failing.width > WELL && !waits {
            state.failing = None;
            self.outage.fails.store(false, Ordering::Relaxed);
        }
        drop(state);
        self.outage.admit();
    }

    /// The database has failed. What has failed takes another place in the queue.
    pub(super) fn failed(mut self) {
        let now = Instant::now();
        {
            let mut state = self.outage.state.lock();
            let failing = state.failing.get_or_insert_with(|| Failing::begins(now));
            self.outage.fails.store(true, Ordering::Relaxed);
            if std::mem::take(&mut self.counted) {
                failing.under_way = failing.under_way.saturating_sub(1);
                failing.width = 1;
                // One longer pause for those that were tried together.
                if self.given > failing.failed {
                    failing.not_before = now + jittered(failing.pause);
                    failing.pause = (failing.pause * 2).min(PAUSE.1);
                    failing.failed = now;
                }
            }
        }
        self.outage.admit_later();
    }
}

impl Drop for RetryPermit {
    fn drop(&mut self) {
        if !self.counted {
            return;
        }
        if let Some(failing) = &mut self.outage.state.lock().failing {
            failing.under_way = failing.under_way.saturating_sub(1);
        }
        self.outage.admit();
    }
}

impl Future for PendingPermit {
    type Output = RetryPermit;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RetryPermit> {
        let permit = ready!(Pin::new(&mut self.permit).poll(cx));
        // Its sender is in the queue for as long as this is there.
        Poll::Ready(permit.expect("no place in the queue is lost"))
    }
}

impl Drop for PendingPermit {
    fn drop(&mut self) {
        self.outage.state.lock().waiting.remove(&self.priority);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    /// Tries until the database has done it; how often.
    async fn perform(outage: Arc<Outage>, serves: Arc<AtomicBool>, attempts: Arc<AtomicU64>) {
        for failures in 0.. {
            let permit = match outage.enter(failures) {
                Ok(permit) => permit,
                Err(pending) => pending.await,
            };
            attempts.fetch_add(1, Ordering::Relaxed);
            time::sleep(Duration::from_millis(1)).await;
            if serves.load(Ordering::Relaxed) {
                return permit.served();
            }
            permit.failed();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_that_wait_for_minutes_try_one_at_a_time_and_are_all_done_soon_after() {
        let (outage, serves, attempts) = (Arc::default(), Arc::default(), Arc::default());
        let begun =
            (0..1000).map(|_| perform(Arc::clone(&outage), Arc::clone(&serves), Arc::clone(&attempts)));
        let all = tokio::spawn(futures_util::future::join_all(begun));
        time::sleep(Duration::from_secs(420)).await;
        let tried = attempts.load(Ordering::Relaxed);
        assert!((1050..1250).contains(&tried), "each once, then a probe every 2.5 to 5 s: {tried}");
        serves.store(true, Ordering::Relaxed);
        let since = Instant::now();
        outage.lives();
        all.await.expect("all are done");
        assert!(since.elapsed() < Duration::from_millis(500), "{:?}", since.elapsed());
        assert_eq!(attempts.load(Ordering::Relaxed), tried + 1000, "each once");
    }

    #[tokio::test(start_paused = true)]
    async fn what_always_fails_keeps_nothing_else_from_its_turn() {
        let (outage, never, attempts) = (Arc::<Outage>::default(), Arc::default(), Arc::default());
        for _ in 0..10 {
            tokio::spawn(perform(Arc::clone(&outage), Arc::clone(&never), Arc::clone(&attempts)));
        }
        time::sleep(Duration::from_secs(60)).await;
        for n in 0..100 {
            let (since, well) = (Instant::now(), Arc::new(AtomicBool::new(true)));
            perform(Arc::clone(&outage), well, Arc::default()).await;
            // The first one finds the longest pause.
            assert!(since.elapsed() < Duration::from_millis(if n == 0 { 5_100 } else { 250 }), "{n}");
            time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_is_dropped_or_not_waited_for_is_given_on() {
        let outage = Arc::<Outage>::default();
        outage.enter(0).expect("it is well").failed();
        let mut tickets: Vec<_> = (0..3).map(|_| outage.enter(0).expect_err("it fails")).collect();
        let last = tickets.pop().expect("the third");
        drop(tickets.remove(0));
        time::sleep(PAUSE.0).await;
        drop(tickets);
        drop(last.await);
        assert!(outage.state.lock().waiting.is_empty());
    }
}
