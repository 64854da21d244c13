//! Offering again what waits.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use rosey_layers::{Class, Classify};
use tokio::sync::Notify;
use tokio::time;

use super::entry::Entry;
use super::pace::{Backoff, Width};
use super::round::{Replayed, Round};
use super::{OFFERED, OutboxService};
use crate::client::{Db, Stack};
use crate::clock;
use crate::error::Cause;
use crate::operation::Operation;
use crate::reply::Via;

/// How many events are read at a time.
const PAGE: u32 = 256;
/// How often a round that takes long says how far it is.
const PROGRESS: Duration = Duration::from_secs(5);

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
/// | class `TooLarge` | stays, and is passed over in this round: another path may take it |
/// | any other error | the round stops; the next one after a pause of 250 ms, longer each time, up to 30 s |
/// | waited for more than [`OFFERED`] | set aside, never offered again |
///
/// [`wake`](Self::wake) ends the pause at once: call it when a path returns.
pub struct Replayer<O, S> {
    outbox: OutboxService<O>,
    db: Db<S>,
    in_flight: usize,
    wake: Arc<Notify>,
    replayed: AtomicU64,
    refused: AtomicU64,
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

/// What was taken until then is not offered any more.
pub(super) fn horizon() -> i64 {
    clock::now() - i64::try_from(OFFERED.as_millis()).unwrap_or(i64::MAX)
}

impl<O: Operation, S: Stack<O>> Replayer<O, S> {
    /// Offers what waits, whenever something does, until `stop` completes. A round that is interrupted has done what it
    /// has done; the rest waits for the next one.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut counts = self.outbox.watch();
        let mut backoff = Backoff::new();
        let mut pause = Duration::ZERO;
        loop {
            let due = async {
                // An outbox that is closed has nothing to offer any more.
                if counts.wait_for(|counts| counts.waiting > 0).await.is_err() {
                    return std::future::pending().await;
                }
                tokio::select! {
                    () = time::sleep(pause) => false,
                    () = self.wake.notified() => true,
                }
            };
            let woken = tokio::select! {
                biased;
                () = &mut stop => return,
                woken = due => woken,
            };
            if woken {
                backoff.reset();
            }
            let round = tokio::select! {
                biased;
                () = &mut stop => return,
                round = self.once() => round,
            };
            if round.is_done() {
                backoff.reset();
                // What comes next has just failed on all paths.
                pause = Backoff::FIRST;
            } else {
                pause = backoff.after_failure();
            }
        }
    }

    /// Offers everything that waits once, until a path fails. Dropping the future leaves what was not acknowledged, and
    /// perhaps some of what was: both are offered again.
    pub async fn once(&self) -> Round {
        let mut round = Round::default();
        let horizon = horizon();
        match self.outbox.expire(horizon).await {
            Ok(expired) => round.expired = expired,
            Err(cause) => round.stopped = Some(cause),
        }
        if round.expired > 0 {
            tracing::warn!(
                outbox = %self.outbox.path().display(),
                "{} operations have waited for more than 7 days: they are kept, and not offered any more; `rosey outbox` \
                 lists them",
                round.expired
            );
        }
        let (mut width, mut page, mut after, mut more) =
            (Width::new(self.in_flight), VecDeque::new(), 0, true);
        let mut flying = FuturesUnordered::new();
        let mut said = Instant::now();
        loop {
            while round.stopped.is_none() && flying.len() < width.get() {
                if page.is_empty() && more {
                    match self.outbox.next(after, horizon, PAGE).await {
                        Ok(entries) => page.extend(entries),
                        Err(cause) => round.stopped = Some(cause),
                    }
                    more = page.len() == PAGE as usize;
                    after = page.back().map_or(after, |entry: &Entry| entry.seq);
                }
                let Some(entry) = page.pop_front() else { break };
                flying.push(self.offer(entry));
            }
            let Some(first) = flying.next().await else { break };
            // Those that one transaction has answered are forgotten in one, too.
            let mut answered = vec![first];
            while let Some(Some(next)) = flying.next().now_or_never() {
                answered.push(next);
            }
            self.settle(answered, &mut width, &mut round).await;
            if said.elapsed() > PROGRESS {
                said = Instant::now();
                let waiting = self.outbox.counts().waiting;
                tracing::info!("replaying the outbox: {} operations done, {waiting} wait", round.replayed);
            }
        }
        self.say(&round);
        round
    }

    async fn offer(&self, entry: Entry) -> (Entry, Result<Via, Cause>) {
        let result = match entry.request::<O>() {
            Ok(request) => self.db.send(request).await.map(|reply| reply.via).map_err(|e| e.into_cause()),
            Err(cause) => Err(cause),
        };
        (entry, result)
    }

    async fn settle(&self, answered: Vec<(Entry, Result<Via, Cause>)>, width: &mut Width, round: &mut Round) {
        let mut taken = Vec::with_capacity(answered.len());
        for (entry, result) in answered {
            match result {
                Ok(Via::Outbox) => {
                    // Its word would be our own: what it "takes" is what we would then forget.
                    let why = "the stack of the replayer leads back into an outbox";
                    round.stopped = Some(Cause::new(crate::Code::UNAVAILABLE, why));
                }
                Ok(Via::Nats | Via::Db) => {
                    width.taken();
                    taken.push(entry);
                }
                Err(cause) if cause.class() == Class::Rejected => self.set_aside(&entry, cause, round).await,
                Err(cause) if cause.class() == Class::TooLarge => round.passed_over += 1,
                Err(cause) => round.stopped = Some(cause),
            }
        }
        if taken.is_empty() {
            return;
        }
        match self.outbox.forget(&taken).await {
            Ok(()) => {
                let oldest = taken.iter().map(|entry| entry.taken_at).min();
                round.oldest = round.oldest.into_iter().chain(oldest).min();
                round.replayed += taken.len() as u64;
                self.replayed.fetch_add(taken.len() as u64, Ordering::Relaxed);
            }
            // They are offered again, and the ledger knows them.
            Err(cause) => round.stopped = Some(cause),
        }
    }

    async fn set_aside(&self, entry: &Entry, cause: Cause, round: &mut Round) {
        tracing::warn!(
            operation = entry.operation,
            id = entry.id,
            occurred_at = entry.occurred_at,
            "refused, set aside in the outbox and not tried again: {cause}"
        );
        match self.outbox.refuse(entry, cause).await {
            Ok(()) => {
                round.refused += 1;
                self.refused.fetch_add(1, Ordering::Relaxed);
            }
            Err(cause) => round.stopped = Some(cause),
        }
    }

    fn say(&self, round: &Round) {
        let waiting = self.outbox.counts().waiting;
        if let Some(oldest) = round.oldest {
            #[allow(clippy::cast_precision_loss)] // a duration for people
            let age = clock::now().saturating_sub(oldest).max(0) as f64 / 1000.0;
            let count = round.replayed;
            tracing::info!(
                "replayed {count} operations from the outbox, the oldest of which had waited for {age:.1} s; {waiting} wait"
            );
        }
        if let Some(cause) = &round.stopped {
            tracing::debug!("the replay of the outbox has stopped, {waiting} operations wait: {cause}");
        }
    }
}
