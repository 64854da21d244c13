//! Folding what operations have appended, on a schedule: a portion at a time, and nothing where nothing waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
/// The pause between two rounds of a fold that is done seldom, while others find much.
const SELDOM: Duration = Duration::from_secs(10);
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

    /// After so many operations that append it folds, whatever the pause is.
    fn enough(&self) -> u64 {
        u64::MAX
    }

    /// Whether everything is folded when the database is closed.
    fn at_the_end(&self) -> bool {
        false
    }

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
    /// How many were applied since the last round, and how many are enough for one.
    count: Arc<AtomicU64>,
    enough: u64,
    many: Arc<Notify>,
    any: Arc<AtomicBool>,
}

impl Appended {
    pub(crate) fn of(kinds: &[&'static [Fold]], enough: u64) -> Self {
        let kinds = kinds.iter().map(|folds| !folds.is_empty()).collect();
        Self { kinds, enough, ..Self::default() }
    }

    /// These were applied.
    pub(crate) fn tell(&self, writes: &[Write]) {
        let appends = |write: &&Write| self.kinds.get(write.index).copied().unwrap_or_default();
        let count = writes.iter().filter(appends).count() as u64;
        if count > 0 {
            self.any.store(true, Ordering::Relaxed);
            self.told.notify_one();
            if self.count.fetch_add(count, Ordering::Relaxed) + count >= self.enough {
                self.many.notify_one();
            }
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
        let appended = Appended::of(of_kinds, folder.enough());
        Self { all: distinct(of_kinds), folder, appended }
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

    /// Folds for as long as the service is there: `every` so often while much waits, and less often else. Also what others
    /// have `left`, before anything is appended here.
    pub(crate) async fn keep_going(
        self,
        every: Duration,
        left: bool,
        reader: Arc<dyn Reader>,
        ended: CancellationToken,
    ) {
        if self.all.is_empty() {
            return;
        }
        let slowest = every.saturating_mul(SLOWEST);
        let (mut pause, mut more) = (every, left);
        let mut seldom = Seldom { since: Instant::now(), more: false, left: false };
        loop {
            let next = async {
                if !more {
                    self.appended.told.notified().await;
                }
                let _ = time::timeout(pause, self.appended.many.notified()).await;
                self.appended.count.store(0, Ordering::Relaxed);
                if reader.is_closed() { None } else { Some(self.portions(&mut seldom).await) }
            };
            let Some(Some(done)) = ended.run_until_cancelled(next).await else { return };
            // What fails while the database is being closed says nothing of it.
            if ended.is_cancelled() {
                return;
            }
            say(&*reader, done.as_ref().err());
            (pause, more) = match done {
                Ok(Seen::Much { more: true }) => (PAUSE.min(every), true),
                Ok(Seen::Much { more: false }) => (every, seldom.left),
                Ok(Seen::Little) => ((pause.max(every) * 2).min(slowest), false),
                Ok(Seen::Contended) | Err(_) => ((pause.max(every) * 2).min(slowest), true),
            };
        }
    }

    /// One portion of each fold.
    async fn portions(&self, seldom: &mut Seldom) -> Result<Seen, Cause> {
        let mut seen = Seen::Little;
        for fold in &self.all {
            let is_much = matches!(seen, Seen::Much { .. });
            if fold.is_seldom && is_much && !seldom.more && seldom.since.elapsed() < SELDOM {
                // For when the others find little.
                seldom.left = true;
                continue;
            }
            let portion = self.folder.fold(fold).await?;
            if let (true, Portion::Rows(rows)) = (fold.is_seldom, portion) {
                *seldom = Seldom { since: Instant::now(), more: is_full(fold, rows), left: false };
            }
            seen = match (portion, seen) {
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

    /// Folds what waits before the database is closed, where others may read it then without the views. What others have
    /// `left`, too, or else nothing if nothing was appended here: it may not even be the right file.
    pub(crate) async fn end(&self, left: bool) {
        if self.folder.at_the_end()
            && (left || self.appended.any.load(Ordering::Relaxed))
            && let Err(cause) = self.all().await
        {
            tracing::debug!("what was appended stays so: {cause}");
        }
    }

    pub(crate) async fn close(&self) {
        self.folder.close().await;
    }
}

/// When what is folded seldom was folded last, and whether more of it waits.
struct Seldom {
    since: Instant,
    more: bool,
    /// Whether it was left for later.
    left: bool,
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

/// What is appended makes reads longer, and a portion of so much is short.
const ENOUGH: u64 = 1000;

/// Folds by the writer, between two batches: where there is but one writer.
pub(crate) struct ByTheWriter {
    pub(crate) reader: Arc<dyn Reader>,
    pub(crate) writes: mpsc::WeakSender<Item>,
}

impl Folder for ByTheWriter {
    fn enough(&self) -> u64 {
        ENOUGH
    }

    fn at_the_end(&self) -> bool {
        true
    }

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

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    const OFTEN: Fold = Fold::new("often", "", &[]).portion(100);
    const SELDOM_DONE: Fold = Fold::new("seldom", "", &[]).portion(100).seldom();

    /// Finds so many rows in each portion, and keeps which folds were asked for.
    #[derive(Default)]
    struct Script {
        rows: Mutex<Vec<u64>>,
        asked: Mutex<Vec<&'static str>>,
    }

    impl Folder for Script {
        fn fold(&self, fold: &'static Fold) -> BoxFuture<'_, Result<Portion, Cause>> {
            self.asked.lock().push(fold.name);
            let rows = self.rows.lock().remove(0);
            Box::pin(std::future::ready(Ok(Portion::Rows(rows))))
        }
    }

    /// What is asked for in rounds of which the folds find so many rows.
    async fn rounds(rows: &[u64], count: usize, since: Instant) -> (Vec<&'static str>, bool) {
        static BOTH: &[Fold] = &[OFTEN, SELDOM_DONE];
        let script = Arc::new(Script { rows: Mutex::new(rows.to_vec()), ..Script::default() });
        let folds = Folds::new(&[BOTH], Arc::<Script>::clone(&script));
        let mut seldom = Seldom { since, more: false, left: false };
        for _ in 0..count {
            assert!(folds.portions(&mut seldom).await.is_ok());
        }
        (std::mem::take(&mut *script.asked.lock()), seldom.left)
    }

    #[tokio::test]
    async fn what_is_folded_seldom_waits_while_much_is_appended_and_not_for_ever() {
        let now = Instant::now();
        // It is left, and known to be left, until the other one finds little; then it is folded to its end.
        assert_eq!(rounds(&[100, 50], 2, now).await, (vec!["often", "often"], true));
        assert_eq!(rounds(&[50, 0, 7], 2, now).await, (vec!["often", "often", "seldom"], false));
        assert_eq!(
            rounds(&[0, 100, 50, 100, 50, 99, 50], 4, now).await,
            (vec!["often", "seldom", "often", "seldom", "often", "seldom", "often"], true)
        );
        let long_ago = now.checked_sub(SELDOM).expect("the machine has been up for a while");
        assert_eq!(rounds(&[50, 3, 50], 2, long_ago).await, (vec!["often", "seldom", "often"], true));
    }

    #[tokio::test]
    async fn so_many_that_are_appended_do_not_wait_for_the_pause() {
        static ONE: &[Fold] = &[OFTEN];
        let appended = Appended::of(&[ONE, &[]], 3);
        let many = || {
            let told = appended.many.notified();
            futures_util::FutureExt::now_or_never(told).is_some()
        };
        let writes = |kinds: &[usize]| {
            kinds.iter().map(|kind| super::super::writer::tests::write(*kind)).collect::<Vec<_>>()
        };
        appended.tell(&writes(&[0, 1, 1, 0]));
        assert!(!many(), "two append");
        appended.tell(&writes(&[0]));
        assert!(many());
    }
}
