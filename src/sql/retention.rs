//! Removing what is old, on a schedule: looked for without a lock, removed in short transactions of the writer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, SqlitePool};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time;

use super::error;
use super::writer::Item;
use crate::clock;
use crate::error::Cause;
use crate::operation::{Persist, Sweep};

/// How many keys are looked for at once.
const FOUND: i64 = 2000;
/// The pause after each transaction, for whoever has something to say.
const PAUSE: Duration = Duration::from_millis(5);

/// The ledger's own. A clock that was ahead has written times that do not come to pass: those rows begin anew.
const LEDGER: Sweep = Sweep::hours(
    "ledger",
    14 * 24,
    "SELECT id FROM ledger WHERE applied_at < $2 OR applied_at > $3 + 86400000 LIMIT $1",
    "UPDATE ledger SET applied_at = $3
     WHERE id IN (SELECT value FROM json_each($1)) AND applied_at > $3 + 86400000;
     DELETE FROM ledger WHERE id IN (SELECT value FROM json_each($1)) AND applied_at < $2;",
);

/// How long what is kept, and how often that is looked after.
///
/// Every sweep has a time of its own (see [`Sweep`]); `ledger` is that of the ledger, counted from when an operation was
/// applied. Whatever can offer an operation again must have stopped doing so before its row in the ledger goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    keep: BTreeMap<String, Duration>,
    /// The pause between two rounds; the first comes a tenth of it after the start.
    pub every: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep: BTreeMap::new(), every: Duration::from_secs(3600) }
    }
}

impl Retention {
    /// The same, but what `name` stands for is kept for this long.
    #[must_use]
    pub fn keep(mut self, name: impl Into<String>, time: Duration) -> Self {
        self.keep.insert(name.into(), time);
        self
    }

    /// The names that `O` has, each with the time that is kept.
    #[must_use]
    pub fn times<O: Persist>(&self) -> BTreeMap<&'static str, Duration> {
        sweeps::<O>().map(|sweep| (sweep.name, self.of(sweep))).collect()
    }

    fn of(&self, sweep: &Sweep) -> Duration {
        self.keep.get(sweep.name).copied().unwrap_or(sweep.keep)
    }
}

/// The operations' sweeps, and the ledger's first: what is derived from rows that the ledger no longer knows may go
/// in the same round.
pub(super) fn sweeps<O: Persist>() -> impl Iterator<Item = &'static Sweep> {
    std::iter::once(&LEDGER).chain(O::SWEEPS.iter().copied().flatten())
}

/// Something that the writer removes in a transaction of its own.
#[derive(Debug)]
pub(super) struct Removal {
    pub(super) sweep: &'static Sweep,
    /// A JSON array.
    pub(super) keys: String,
    pub(super) horizon: i64,
    pub(super) now: i64,
}

/// What a round has removed, by the name of the sweep: rows, or what else a sweep counts.
pub type Swept = BTreeMap<&'static str, u64>;

/// One round of all sweeps, at the time `now` in unix milliseconds.
///
/// # Errors
/// The first that SQLite makes, or the queue. What was removed until then stays removed.
pub(super) async fn round<O: Persist>(
    retention: &Retention,
    now: i64,
    readers: &SqlitePool,
    writes: &mpsc::WeakSender<Item>,
) -> Result<Swept, Cause> {
    let mut swept = Swept::new();
    for sweep in sweeps::<O>() {
        let keep = i64::try_from(retention.of(sweep).as_millis()).unwrap_or(i64::MAX);
        let horizon = now.saturating_sub(keep);
        let total = swept.entry(sweep.name).or_default();
        // What was found before and is found again has to wait.
        let mut before = Vec::new();
        loop {
            let keys = find(sweep, horizon, now, readers).await?;
            let mut removed = 0;
            for keys in keys.chunks(sweep.at_once.max(1)) {
                let keys = serde_json::Value::from(keys).to_string();
                removed += remove(Removal { sweep, keys, horizon, now }, writes).await?;
                time::sleep(PAUSE).await;
            }
            *total += removed;
            if keys.is_empty() || (removed == 0 && keys == before) {
                break;
            }
            before = keys;
        }
    }
    Ok(swept)
}

