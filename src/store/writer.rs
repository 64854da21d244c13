//! The writer: one task that takes what is waiting, never waits for more, and has it committed in one transaction.

use std::time::{Duration, Instant};

use eitherway_layers::{Class, Classify};
use tokio::sync::mpsc;
use tokio::time;

use super::DeadLetter;
use super::duplicates::Duplicates;
use super::fold::Appended;
use super::pulse::Pulse;
use super::queue::{Answer, Batch, Item, Write, id_reused};
use super::record::{Record, Removal};
use super::spans::Spans;
use crate::error::{Cause, Code};

/// How often the database itself is looked at, while there is nothing to write.
const LOOK: Duration = Duration::from_millis(500);

/// Writes, and changes nothing.
const PROBE: &str = "UPDATE meta SET value = value WHERE key = $1;";

/// What became of one operation.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// It is in the database, now or since before; its answer as JSON.
    Answer(String),
    /// Its id stands in the ledger for something else.
    IdReused,
    /// It was refused, and nothing of it is in the database but that, perhaps.
    Refused(Cause),
    /// Nothing of it is in the database, because the others of its transaction took long: it is for the next one.
    Later,
}

/// What became of a transaction.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// In the order of the writes.
    pub(crate) outcomes: Vec<Outcome>,
    /// Kinds of operations that the ledger knew already, one for each of them.
    pub(crate) duplicates: Vec<usize>,
}

/// What a database does for its writer.
pub(crate) trait Backend: Send + 'static {
    /// Why a transaction failed.
    type Failure: Send + Sync;

    /// Its name, as spans have it.
    const SYSTEM: &'static str;

    /// Looks at the database, twice a second.
    fn look(&mut self) -> impl Future<Output = ()> + Send;

    /// Applies these in one transaction: all but those that are for the next one, or none. The first is never left.
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

    /// Removes what is old; returns how many rows, or what else the sweep counts.
    fn remove(&mut self, removal: &Removal) -> impl Future<Output = Result<u64, Cause>> + Send;

    /// Writes down a fact.
    fn record(&mut self, record: &Record) -> impl Future<Output = Result<(), Cause>> + Send;

    /// Lets go of the database.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Runs until [`Item::Close`] comes, or all senders are dropped.
pub(crate) async fn run<B: Backend>(
    backend: B,
    duplicates: Duplicates,
    appended: Appended,
    pulse: Pulse,
    mut queue: mpsc::Receiver<Item>,
) {
    let mut writer = Writer { backend, duplicates, appended, pulse };
    let mut looked = Instant::now();
    loop {
        writer.pulse.turn();
        // Also while there are nothing but pings.
        if looked.elapsed() >= LOOK {
            writer.backend.look().await;
            writer.probe().await;
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
            writer.pulse.end();
            queue.close();
            writer.backend.close().await;
            let _ = tx.send(());
            return;
        }
    }
    writer.pulse.end();
    writer.backend.close().await;
}

struct Writer<B> {
    backend: B,
    duplicates: Duplicates,
    appended: Appended,
    pulse: Pulse,
}

impl<B: Backend> Writer<B> {
    async fn record(&mut self, record: &Record) -> Result<(), Cause> {
        let recorded = self.backend.record(record).await;
        recorded.as_ref().map_or_else(|cause| self.pulse.fails(cause), |()| self.pulse.works());
        recorded
    }

    /// Tries whether a database that has failed can be written again: without it, that would be unknown before the next operation.
    async fn probe(&mut self) {
        if self.pulse.is_to_be_tried() {
            let record = Record { statements: PROBE, value: "database_id".to_owned() };
            let _ = self.record(&record).await;
        }
    }

