//! Offering again what waits.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use eitherway_layers::logging::{RateLimitedLog, Summary};
use eitherway_layers::{Class, Classify};
use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{Notify, watch};
use tokio::time;

use super::cursor::Cursor;
use super::entry::StoredEntry;
use super::log::ReplayLog;
use super::options::horizon;
use super::pace::{Backoff, Width};
use super::pass::{ReplayPass, Replayed};
use super::{Counts, OutboxService};
use crate::client::{Db, Stack};
use crate::error::Cause;
use crate::hints::hints;
use crate::operation::Operation;
use crate::reply::Via;
use crate::trace::Trace;

/// How often those that have become too old are looked for. What is too old is never offered, found or not.
const SWEEP: Duration = Duration::from_secs(60);

/// Offers again what waits in an outbox, over a stack **without** that outbox.
///
/// The oldest first, by the order in which they were taken; some of them at the same time (one at first, twice as many
/// as long as they are taken, up to [`in_flight`](Self::in_flight)); each with the id, time and trace it came with. An
/// event leaves the outbox only when a path has acknowledged it: a crash in between offers it again, and the ledger
/// knows it.
///
/// | the answer | then |
/// |---|---|
/// | acknowledged | forgotten |
/// | class `Rejected` | set aside with the reason, logged; the others go on |
/// | class `TooLarge` | stays, and is passed over in this pass: another path may take it |
/// | any other error | the pass stops; the next one comes after a pause of 250 ms, longer each time, up to 30 s |
/// | waited for more than [`MAX_REPLAY_AGE`](super::MAX_REPLAY_AGE) | set aside, never offered again |
///
/// A pass begins behind the one at which the last pass stopped, and turns back to it at the end: one that always fails
/// does not hold up the others.
///
/// [`wake`](Self::wake) ends the pause at once: call it when a path returns.
pub struct Replayer<O, S> {
    outbox: OutboxService<O>,
    db: Db<S>,
    in_flight: usize,
    wake: Arc<Notify>,
    replayed: AtomicU64,
    refused: AtomicU64,
    /// The number of the first one that failed in the last pass.
    failed: AtomicI64,
    /// When the last look for those that are too old was.
    swept: Mutex<Option<Instant>>,
    log: ReplayLog,
    refusals: RateLimitedLog,
}

impl<O, S> fmt::Debug for Replayer<O, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replayer")
            .field("outbox", &self.outbox)
            .field("done", &self.done())
            .finish_non_exhaustive()
    }
}

impl<O, S> Replayer<O, S> {
    /// A replayer over this stack, which must not lead back into the outbox.
    pub fn new(outbox: OutboxService<O>, stack: S) -> Self {
        Self {
            outbox,
            db: Db::new(stack),
            in_flight: 64,
            wake: Arc::default(),
            replayed: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicI64::new(0),
            swept: Mutex::default(),
            log: ReplayLog::default(),
            refusals: RateLimitedLog::new(),
        }
    }

    /// How many events may be on their way at the same time; 64.
    #[must_use]
    pub fn in_flight(self, in_flight: usize) -> Self {
        Self { in_flight, ..self }
    }

    /// To be notified when a path returns.
    #[must_use]
    pub fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// What was done so far.
    pub fn done(&self) -> Replayed {
        Replayed {
            replayed: self.replayed.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }
}

impl<O: Operation, S: Stack<O>> Replayer<O, S> {
    /// Offers what waits, whenever something does, until `stop` completes. A pass that is interrupted has done what it
    /// has done; the rest waits for the next one. Dropping the future does the same without a last word in the log.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut counts = self.outbox.watch();
        let mut backoff = Backoff::new();
        let mut pause = Duration::ZERO;
        loop {
            let pass = async {
                if self.due(&mut counts, pause).await {
                    backoff.reset();
                }
                self.once().await
            };
            let pass = tokio::select! {
                biased;
                () = &mut stop => break,
                pass = pass => pass,
            };
            if pass.is_done() {
                backoff.reset();
                // What comes next has just failed on all paths.
                pause = Backoff::FIRST;
            } else {
                pause = backoff.after_failure();
            }
        }
        self.say(true);
    }

    /// Waits until something waits, and for the pause; returns whether that was cut short because a path has returned.
    async fn due(&self, counts: &mut watch::Receiver<Counts>, pause: Duration) -> bool {
        let mut due = pin!(async {
            // An outbox that is closed has nothing to offer any more.
            if counts.wait_for(|counts| counts.waiting > 0).await.is_err() {
                return std::future::pending().await;
            }
            tokio::select! {
                () = time::sleep(pause) => false,
                () = self.wake.notified() => true,
            }
        });
        loop {
            let unsaid = self.log.due();
            tokio::select! {
                woken = &mut due => return woken,
                () = time::sleep_until(unsaid.unwrap_or_else(time::Instant::now)), if unsaid.is_some() => self.say(false),
            }
        }
    }