/// The statement that answers what is old as a JSON array of keys.
pub(super) fn finding(sweep: &Sweep) -> String {
    format!("WITH found (key) AS ({}) SELECT json_group_array(key) FROM found", sweep.find)
}

async fn find(
    sweep: &Sweep,
    horizon: i64,
    now: i64,
    readers: &SqlitePool,
) -> Result<Vec<serde_json::Value>, Cause> {
    let json: String = sqlx::query_scalar(AssertSqlSafe(finding(sweep)))
        .bind(FOUND)
        .bind(horizon)
        .bind(now)
        .fetch_one(readers)
        .await
        .map_err(|e| error::cause(&e))?;
    serde_json::from_str(&json).map_err(|e| Cause::new(crate::error::Code::DATABASE, e.to_string()))
}

async fn remove(removal: Removal, writes: &mpsc::WeakSender<Item>) -> Result<u64, Cause> {
    let (tx, rx) = oneshot::channel();
    let sender = writes.upgrade().ok_or_else(super::closed)?;
    // Waits for a place: whoever cleans up can.
    sender.send(Item::Removal(removal, tx)).await.map_err(|_| super::closed())?;
    drop(sender);
    rx.await.map_err(|_| super::closed())?
}

/// From how many milliseconds on a clock that leaps ahead is not believed at once: what it makes old would be gone for
/// good. Whoever has set it on purpose, or has halted the machine, has his round a little later; whoever has not has time to
/// put it right. Two rounds in a row are never left out.
const LEAP: i64 = 3_600_000;

/// By how many milliseconds the system's clock has gone ahead of the time that has passed.
fn leap(before: (Instant, i64), now: (Instant, i64)) -> i64 {
    let passed = i64::try_from(now.0.saturating_duration_since(before.0).as_millis()).unwrap_or(i64::MAX);
    now.1.saturating_sub(before.1).saturating_sub(passed)
}

/// Rounds, for as long as the service is there. What goes wrong is tried again in the next one.
pub(super) async fn keep_going<O: Persist>(
    retention: Retention,
    readers: SqlitePool,
    writes: mpsc::WeakSender<Item>,
    mut ended: watch::Receiver<()>,
) {
    let mut pause = retention.every / 10;
    let mut before = (Instant::now(), clock::now());
    let mut waited = false;
    loop {
        tokio::select! {
            () = time::sleep(pause) => {}
            _ = ended.changed() => return,
        }
        pause = retention.every;
        if readers.is_closed() {
            return;
        }
        let now = (Instant::now(), clock::now());
        let ahead = leap(before, now);
        before = now;
        waited = ahead > LEAP && !waited;
        if waited {
            tracing::warn!(
                "the clock has leapt ahead by {} s, or this machine was halted for as long: what is old by it is kept \
                 until the next round, in {} s",
                ahead / 1000,
                retention.every.as_secs()
            );
            continue;
        }
        let round = tokio::select! {
            round = round::<O>(&retention, clock::now(), &readers, &writes) => round,
            _ = ended.changed() => return,
        };
        match round {
            Ok(swept) if swept.values().any(|count| *count > 0) => {
                let text: Vec<_> =
                    swept.iter().filter(|(_, n)| **n > 0).map(|(name, n)| format!("{name} {n}")).collect();
                tracing::info!("removed what is old: {}", text.join(", "));
            }
            Ok(_) => {}
            Err(cause) => tracing::warn!("what is old could not be removed, next time: {cause}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_leaps_ahead_is_told_from_time_that_passes() {
        let start = Instant::now();
        let (hour, day) = (Duration::from_secs(3600), 86_400_000);
        assert_eq!(leap((start, 1000), (start + hour, 1000 + 3_600_000)), 0);
        assert_eq!(leap((start, 1000), (start + hour, 1000 + 3_600_000 + day)), day);
        assert!(leap((start, day), (start + hour, 0)) < 0, "set back");
        assert_eq!(leap((start, i64::MIN), (start, i64::MAX)), i64::MAX);
    }
}
