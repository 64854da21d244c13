//! The writer: one task that takes what is waiting, never waits for more, and has it committed in one transaction.

use std::time::{Duration, Instant};

use eitherway_layers::{Class, Classify};
use tokio::sync::mpsc;
use tokio::time;

use super::DeadLetter;
use super::duplicates::Duplicates;
use super::fold::Appended;
use super::queue::{Answer, Batch, Item, Write, id_reused};
use super::record::{Record, Removal};
use crate::error::Cause;

/// How often the database itself is looked at, while there is nothing to write.
const LOOK: Duration = Duration::from_millis(500);

/// What became of one operation.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It is in the database, now or since before; its answer as JSON.
    Answer(String),
    /// Its id stands in the ledger for something else.
    IdReused,
    /// It was refused, and nothing of it is in the database but that, perhaps.
    Refused(Cause),
}

/// What became of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// In the order of the writes.
    pub(crate) outcomes: Vec<Outcome>,
    /// Kinds of operations that the ledger knew already, one for each of them.
    pub(crate) repeats: Vec<usize>,
}

/// What a database does for its writer.
pub(crate) trait Backend: Send + 'static {
    /// Why a transaction failed.
    type Failure: Send + Sync;

    /// Looks at the database, twice a second.
    fn look(&mut self) -> impl Future<Output = ()> + Send;

    /// Applies these in one transaction: all, or none.
    fn transaction(
        &mut self,
        writes: &[Write],
    ) -> impl Future<Output = Result<Applied, Self::Failure>> + Send;

    /// Whether some of these writes make the transaction fail, and the rest could be applied without them; or have waited for
    /// long enough, and the rest have not.
    fn is_of_some(&mut self, failure: &Self::Failure, writes: &[Write]) -> impl Future<Output = bool> + Send;

    /// What is told to all of these.
    fn cause(&mut self, failure: Self::Failure, writes: &[Write]) -> impl Future<Output = Cause> + Send;

    /// Keeps dead letters: all, or none.
    fn keep_dead_letter(&mut self, letters: &[DeadLetter]) -> impl Future<Output = Result<(), Cause>> + Send;

    /// Removes what is old; answers how many rows, or what else the sweep counts.
    fn remove(&mut self, removal: &Removal) -> impl Future<Output = Result<u64, Cause>> + Send;

    /// Writes down a fact.
    fn record(&mut self, record: &Record) -> impl Future<Output = Result<(), Cause>> + Send;

    /// Lets go of the database.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Runs until [`Item::Close`] comes, or all senders are dropped.
pub(crate) async fn run<B: Backend>(
    backend: B,
    repeats: Duplicates,
    appended: Appended,
    mut queue: mpsc::Receiver<Item>,
) {
    let mut writer = Writer { backend, repeats, appended };
    let mut looked = Instant::now();
    loop {
        // Also while there are nothing but pings.
        if looked.elapsed() >= LOOK {
            writer.backend.look().await;
            looked = Instant::now();
        }
        let first = match time::timeout(LOOK, queue.recv()).await {
            Ok(Some(first)) => first,
            Ok(None) => break,
            Err(_) => continue,
        };
        let mut batch = Batch::default();
        batch.add(first);
        while !batch.is_full() {
            match queue.try_recv() {
                Ok(item) => batch.add(item),
                Err(_) => break,
            }
        }
        let close = batch.close.take();
        writer.commit(batch).await;
        if let Some(tx) = close {
            queue.close();
            writer.backend.close().await;
            let _ = tx.send(());
            return;
        }
    }
    writer.backend.close().await;
}

struct Writer<B> {
    backend: B,
    repeats: Duplicates,
    appended: Appended,
}

impl<B: Backend> Writer<B> {
    /// Commits the batch and answers every waiter. A waiter that is gone is no reason to stop.
    async fn commit(&mut self, batch: Batch) {
        let Batch {
            writes, waiting, id_conflicts, letters, letters_waiting, removal, record, barriers, ..
        } = batch;
        let (repeats, mut waiting) = (self.repeats.clone(), waiting.into_iter().zip(&writes));
        // At once: the rest of the batch may have to wait for a lock.
        let outcomes = self
            .apply(&writes, |outcome| {
                let Some((waiting, write)) = waiting.next() else { return };
                if outcome.is_ok() {
                    // They have met here, and share one row of the ledger.
                    repeats.add(write.index, waiting.len() as u64 - 1);
                }
                for tx in waiting {
                    let _ = tx.send(outcome.clone());
                }
            })
            .await;
        for (first, tx) in id_conflicts {
            // The id is taken only if the first one took it; otherwise this one has failed with it.
            let _ = tx.send(outcomes[first].clone().and(Err(id_reused())));
        }
        // A database that is locked for the operations is so for the letters: waiting twice is of no use.
        let busy =
            outcomes.iter().find_map(|o| o.as_ref().err()).filter(|c| c.class() == Class::Backend).cloned();
        if !letters.is_empty() {
            let kept = match busy {
                Some(cause) => Err(cause),
                None => self.backend.keep_dead_letter(&letters).await,
            };
            for tx in letters_waiting {
                let _ = tx.send(kept.clone());
            }
        }
        if let Some((removal, tx)) = removal {
            let _ = tx.send(self.backend.remove(&removal).await);
        }
        if let Some((record, tx)) = record {
            let _ = tx.send(self.backend.record(&record).await);
        }
        for tx in barriers {
            let _ = tx.send(());
        }
    }

    /// Applies writes in one transaction. If it fails because of one of them, whatever the database calls that, halves are
    /// tried, down to the one that fails alone; its neighbours commit. Each outcome is told as soon as it is known.
    async fn apply(&mut self, writes: &[Write], mut tell: impl FnMut(&Answer)) -> Vec<Answer> {
        if writes.is_empty() {
            return Vec::new();
        }
        // Depth first, so that outcomes come in the order of the writes.
        let mut outcomes = Vec::with_capacity(writes.len());
        let mut parts = vec![writes];
        while let Some(part) = parts.pop() {
            let known = outcomes.len();
            match self.backend.transaction(part).await {
                Ok(applied) => {
                    self.appended.tell(part);
                    for index in applied.repeats {
                        self.repeats.add(index, 1);
                    }
                    outcomes.extend(applied.outcomes.into_iter().map(|outcome| match outcome {
                        Outcome::Answer(json) => Ok(json),
                        Outcome::IdReused => Err(id_reused()),
                        Outcome::Refused(cause) => Err(cause),
                    }));
                }
                Err(e) if part.len() > 1 && self.backend.is_of_some(&e, part).await => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.push(second);
                    parts.push(first);
                }
                Err(e) => {
                    let cause = self.backend.cause(e, part).await;
                    tracing::debug!(operations = part.len(), "a transaction failed: {cause}");
                    outcomes.extend(part.iter().map(|_| Err(cause.clone())));
                }
            }
            outcomes[known..].iter().for_each(&mut tell);
        }
        outcomes
    }
}