    /// Offers everything that waits once, until a path fails. Dropping the future leaves what was not acknowledged, and
    /// perhaps some of what was: both are offered again.
    pub async fn once(&self) -> ReplayPass {
        let mut pass = ReplayPass::default();
        let horizon = horizon();
        self.sweep(horizon, &mut pass).await;
        let mut cursor = Cursor::new(self.failed.swap(0, Ordering::Relaxed), horizon);
        let mut width = Width::new(self.in_flight);
        let mut flying = FuturesUnordered::new();
        loop {
            while pass.stopped.is_none() && flying.len() < width.get() {
                match cursor.next(&self.outbox).await {
                    Ok(Some(entry)) => flying.push(self.offer(entry)),
                    Ok(None) => break,
                    Err(cause) => pass.stopped = Some(cause),
                }
            }
            let Some(first) = flying.next().await else {
                if pass.stopped.is_none() && cursor.turn() {
                    continue;
                }
                break;
            };
            // Those that one transaction has answered are forgotten in one, too.
            let mut answered = vec![first];
            while let Some(Some(next)) = flying.next().now_or_never() {
                answered.push(next);
            }
            self.record(answered, &mut width, &mut pass).await;
            self.say(false);
        }
        if let Some(cause) = &pass.stopped {
            let waiting = self.outbox.counts().waiting;
            tracing::debug!("the replay of the outbox has stopped, {waiting} operations wait: {cause}");
        }
        pass
    }

    /// Sets aside what is too old, now and then: looking for it reads everything.
    async fn sweep(&self, horizon: i64, pass: &mut ReplayPass) {
        {
            let mut swept = self.swept.lock();
            if swept.is_some_and(|at| at.elapsed() < SWEEP) {
                return;
            }
            *swept = Some(Instant::now());
        }
        match self.outbox.expire(horizon).await {
            Ok(0) => {}
            Ok(expired) => {
                pass.expired = expired;
                tracing::warn!(
                    outbox = %self.outbox.path().display(),
                    "{expired} operations have waited for more than 7 days: they are kept, and not offered any more; {} lists \
                     them",
                    hints().outbox
                );
            }
            Err(cause) => pass.stopped = Some(cause),
        }
    }

    async fn offer(&self, entry: StoredEntry) -> (StoredEntry, Result<Via, Cause>) {
        let result = match entry.request::<O>() {
            Ok(request) => self.db.send(request).await.map(|reply| reply.via).map_err(|e| e.into_cause()),
            Err(cause) => Err(cause),
        };
        (entry, result)
    }

    async fn record(
        &self,
        answered: Vec<(StoredEntry, Result<Via, Cause>)>,
        width: &mut Width,
        pass: &mut ReplayPass,
    ) {
        let mut taken = Vec::with_capacity(answered.len());
        for (entry, result) in answered {
            match result {
                Ok(Via::OUTBOX) => {
                    // Its word would be our own: what it "takes" is what we would then forget.
                    let why = "the stack of the replayer leads back into an outbox";
                    pass.stopped = Some(Cause::new(crate::Code::UNAVAILABLE, why));
                }
                Ok(_) => {
                    width.taken();
                    taken.push(entry);
                }
                Err(cause) if cause.class() == Class::Rejected => self.set_aside(&entry, cause, pass).await,
                Err(cause) if cause.class() == Class::TooLarge => pass.passed_over += 1,
                Err(cause) => {
                    let first = self.failed.load(Ordering::Relaxed);
                    if first == 0 || entry.seq < first {
                        self.failed.store(entry.seq, Ordering::Relaxed);
                    }
                    pass.stopped = Some(cause);
                }
            }
        }
        if taken.is_empty() {
            return;
        }
        match self.outbox.forget(&taken).await {
            Ok(()) => {
                let oldest = taken.iter().map(|entry| entry.taken_at).min();
                pass.oldest = pass.oldest.into_iter().chain(oldest).min();
                pass.replayed += taken.len() as u64;
                self.replayed.fetch_add(taken.len() as u64, Ordering::Relaxed);
                self.log.add(taken.len() as u64, oldest);
            }
            // They are offered again, and the ledger knows them.
            Err(cause) => pass.stopped = Some(cause),
        }
    }

    async fn set_aside(&self, entry: &StoredEntry, cause: Cause, pass: &mut ReplayPass) {
        if let Some(more) = self.refusals.record() {
            tracing::warn!(
                operation = entry.operation,
                id = entry.id,
                trace_id = entry.trace().as_ref().map(Trace::id),
                occurred_at = entry.occurred_at,
                "refused, set aside in the outbox and not tried again: {cause}{more}"
            );
        }
        match self.outbox.refuse(entry, cause).await {
            Ok(()) => {
                pass.refused += 1;
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(cause) => pass.stopped = Some(cause),
        }
    }

    fn say(&self, at_the_end: bool) {
        self.log.say(self.outbox.path(), self.outbox.counts().waiting, at_the_end);
        let past = if at_the_end { self.refusals.flush() } else { self.refusals.recovered() };
        if let Some(Summary { unsaid, .. }) = past.filter(|past| past.unsaid > 0) {
            tracing::warn!(
                outbox = %self.outbox.path().display(),
                "{unsaid} more operations were refused and set aside; {} lists them",
                hints().outbox
            );
        }
    }
}
