//! Removing what is old, on a schedule: looked for without a lock, removed in short transactions of the writer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::fold::Folds;
use super::keeper::{self, Keeper, May};
use super::queue::{Item, hand_over};
use super::reader::{Reader, find};
use super::record::Removal;
use crate::clock;
use crate::error::Cause;
use crate::operation::{Persist, RetentionRule};

/// How many keys are looked for at once.
const FOUND: i64 = 2000;
/// The pause after each transaction, in which other writes take their turn.
const PAUSE: Duration = Duration::from_millis(5);
/// The shortest pause between two looks at the clock.
const SHORTEST: Duration = Duration::from_millis(1);

/// The ledger's own. A clock that was ahead has written times that do not come to pass: those rows begin anew.
pub(crate) const LEDGER: RetentionRule = RetentionRule::hours(
    "ledger",
    14 * 24,
    "SELECT id FROM ledger
     WHERE applied_at < (SELECT horizon FROM sweep) OR applied_at > (SELECT now + 86400000 FROM sweep)
     LIMIT (SELECT most FROM sweep)",
    &[
        "UPDATE ledger SET applied_at = (SELECT now FROM sweep)
         WHERE id IN (SELECT key FROM gone) AND applied_at > (SELECT now + 86400000 FROM sweep)",
        "DELETE FROM ledger WHERE id IN (SELECT key FROM gone) AND applied_at < (SELECT horizon FROM sweep)",
    ],
);

/// Retention periods, and how often they are enforced.
///
/// Every sweep has a time of its own (see [`RetentionRule`]); `ledger` is that of the ledger, counted from when an operation was
/// applied. Whatever can offer an operation again must have stopped doing so before its row in the ledger goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    keep: BTreeMap<String, Duration>,
    every: Duration,
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

    /// The pause between two rounds; the first comes a tenth of it after the start. Default: one hour.
    #[must_use]
    pub fn every(self, every: Duration) -> Self {
        Self { every, ..self }
    }

    /// The names that `O` has, each with the time that is kept.
    #[must_use]
    pub fn times<O: Persist>(&self) -> BTreeMap<&'static str, Duration> {
        sweeps::<O>().map(|sweep| (sweep.name, self.of(sweep))).collect()
    }

    fn of(&self, sweep: &RetentionRule) -> Duration {
        self.keep.get(sweep.name).copied().unwrap_or(sweep.keep)
    }
}

/// The operations' sweeps, and the ledger's first: what is derived from rows that the ledger no longer knows may go
/// in the same round.
pub(crate) fn sweeps<O: Persist>() -> impl Iterator<Item = &'static RetentionRule> {
    std::iter::once(&LEDGER).chain(O::SWEEPS.iter().copied().flatten())
}

/// What a round has removed, by the name of the sweep: rows, or what else a sweep counts.
pub type Purged = BTreeMap<&'static str, u64>;

/// One round of all sweeps, at the time `now` in unix milliseconds. What the ledger holds counts as applied not before
/// `ledger_from`, if that is known.
///
/// # Errors
/// The first that SQLite makes, or the queue. What was removed until then stays removed.
pub(crate) async fn round(
    retention: &Retention,
    now: i64,
    ledger_from: Option<i64>,
    folds: &Folds,
    reader: &dyn Reader,
    writes: &mpsc::WeakSender<Item>,
) -> Result<Purged, Cause> {
    // What waits is not swept.
    folds.all().await?;
    let (mut swept, mut failed) = (Purged::new(), None);
    for sweep in reader.sweeps() {
        let horizon = now.saturating_sub(i64::try_from(retention.of(sweep).as_millis()).unwrap_or(i64::MAX));
        if sweep.name == LEDGER.name && ledger_from.is_some_and(|from| horizon < from) {
            continue;
        }
        let total = swept.entry(sweep.name).or_default();
        // What is wrong with one keeps none of the others.
        if let Err(cause) = empty(sweep, horizon, now, total, reader, writes).await {
            failed.get_or_insert(cause);
        }
    }
    failed.map_or(Ok(swept), Err)
}

