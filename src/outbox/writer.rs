//! The holder of the file: one task, one connection. It takes what is waiting, never waits for more, and commits it in
//! one transaction and one sync.

use eitherway_layers::logging::{RateLimitedLog, Summary};
use tokio::sync::{mpsc, oneshot, watch};

use super::batch::{self, Batch, Waiter};
use super::connection::Connection;
use super::counts::{Counts, Retried, Which};
use super::entry::{NewEntry, StoredEntry};
use super::file::Opened;
use super::gauge::Gauges;
use super::options::{OutboxOptions, horizon};
use super::store::{self, Totals};
use super::time::Time;
use crate::error::{Cause, Code};
use crate::hints::hints;

/// How many bytes must be free before the file is made smaller.
const WORTH_SHRINKING: u64 = 1 << 20;

type Responder<T> = oneshot::Sender<Result<T, Cause>>;

/// What is handed to the holder.
pub(super) enum Item {
    NewEntry(NewEntry, Waiter),
    /// The oldest behind a number, taken after a time, and how many of them.
    Next(i64, i64, u32, Responder<Vec<StoredEntry>>),
    /// Numbers, and their bytes.
    Forget(Vec<i64>, u64, Responder<()>),
    Refuse(i64, Cause, Responder<()>),
    Expire(i64, Responder<u64>),
    /// Of which id, or all.
    Retry(Option<String>, Responder<Retried>),
    Drop(Which, Responder<u64>),
    Close(oneshot::Sender<()>),
}

