//! Folding what operations have appended, on a schedule: a portion at a time, and nothing where nothing waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc};
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::queue::{Item, Write, hand_over};
use super::reader::{Reader, find};
use super::record::Removal;
use crate::clock;
use crate::error::{Cause, Code};
use crate::operation::Fold;

/// The pause after a portion behind which more waits.
const PAUSE: Duration = Duration::from_millis(5);
/// How many times its usual length the pause between two portions grows, while they are small or fail.
const SLOWEST: u32 = 20;
/// What is less than this part of a portion is small.
const SMALL: u64 = 20;
/// How long a caller that wants everything folded waits for another process that is folding.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of a portion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Portion {
    /// Another process folds.
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "a file has one writer"))]
    Contended,
    /// So many rows were found. None: nothing waits.
    Rows(u64),
}

/// What folds.
pub(crate) trait Folder: Send + Sync + 'static {
    /// Folds one portion in a transaction of its own. Dropping the future leaves open whether it is done.
    fn fold(&self, fold: &'static Fold) -> BoxFuture<'_, Result<Portion, Cause>>;

    /// Lets go of the database.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// The folds of a set of operations, each once.
pub(crate) fn distinct(of_kinds: &[&'static [Fold]]) -> Vec<&'static Fold> {
    let mut folds: Vec<&'static Fold> = Vec::new();
    for fold in of_kinds.iter().copied().flatten() {
        if !folds.iter().any(|known| known.name == fold.name) {
            folds.push(fold);
        }
    }
    folds
}

/// Tells that something was appended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Appended {
    /// Of each kind of operation, whether it appends.
    kinds: Vec<bool>,
    told: Arc<Notify>,
}

impl Appended {
    pub(crate) fn of(kinds: &[&'static [Fold]]) -> Self {
        Self { kinds: kinds.iter().map(|folds| !folds.is_empty()).collect(), told: Arc::default() }
    }

    /// These were applied.
    pub(crate) fn tell(&self, writes: &[Write]) {
        if writes.iter().any(|write| self.kinds.get(write.index).copied().unwrap_or_default()) {
            self.told.notify_one();
        }
    }
}

/// What is to be folded, and by whom.
#[derive(Clone)]
pub(crate) struct Folds {
    all: Vec<&'static Fold>,
    folder: Arc<dyn Folder>,
    pub(crate) appended: Appended,
}

impl Folds {
    pub(crate) fn new(of_kinds: &[&'static [Fold]], folder: Arc<dyn Folder>) -> Self {
        Self { all: distinct(of_kinds), folder, appended: Appended::of(of_kinds) }
    }

    /// Folds all that waits now; returns how many rows.
    ///
    /// # Errors
    /// The first one; that another one is at it all the time.
    pub(crate) async fn all(&self) -> Result<u64, Cause> {
        let (since, mut total) = (Instant::now(), 0);
        for fold in &self.all {
            loop {
                match self.folder.fold(fold).await? {
                    Portion::Rows(rows) => {
                        total += rows;
                        if !is_full(fold, rows) {
                            break;
                        }
                    }
                    Portion::Contended if since.elapsed() < PATIENCE => time::sleep(PAUSE).await,
                    Portion::Contended => return Err(Cause::new(Code::BUSY, "another process folds")),
                }
            }
        }
        Ok(total)
    }

    /// Folds for as long as the service is there: `every` so often while much waits, and less often else.
    pub(crate) async fn keep_going(self, every: Duration, reader: Arc<dyn Reader>, ended: CancellationToken) {
        if self.all.is_empty() {
            return;
        }
        let slowest = every.saturating_mul(SLOWEST);
        // Something may wait from before.
        let (mut pause, mut more) = (every, true);
        loop {
            let next = async {
                if !more {
                    self.appended.told.notified().await;
                }
                time::sleep(pause).await;
                if reader.is_closed() { None } else { Some(self.portions().await) }
            };
            let Some(Some(done)) = ended.run_until_cancelled(next).await else { return };
            say(&*reader, done.as_ref().err());
            (pause, more) = match done {
                Ok(Seen::Much { more: true }) => (PAUSE.min(every), true),
                Ok(Seen::Much { more: false }) => (every, false),
                Ok(Seen::Little) => ((pause.max(every) * 2).min(slowest), false),
                Ok(Seen::Contended) | Err(_) => ((pause.max(every) * 2).min(slowest), true),
            };
        }
    }

    /// One portion of each fold.
    async fn portions(&self) -> Result<Seen, Cause> {
        let mut seen = Seen::Little;
        for fold in &self.all {
            seen = match (self.folder.fold(fold).await?, seen) {
                (Portion::Contended, _) => return Ok(Seen::Contended),
                (Portion::Rows(rows), _) if is_full(fold, rows) => Seen::Much { more: true },
                (Portion::Rows(rows), Seen::Little) if rows >= most(fold) / SMALL => {
                    Seen::Much { more: false }
                }
                (Portion::Rows(_), seen) => seen,
            };
        }
        Ok(seen)
    }

    pub(crate) async fn close(&self) {
        self.folder.close().await;
    }
}

/// What a round has found.
enum Seen {
    Little,
    Much { more: bool },
    Contended,
}

fn most(fold: &Fold) -> u64 {
    fold.rule.batch_size.max(1) as u64
}

fn is_full(fold: &Fold, rows: u64) -> bool {
    rows >= most(fold)
}

/// Says that what was appended cannot be folded, when that begins, and when it is over. It is a concern, not a trouble: what
/// waits is counted by the queries.
fn say(reader: &dyn Reader, cause: Option<&Cause>) {
    let now = cause
        .map(|cause| format!("appended rows cannot be folded, so queries take longer; retrying: {cause}"));
    reader.concern(&mut |concerns| {
        // The reason may change with each try.
        let is_new = concerns.folds.is_some() != now.is_some();
        match (&concerns.folds, &now) {
            (None, Some(begins)) => tracing::warn!("{begins}"),
            (Some(_), None) => tracing::info!("folding works again"),
            _ => {}
        }
        if is_new {
            concerns.folds.clone_from(&now);
        }
        is_new
    });
}

/// Folds by the writer, between two batches: where there is but one writer.
pub(crate) struct ByTheWriter {
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) writes: mpsc::WeakSender<Item>,
}

impl Folder for ByTheWriter {
    fn fold(&self, fold: &'static Fold) -> BoxFuture<'_, Result<Portion, Cause>> {
        Box::pin(async move {
            let now = clock::now();
            let most = i64::try_from(fold.rule.batch_size).unwrap_or(i64::MAX);
            let keys = find(&fold.rule, most, now, now, &*self.reader).await?;
            let rows = keys.len() as u64;
            if rows > 0 {
                let keys = serde_json::Value::from(keys).to_string();
                let removal = Removal { sweep: &fold.rule, keys, horizon: now, now };
                hand_over(&self.writes, |told| Item::Removal(removal, told)).await?;
            }
            Ok(Portion::Rows(rows))
        })
    }
}
