//! Looks at this process once a second: one task, for however many ask.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{self, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::checks::{Memory, Parts};
use super::recorder::Recorded;
use super::snapshot::{Seldom, Snapshot};
use super::sources::{Sources, shown};
use crate::op::Op;
use eitherway::clock;
use eitherway::sql::SqlService;

/// How often it is looked, and every how many looks at what costs a read.
const EVERY: Duration = Duration::from_secs(1);
const SELDOM: u32 = 5;
/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(1);

/// What is remembered from one look to the next.
pub(super) struct Sampler {
    sources: Arc<Sources>,
    memory: Memory,
    started: i64,
    looks: u32,
    seldom: Seldom,
    oldest: Option<i64>,
    /// A look at the disk, which may hang: there is one at a time.
    disk: Option<JoinHandle<Seldom>>,
}

impl Sampler {
    pub(super) fn new(sources: Arc<Sources>) -> Self {
        Self {
            sources,
            memory: Memory::default(),
            started: clock::now(),
            looks: 0,
            seldom: Seldom::default(),
            oldest: None,
            disk: None,
        }
    }

    /// Looks until it is told to stop. What is recorded is tidied up with each look.
    pub(super) async fn run(
        mut self,
        told: watch::Sender<Arc<Snapshot>>,
        recorded: Recorded,
        stop: CancellationToken,
    ) {
        let mut ticks = time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let Some(snapshot) = stop.run_until_cancelled(self.look()).await else { return };
            told.send_replace(Arc::new(snapshot));
            recorded.tidy_up();
        }
    }

    /// Looks once.
    pub(super) async fn look(&mut self) -> Snapshot {
        let sources = Arc::clone(&self.sources);
        let database = sources.database();
        let answers = match &database {
            Some(database) => time::timeout(LIMIT, database.ping()).await.map_or_else(
                |_| {
                    Err("it does not answer: a transaction takes long, or waits for another program's lock"
                        .to_owned())
                },
                |answered| answered.map_err(|cause| cause.to_string()),
            ),
            None => Ok(()),
        };
        // What has just been opened is not known at all.
        let new = database.is_some() && self.seldom.dead_letters.is_none();
        if new || self.looks.is_multiple_of(SELDOM) {
            self.look_closer(database.as_ref()).await;
        }
        self.look_at_outbox().await;
        self.looks = self.looks.wrapping_add(1);
        let (service, bot, paths) = (sources.service(), sources.bot(), sources.paths(self.oldest));
        let database = database.as_ref().map(|database| shown(database, self.seldom));
        let now = clock::now();
        let draining = sources.shutdown.is_cancelled();
        let parts = Parts {
            draining,
            service: service.as_ref(),
            database: database.as_ref().map(|database| (database, answers)),
            needs_database: sources.needs_database(),
            paths: paths.as_ref(),
            is_bot: sources.command != "serve",
        };
        let checks = self.memory.look(&parts, now);
        let ready = checks.iter().all(|check| check.ok || !check.required);
        Snapshot {
            command: sources.command,
            version: env!("CARGO_PKG_VERSION"),
            started: self.started,
            at: now,
            looked: Instant::now(),
            ready,
            since: self.memory.since("ready", ready, now),
            draining,
            checks,
            service,
            database,
            paths,
            bot,
        }
    }

    /// Since when its oldest event waits: asked when one begins to wait, and seldom from then on.
    async fn look_at_outbox(&mut self) {
        let Some(outbox) = self.sources.outbox().filter(|outbox| outbox.counts().waiting > 0) else {
            self.oldest = None;
            return;
        };
        if (self.oldest.is_none() || self.looks.is_multiple_of(SELDOM))
            && let Ok(Ok(oldest)) = time::timeout(LIMIT, outbox.oldest()).await
        {
            self.oldest = oldest;
        }
    }

    /// Looks at what costs a read.
    async fn look_closer(&mut self, database: Option<&SqlService<Op>>) {
        let Some(database) = database else { return };
        if let Ok(Ok(letters)) = time::timeout(LIMIT, database.dead_letters()).await {
            self.seldom.dead_letters = Some(letters);
        }
        let file = database.readers().map(|_| PathBuf::from(database.shown()));
        if self.disk.is_none() {
            self.disk = file.map(|file| tokio::task::spawn_blocking(move || sizes(&file)));
        }
        if let Some(disk) = &mut self.disk
            && let Ok(found) = time::timeout(LIMIT, disk).await
        {
            self.disk = None;
            let dead_letters = self.seldom.dead_letters;
            self.seldom = Seldom { dead_letters, ..found.unwrap_or_default() };
        }
    }
}

/// How large the files are, and what is free beside them.
fn sizes(file: &Path) -> Seldom {
    let bytes = |file: &Path| fs::metadata(file).ok().map(|file| file.len());
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let disk = rustix::fs::statvfs(file).ok();
    Seldom {
        dead_letters: None,
        file_bytes: bytes(file),
        log_bytes: bytes(Path::new(&log)),
        disk_free_bytes: disk.map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
    }
}