/// Runs until [`Item::Close`] comes, or all senders are dropped.
pub(super) async fn run(
    opened: Opened,
    options: OutboxOptions,
    counts: watch::Sender<Counts>,
    mut queue: mpsc::Receiver<Item>,
) {
    let Opened { connection, lock, db_file, held, .. } = opened;
    let file = Connection::new(connection, lock, db_file, options.clone());
    let gauges = Gauges::new(options.metrics_prefix);
    let mut holder = Holder {
        file,
        options,
        held,
        counts,
        gauges,
        gone: 0,
        time: Time::default(),
        full: RateLimitedLog::new(),
    };
    holder.publish();
    let mut next = None;
    loop {
        let item = match next.take() {
            Some(item) => item,
            None => match queue.recv().await {
                Some(item) => item,
                None => break,
            },
        };
        match item {
            Item::NewEntry(put, waiter) => {
                let mut batch = Batch::default();
                batch.add(put, waiter);
                while !batch.is_full() {
                    match queue.try_recv() {
                        Ok(Item::NewEntry(put, waiter)) => batch.add(put, waiter),
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                holder.keep(batch).await;
            }
            Item::Close(told) => {
                queue.close();
                holder.close().await;
                let _ = told.send(());
                return;
            }
            other => holder.serve(other).await,
        }
    }
    holder.close().await;
}

struct Holder {
    file: Connection,
    options: OutboxOptions,
    held: Totals,
    counts: watch::Sender<Counts>,
    gauges: Gauges,
    /// Bytes that were removed since the file was last made smaller.
    gone: u64,
    time: Time,
    /// What the log knows of its being full.
    full: RateLimitedLog,
}

impl Holder {
    /// Stores what there is room for, and tells all waiters.
    async fn keep(&mut self, mut batch: Batch) {
        if let Err(cause) = self.file.is_at_its_path().await {
            let outcomes = vec![Err(cause); batch.puts.len()];
            return batch.tell(&outcomes);
        }
        let fits = self.room(&batch.puts);
        let rest = batch.puts.split_off(fits);
        let mut outcomes = self.store(&batch.puts).await;
        if !rest.is_empty() {
            outcomes.extend(self.without_room(&rest).await);
        }
        if let Err(cause) = self.file.is_at_its_path().await {
            outcomes
                .iter_mut()
                .filter(|outcome| outcome.is_ok())
                .for_each(|outcome| *outcome = Err(cause.clone()));
        }
        // Before the callers are answered: one that then asks how many wait must find its own event among them.
        self.publish();
        batch.tell(&outcomes);
    }

    /// How many of them there is room for.
    fn room(&self, puts: &[NewEntry]) -> usize {
        let (most, most_bytes) = (self.options.most_events, self.options.most_bytes);
        let (mut events, mut bytes) =
            (self.held.waiting + self.held.refused + self.held.expired, self.held.bytes);
        let fits = |put: &&NewEntry| {
            events += 1;
            bytes += put.bytes();
            events <= most && bytes <= most_bytes
        };
        puts.iter().take_while(fits).count()
    }

    async fn store(&mut self, puts: &[NewEntry]) -> Vec<Result<(), Cause>> {
        if puts.is_empty() {
            return Vec::new();
        }
        let first = self.held.last + 1;
        let rows = store::rows(puts, first);
        // Also if it fails: a commit that failed may be there after all, and its numbers with it.
        self.held.last += i64::try_from(puts.len()).unwrap_or_default();
        let new = match self.file.with(async |c| store::put(c, &rows).await).await {
            Ok(new) => new,
            Err(cause) => return vec![Err(cause); puts.len()],
        };
        self.held.waiting += new;
        if let Some(past) = self.full.recovered() {
            self.has_room(past);
        }
        if new == puts.len() as u64 {
            self.held.bytes += puts.iter().map(NewEntry::bytes).sum::<u64>();
            return vec![Ok(()); puts.len()];
        }
        let outcomes = self.known(puts, &rows, first).await;
        let stored = puts.iter().zip(&outcomes).filter(|(_, known)| known.is_none());
        self.held.bytes += stored.map(|(put, _)| put.bytes()).sum::<u64>();
        outcomes.into_iter().map(|known| known.unwrap_or(Ok(()))).collect()
    }

    /// What was here before is safe, or refused, whether or not there is room.
    async fn without_room(&mut self, puts: &[NewEntry]) -> Vec<Result<(), Cause>> {
        // Numbers that nothing in the file has.
        let (first, rows) = (self.held.last + 1, store::rows(puts, self.held.last + 1));
        let known = self.known(puts, &rows, first).await;
        known.into_iter().map(|known| known.unwrap_or_else(|| Err(self.no_room()))).collect()
    }

    /// One is refused for want of room.
    fn no_room(&self) -> Cause {
        let full = self.is_full();
        if let Some(more) = self.full.record() {
            tracing::error!("{full}{more}");
        }
        full
    }

    fn has_room(&self, Summary { all, lasted, .. }: Summary) {
        let (path, lasted) = (self.options.path().display(), lasted.as_secs_f64());
        tracing::info!(
            "the outbox {path} has room again; before, {all} events were refused in {lasted:.1} s"
        );
    }

    fn is_full(&self) -> Cause {
        let OutboxOptions { most_events, most_bytes, .. } = self.options;
        let path = self.options.path().display();
        let message = format!(
            "the outbox {path} is full (at most {most_events} events in {} MiB): bring NATS or the database back, or see {} \
             for what may be dropped",
            most_bytes >> 20,
            hints().outbox
        );
        Cause::new(Code::STORAGE, message)
    }

    /// For each of them what became of it, if it was here before it came with a number from `first` on.
    async fn known(&mut self, puts: &[NewEntry], rows: &str, first: i64) -> Vec<Option<Result<(), Cause>>> {
        let known = match self.file.with(async |c| store::known(c, rows).await).await {
            Ok(known) => known,
            // They may be there, or not: a repeat of the request finds out.
            Err(cause) => return vec![Some(Err(cause)); puts.len()],
        };
        let by_id: std::collections::HashMap<&str, &store::Known> =
            known.iter().map(|known| (known.id.as_str(), known)).collect();
        let outcome = |put: &NewEntry| {
            let known = by_id.get(put.id.as_str())?;
            match known {
                store::Known { seq: Some(seq), .. } if *seq >= first => None,
                store::Known { same: false, .. } => Some(Err(batch::id_reused())),
                store::Known { reason: Some(reason), .. } => {
                    Some(Err(Cause::new(Code::REFUSED, format!("set aside in the outbox: {reason}"))))
                }
                store::Known { .. } => Some(Ok(())),
            }
        };
        puts.iter().map(outcome).collect()
    }

    async fn serve(&mut self, item: Item) {
        match item {
            Item::Next(after, horizon, most, told) => {
                let next = self.file.with(async |c| store::next(c, after, horizon, most).await).await;
                let _ = told.send(next);
            }
            Item::Forget(seqs, bytes, told) => {
                let gone = self.file.with(async |c| store::forget(c, &seqs).await).await;
                let _ = told.send(gone.map(|gone| {
                    self.held.waiting = self.held.waiting.saturating_sub(gone);
                    self.removed(bytes);
                }));
                if self.held.waiting == 0 && self.gone > WORTH_SHRINKING {
                    self.shrink().await;
                }
            }
            Item::Refuse(seq, cause, told) => {
                let moved = self.file.with(async |c| store::refuse(c, seq, &cause).await).await;
                let _ = told.send(moved.map(|moved| {
                    self.held.waiting = self.held.waiting.saturating_sub(moved);
                    self.held.refused += moved;
                    self.publish();
                }));
            }
            Item::Expire(horizon, told) => {
                let time = &mut self.time;
                let right = self.file.with(async |c| time.is_right(c).await).await;
                if let Ok(right) = right {
                    self.time.say(right, self.options.path());
                }
                if !right.unwrap_or(false) {
                    // Nothing that is too old is offered, set aside or not.
                    let _ = told.send(Ok(0));
                    return;
                }
                let moved = self.file.with(async |c| store::expire(c, horizon).await).await;
                let _ = told.send(moved.inspect(|moved| {
                    self.held.waiting = self.held.waiting.saturating_sub(*moved);
                    self.held.expired += moved;
                    self.publish();
                }));
            }
            Item::Retry(id, told) => {
                let retried = self.retry(id.as_deref()).await;
                let _ = told.send(retried);
            }
            Item::Drop(which, told) => {
                let dropped = self.drop(which).await;
                let _ = told.send(dropped);
            }
            Item::NewEntry(..) | Item::Close(_) => {}
        }
    }

    async fn retry(&mut self, id: Option<&str>) -> Result<Retried, Cause> {
        let first = self.held.last + 1;
        // Also if it fails, as above.
        self.held.last += i64::try_from(self.held.refused).unwrap_or_default();
        let horizon = horizon();
        let (waiting, too_old) = self.file.with(async |c| store::retry(c, first, horizon, id).await).await?;
        self.held.refused = self.held.refused.saturating_sub(waiting);
        self.held.waiting += waiting;
        self.publish();
        Ok(Retried { waiting, too_old })
    }

    async fn drop(&mut self, which: Which) -> Result<u64, Cause> {
        let dropped = self.file.with(async |c| store::drop(c, which).await).await?;
        let before = self.held.bytes;
        let held = self.file.with(store::held).await?;
        self.held = Totals { last: self.held.last.max(held.last), ..held };
        self.held.bytes = before;
        self.removed(before.saturating_sub(held.bytes));
        self.shrink().await;
        Ok(dropped)
    }

    fn removed(&mut self, bytes: u64) {
        self.held.bytes = self.held.bytes.saturating_sub(bytes);
        self.gone += bytes;
        self.publish();
    }

    async fn shrink(&mut self) {
        self.gone = 0;
        if let Err(cause) = self.file.with(store::shrink).await {
            // It is only larger than it must be.
            tracing::debug!("{cause}");
        }
    }

    async fn close(self) {
        if let Some(Summary { all, lasted, .. }) = self.full.flush() {
            let (path, lasted) = (self.options.path().display(), lasted.as_secs_f64());
            tracing::warn!(
                "the outbox {path} is closed; while it was full, {all} events were refused in {lasted:.1} s"
            );
        }
        self.file.close().await;
    }

    fn publish(&mut self) {
        let Totals { waiting, refused, expired, bytes, .. } = self.held;
        let counts = Counts { waiting, refused, expired, bytes };
        self.gauges.set(&counts);
        self.counts.send_replace(counts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captured_logs::CapturedLogs;
    use crate::outbox::OutboxService;
    use crate::request::Request;
    use crate::sample::{Line, Sample as Op};
    use tower::ServiceExt;

    /// Closing tells it all: what was stored, and what was not.
    #[tokio::test]
    async fn a_full_outbox_counts_the_refused_alone_and_tells_how_many_there_were_when_it_is_closed()
    -> Result<(), Box<dyn std::error::Error>> {
        let (heard, _guard) = CapturedLogs::catch();
        let place = tempfile::tempdir()?;
        let options = OutboxOptions::new(place.path().join("outbox")).most_events(1);
        let outbox = OutboxService::<Op>::open(&options).await?;
        let event = |name: &str| Request::<Op>::new(Line::<0> { text: name.to_owned() });
        let (first, other) = (event("ann"), event("bob"));
        for _ in 0..11 {
            assert!(outbox.clone().oneshot(first.clone()).await.is_ok(), "it is there");
        }
        assert!(outbox.clone().oneshot(other).await.is_err());
        outbox.close().await;
        let said = heard.take();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].starts_with("ERROR the outbox ") && said[0].contains(" is full "), "{said:?}");
        assert!(said[1].contains("while it was full, 1 events were refused"), "{said:?}");
        Ok(())
    }
}
