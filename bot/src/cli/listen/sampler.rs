//! Looks at this process once a second: one task, for however many ask.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{self, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::checks::{Looked, Memory};
use super::flow::{Flow, Totals};
use super::lately::Lately;
use super::look::Look;
use super::made::Made;
use super::recorder::Recorded;
use super::snapshot::{Room, Snapshot};
use super::sources::Sources;
use eitherway::clock;

/// How often it is looked, and every how many looks at what costs a read.
const EVERY: Duration = Duration::from_secs(1);
const SELDOM: u32 = 5;

/// What is remembered from one look to the next.
pub(super) struct Sampler {
    sources: Arc<Sources>,
    recorded: Recorded,
    memory: Memory,
    flow: Flow,
    lately: Lately,
    started: i64,
    looks: u32,
    /// By room.
    rooms: BTreeMap<String, Look>,
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
            rooms: BTreeMap::new(),
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
        let closer = self.looks.is_multiple_of(SELDOM);
        self.looks = self.looks.wrapping_add(1);
        let rooms = self.look_at_rooms(closer).await;
        let sources = &self.sources;
        let service = sources.service();
        let now = clock::now();
        let draining = sources.shutdown.is_cancelled();
        let looked = Looked {
            draining,
            service: service.as_ref(),
            needs_database: sources.needs_database(),
            rooms: &rooms,
            is_bot: sources.command != "serve",
        };
        let checks = self.memory.look(&looked, now);
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
            rooms,
            board: Board::default(),
        };
        self.remember(&snapshot);
        snapshot.board = Made { now: &snapshot, flow: &self.flow, lately: &self.lately }.board();
        snapshot
    }

    /// Looks at all of them at the same time: one that hangs holds up no other one.
    async fn look_at_rooms(&mut self, closer: bool) -> Vec<Room> {
        let rooms = self.sources.rooms();
        let mut looks: Vec<Look> =
            rooms.iter().map(|parts| self.rooms.remove(&parts.room).unwrap_or_default()).collect();
        let looking = looks.iter_mut().zip(&rooms).map(|(look, parts)| look.at(parts, closer));
        let looked = join_all(looking).await;
        self.rooms = rooms.into_iter().map(|parts| parts.room).zip(looks).collect();
        looked
    }

    /// Adds what is so now to what was.
    #[allow(clippy::cast_precision_loss)] // exact up to 2⁵³
    fn remember(&mut self, now: &Snapshot) {
        let services = now.service.iter().flat_map(|service| &service.services);
        let stream: u64 = services.filter_map(|one| one.stream.as_ref()).map(|stream| stream.messages).sum();
        let outboxes = now.rooms.iter().filter_map(Room::outbox);
        let waiting: u64 = outboxes.map(|outbox| outbox.counts.waiting).sum();
        let totals = Totals::of(&self.recorded.render(), now.service.as_ref());
        self.flow.look(now.looked, totals, stream as f64, waiting as f64);
        let healths = now
            .rooms
            .iter()
            .filter_map(|room| room.paths.as_ref().map(|paths| (now.in_front_of(room), &paths.health)));
        self.lately.look(&now.checks, healths, now.at);
        for (at, what) in self.sources.acts() {
            self.lately.did(at, what);
        }
    }
}