/// Removes what one sweep finds, portion by portion, and adds to the total what that was.
async fn empty(
    sweep: &'static RetentionRule,
    horizon: i64,
    now: i64,
    total: &mut u64,
    reader: &dyn Reader,
    writes: &mpsc::WeakSender<Item>,
) -> Result<(), Cause> {
    // What was found before and is found again has to wait.
    let mut before = Vec::new();
    loop {
        let keys = find(sweep, FOUND, horizon, now, reader).await?;
        let mut removed = 0;
        for keys in keys.chunks(sweep.batch_size.max(1)) {
            let keys = serde_json::Value::from(keys).to_string();
            let removal = Removal { sweep, keys, horizon, now };
            removed += hand_over(writes, |told| Item::Removal(removal, told)).await?;
            time::sleep(PAUSE).await;
        }
        *total += removed;
        if keys.is_empty() || (removed == 0 && keys == before) {
            return Ok(());
        }
        before = keys;
    }
}

/// How often it is looked whether the clock agrees with what is known.
const LOOK: Duration = Duration::from_secs(2);
/// How often what is known of the time is written down.
const SAVE: Duration = Duration::from_secs(60);

/// Rounds, for as long as the service is there. What goes wrong is tried again in the next one. While the clock disagrees
/// with what is known of the time there is none.
pub(crate) async fn keep_going(
    retention: Retention,
    keeper: Arc<Keeper>,
    mut loaded: bool,
    folds: Folds,
    reader: Arc<dyn Reader>,
    writes: mpsc::WeakSender<Item>,
    ended: CancellationToken,
) {
    let mut due = Instant::now() + retention.every / 10;
    let mut saved: Option<Instant> = None;
    let mut said = None;
    let mut looked = false;
    loop {
        if reader.is_closed() {
            return;
        }
        // Without what the file knows nothing is removed.
        if !looked {
            match read(&keeper, &mut loaded, &*reader).await {
                Ok(()) => looked = true,
                Err(e @ sqlx::Error::WorkerCrashed) => {
                    tracing::warn!("retention removes nothing: {}", reader.cause(&e))
                }
                // The writer meets the same, and says so.
                Err(e) => tracing::debug!("the known time cannot be read: {e}"),
            }
        }
        let may = if looked { Some(keeper.may()) } else { None };
        say(may, &mut said);
        if may.is_some() && saved.is_none_or(|at| at.elapsed() >= SAVE) {
            saved = Some(Instant::now());
            if let Err(cause) = keeper.save(&*reader, &writes).await {
                tracing::debug!("the time that is known could not be kept: {cause}");
            }
        }
        if let Some(May::Remove { ledger_from }) = may.filter(|_| Instant::now() >= due) {
            due = Instant::now() + retention.every;
            match reader.may_sweep(retention.every).await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(e) => {
                    tracing::debug!("whether another instance removes what is old cannot be read: {e}");
                    continue;
                }
            }
            let round = round(&retention, clock::now(), ledger_from, &folds, &*reader, &writes);
            let Some(swept) = ended.run_until_cancelled(round).await else { return };
            match swept {
                _ if ended.is_cancelled() => return,
                Ok(swept) if swept.values().any(|count| *count > 0) => {
                    let text: Vec<_> = swept
                        .iter()
                        .filter(|(_, n)| **n > 0)
                        .map(|(name, n)| format!("{name} {n}"))
                        .collect();
                    tracing::info!("retention removed: {}", text.join(", "));
                }
                Ok(_) => {}
                Err(cause) => tracing::warn!("retention failed; the next pass retries: {cause}"),
            }
        }
        let pause = LOOK.min(due.saturating_duration_since(Instant::now()).max(SHORTEST));
        if ended.run_until_cancelled(time::sleep(pause)).await.is_none() {
            return;
        }
    }
}

async fn read(keeper: &Keeper, loaded: &mut bool, reader: &dyn Reader) -> Result<(), sqlx::Error> {
    if !*loaded {
        keeper.load(reader).await?;
        *loaded = true;
    }
    keeper.look(reader).await
}

/// Says why nothing is removed, once, and when that is over.
fn say(may: Option<May>, said: &mut Option<&'static str>) {
    let now = match may {
        Some(May::Skewed(_)) => Some("the clock of this machine agrees with what is known of the time"),
        Some(May::FirstDay) => Some("the first day of this file is over"),
        _ => None,
    };
    if *said == now {
        return;
    }
    match may {
        Some(May::Skewed(doubt)) => tracing::warn!("{}", keeper::sentence(doubt)),
        Some(May::FirstDay) => {
            tracing::info!(
                "this file was the Python bot's until it was taken over: retention removes nothing on the first day"
            );
        }
        _ => {
            let why = said.unwrap_or_default();
            tracing::info!("{why}: retention has resumed");
        }
    }
    *said = now;
}