    /// Commits the batch and answers every waiter. A waiter that is gone is no reason to stop.
    async fn commit(&mut self, batch: Batch) {
        let Batch {
            writes, waiting, id_conflicts, letters, letters_waiting, removal, record, barriers, ..
        } = batch;
        let (duplicates, mut waiting) = (self.duplicates.clone(), waiting);
        // At once: the rest of the batch may have to wait for a lock.
        let outcomes = self
            .apply(&writes, |place, outcome| {
                let waiting = std::mem::take(&mut waiting[place]);
                if outcome.is_ok() {
                    // They have met here, and share one row of the ledger.
                    duplicates.add(writes[place].index, waiting.len() as u64 - 1);
                }
                for tx in waiting {
                    let _ = tx.send(outcome.clone());
                }
            })
            .await;
        // What no transaction has told of.
        for (waiting, outcome) in waiting.into_iter().zip(&outcomes) {
            for tx in waiting {
                let _ = tx.send(outcome.clone());
            }
        }
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
            let _ = tx.send(self.record(&record).await);
        }
        for tx in barriers {
            let _ = tx.send(());
        }
    }

    /// Applies writes in one transaction, and what that leaves in the next. If it fails because of one of them, whatever the
    /// database calls that, halves are tried, down to the one that fails alone; its neighbours commit. Each answer is told
    /// as soon as it is known, with the place of its write.
    async fn apply(&mut self, writes: &[Write], mut tell: impl FnMut(usize, &Answer)) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = vec![None; writes.len()];
        let mut parts: Vec<_> = std::iter::once(0..writes.len()).collect();
        while let Some(part) = parts.pop() {
            let (these, answers) = (&writes[part.clone()], &mut answers[part.clone()]);
            if these.is_empty() {
                continue;
            }
            let mut known = |place, slot: &mut Option<Answer>, answer| {
                if slot.is_none() {
                    tell(part.start + place, slot.insert(answer));
                }
            };
            let begun = Instant::now();
            let spans = Spans::begin(B::SYSTEM, these);
            let ended = self.backend.transaction(these).await;
            spans.end(ended.is_ok());
            self.pulse.ended(begun, these.len(), ended.is_ok());
            match ended {
                Ok(applied) => {
                    self.pulse.works();
                    self.appended.tell(these);
                    applied.duplicates.into_iter().for_each(|kind| self.duplicates.add(kind, 1));
                    for (place, (slot, outcome)) in answers.iter_mut().zip(applied.outcomes).enumerate() {
                        let answer = match outcome {
                            Outcome::Answer(json) => Ok(json),
                            Outcome::IdReused => Err(id_reused()),
                            Outcome::Refused(cause) => Err(cause),
                            Outcome::Later => continue,
                        };
                        known(place, slot, answer);
                    }
                    let left: Vec<usize> = answers
                        .iter()
                        .enumerate()
                        .filter_map(|(place, answer)| answer.is_none().then_some(part.start + place))
                        .collect();
                    // In runs without a gap: what has its answer, perhaps a refusal, is not handed over again.
                    for run in left.chunk_by(|one, next| one + 1 == *next).rev() {
                        parts.push(run[0]..run[run.len() - 1] + 1);
                    }
                }
                Err(e) if these.len() > 1 && self.backend.is_of_some(&e, these).await => {
                    let middle = part.start + these.len() / 2;
                    parts.push(middle..part.end);
                    parts.push(part.start..middle);
                }
                Err(e) => {
                    let cause = self.backend.cause(e, these).await;
                    self.pulse.fails(&cause);
                    tracing::debug!(operations = these.len(), "a transaction failed: {cause}");
                    for (place, slot) in answers.iter_mut().enumerate() {
                        known(place, slot, Err(cause.clone()));
                    }
                }
            }
        }
        let failed = || Err(Cause::new(Code::DATABASE, "the database has not said what became of it"));
        answers.into_iter().map(|answer| answer.unwrap_or_else(failed)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::id::OpId;
    use crate::request::Payload;

    /// Answers each transaction with the next outcomes, and keeps which writes it was handed.
    struct Script {
        outcomes: Vec<Vec<Outcome>>,
        handed: Vec<Vec<usize>>,
    }

    impl Backend for Script {
        type Failure = Cause;
        const SYSTEM: &'static str = "test";

        async fn look(&mut self) {}

        async fn transaction(&mut self, writes: &[Write]) -> Result<Applied, Cause> {
            self.handed.push(writes.iter().map(|write| write.index).collect());
            Ok(Applied { outcomes: self.outcomes.remove(0), duplicates: Vec::new() })
        }

        async fn is_of_some(&mut self, _: &Cause, _: &[Write]) -> bool {
            false
        }

        async fn cause(&mut self, failure: Cause, _: &[Write]) -> Cause {
            failure
        }

        async fn keep_dead_letter(&mut self, _: &[DeadLetter]) -> Result<(), Cause> {
            Ok(())
        }

        async fn remove(&mut self, _: &Removal) -> Result<u64, Cause> {
            Ok(0)
        }

        async fn record(&mut self, _: &Record) -> Result<(), Cause> {
            Ok(())
        }

        async fn close(self) {}
    }

    pub(crate) fn write(index: usize) -> Write {
        Write {
            id: OpId::new(),
            index,
            occurred_at: 0,
            trace: None,
            deadline: None,
            payload: Payload::from(&b"{}"[..]),
            hash: 0,
            answer_bytes: usize::MAX,
            claim: false,
            since: Instant::now(),
        }
    }

    #[tokio::test]
    async fn what_has_its_answer_is_not_applied_with_what_is_left_for_the_next_transaction() {
        let answer = || Outcome::Answer("1".to_owned());
        let refused = || Outcome::Refused(Cause::new(Code::BUSY, "no"));
        let outcomes = vec![
            vec![answer(), Outcome::Later, refused(), Outcome::Later, Outcome::Later, answer()],
            vec![answer()],
            vec![answer(), Outcome::Later],
            vec![answer()],
        ];
        let backend = Script { outcomes, handed: Vec::new() };
        let (duplicates, appended) = (Duplicates::new(6), Appended::default());
        let mut writer = Writer { backend, duplicates, appended, pulse: Pulse::new("test") };
        let writes: Vec<Write> = (0..6).map(write).collect();
        let mut told = Vec::new();
        let answers = writer.apply(&writes, |place, answer| told.push((place, answer.is_ok()))).await;
        assert_eq!(writer.backend.handed, [vec![0, 1, 2, 3, 4, 5], vec![1], vec![3, 4], vec![4]]);
        assert_eq!(told, [(0, true), (2, false), (5, true), (1, true), (3, true), (4, true)], "once each");
        assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 1);
    }
}
