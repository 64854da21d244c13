//! Looks at this process once a second: one task, for however many ask.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{self, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::checks::{Memory, Parts};
use super::flow::{Flow, Totals};
use super::lately::Lately;
use super::made::Made;
use super::recorder::Recorded;
use super::snapshot::{Seldom, Snapshot};
use super::sources::{Sources, shown};
use crate::op::Op;
use eitherway::clock;
use eitherway::sql::{LetterGroup, SqlService};

/// How often it is looked, and every how many looks at what costs a read.
const EVERY: Duration = Duration::from_secs(1);
const SELDOM: u32 = 5;
/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(1);
/// How many groups of dead letters are told of.
const GROUPS: u32 = 20;

/// What is remembered from one look to the next.
pub(super) struct Sampler {
    sources: Arc<Sources>,
    recorded: Recorded,
    memory: Memory,
    flow: Flow,
    lately: Lately,
    started: i64,
    looks: u32,
    seldom: Seldom,
    letters: Vec<LetterGroup>,
    /// Why the last read was not answered, and how many in a row were not answered in time.
    unread: Option<String>,
    late: u32,
    oldest: Option<i64>,
    /// A look at the disk, which may hang: there is one at a time.
    disk: Option<JoinHandle<Seldom>>,
}

impl Sampler {
    pub(super) fn new(sources: Arc<Sources>, recorded: Recorded) -> Self {
        Self {
            sources,
            recorded,
            memory: Memory::default(),
            flow: Flow::default(),
            lately: Lately::default(),
            started: clock::now(),
            looks: 0,
            seldom: Seldom::default(),
            letters: Vec::new(),
            unread: None,
            late: 0,
            oldest: None,
            disk: None,
        }
    }

    /// Looks until it is told to stop. What is recorded is tidied up with each look.
    pub(super) async fn run(mut self, told: watch::Sender<Arc<Snapshot>>, stop: CancellationToken) {
        let mut ticks = time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let Some(snapshot) = stop.run_until_cancelled(self.look()).await else { return };
            told.send_replace(Arc::new(snapshot));
            self.recorded.tidy_up();
        }
    }

    /// Looks once.
    pub(super) async fn look(&mut self) -> Snapshot {
        let sources = Arc::clone(&self.sources);
        let database = sources.database();
        // What has just been opened is not known at all.
        let new = database.is_some() && self.seldom.dead_letters.is_none();
        if new || self.looks.is_multiple_of(SELDOM) {
            self.look_closer(database.as_ref()).await;
        }
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
        // A writer that has nothing to do does not know whether its database is there.
        let answers = answers.and_then(|()| self.unread.clone().map_or(Ok(()), Err));
        self.look_at_outbox().await;
        self.looks = self.looks.wrapping_add(1);
        let (service, bot, paths) = (sources.service(), sources.bot(), sources.paths(self.oldest));
        let database = database.as_ref().map(|database| shown(database, self.seldom, &self.letters));
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
        let mut snapshot = Snapshot {
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
            board: Board::default(),
        };
        self.remember(&snapshot);
        snapshot.board = Made { now: &snapshot, flow: &self.flow, lately: &self.lately }.board();
        snapshot
    }

    /// Adds what is so now to what was.
    #[allow(clippy::cast_precision_loss)] // exact up to 2⁵³
    fn remember(&mut self, now: &Snapshot) {
        let services = now.service.iter().flat_map(|service| &service.services);
        let stream: u64 = services.filter_map(|one| one.stream.as_ref()).map(|stream| stream.messages).sum();
        let outbox = now.paths.as_ref().and_then(|paths| paths.outbox.as_ref());
        let waiting = outbox.map_or(0, |outbox| outbox.counts.waiting);
        let totals = Totals::of(&self.recorded.render(), now.service.as_ref());
        self.flow.look(now.looked, totals, stream as f64, waiting as f64);
        self.lately.look(&now.checks, now.paths.as_ref().map(|paths| &paths.health), now.at);
        for (at, what) in self.sources.acts() {
            self.lately.did(at, what);
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
        let read = time::timeout(LIMIT, database.dead_letters()).await;
        self.late = if read.is_err() { self.late + 1 } else { 0 };
        match read {
            Ok(Ok(letters)) => {
                self.unread = None;
                self.seldom.dead_letters = Some(letters);
                self.letters = if letters == 0 { Vec::new() } else { self.groups().await };
            }
            Ok(Err(cause)) => self.unread = Some(cause.to_string()),
            // One that is late may have been behind others.
            Err(_) if self.late > 1 => {
                self.unread = Some(format!("it has not answered {} reads in a row", self.late));
            }
            Err(_) => {}
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

    /// The dead letters of the service's database, by what they have in common.
    async fn groups(&self) -> Vec<LetterGroup> {
        let Some((_, place)) = self.sources.database_and_place() else { return Vec::new() };
        let read = async {
            let mut letters = place.letters().await?;
            let groups = letters.groups(GROUPS).await;
            letters.close().await;
            groups
        };
        match time::timeout(LIMIT, read).await {
            Ok(Ok(groups)) => groups,
            // They are told of as they were.
            _ => self.letters.clone(),
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
