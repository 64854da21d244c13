//! Where the endpoints look: the parts of this process, each from the moment on that it is there.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::database_options::DatabaseOptions;
use super::super::path_stats::PathStats;
use super::snapshot::{Bot, Database, Ended, Nats, Outbox, Paths, Seldom, Service};
use crate::bot::{Kind, Progress, Role};
use crate::op::Op;
use eitherway::Health;
use eitherway::clock;
use eitherway::nats::NatsService;
use eitherway::outbox::OutboxService;
use eitherway::service::Monitor;
use eitherway::sql::{LetterGroup, SqlService};
use eitherway::stack::{Circuits, GuardedStore};
use eitherway::store::Store;

/// What a bot reaches its operations by.
#[derive(Clone)]
pub(in crate::cli) struct Client {
    pub(in crate::cli) health: watch::Receiver<Health>,
    pub(in crate::cli) nats: Option<NatsService<Op>>,
    pub(in crate::cli) direct: GuardedStore<Op>,
    pub(in crate::cli) outbox: Option<OutboxService<Op>>,
    pub(in crate::cli) circuits: Option<Circuits>,
    pub(in crate::cli) stats: PathStats,
}

/// The parts of this process that are there.
pub(super) struct Sources {
    pub(super) command: &'static str,
    /// Cancelled when the process is to end.
    pub(super) shutdown: CancellationToken,
    pub(super) monitor: Monitor,
    all: Mutex<All>,
    /// What operators have done since the last look, and when.
    acts: Mutex<Vec<(i64, String)>>,
}

#[derive(Default)]
struct All {
    /// Whether this process is a database service; whether that has one database.
    serves: bool,
    one: bool,
    /// What each room has of its own; one, before anything is said.
    rooms: Vec<Parts>,
}

/// What a room has of its own. A process without rooms has one that has no name.
#[derive(Clone, Default)]
pub(super) struct Parts {
    pub(super) room: String,
    pub(super) ended: Option<Ended>,
    database: Option<SqlService<Op>>,
    /// Where that is.
    place: Option<DatabaseOptions>,
    client: Option<Client>,
    bot: Option<Arc<Progress>>,
}

impl Sources {
    pub(super) fn new(command: &'static str, shutdown: CancellationToken) -> Self {
        let all = All { rooms: vec![Parts::default()], ..All::default() };
        let (monitor, acts) = (Monitor::new(), Mutex::default());
        Self { command, shutdown, monitor, all: Mutex::new(all), acts }
    }

    pub(super) fn serves(&self, one: bool) {
        let mut all = self.all.lock();
        (all.serves, all.one) = (true, one);
    }

    /// Whether this process cannot do its work without a database that is open.
    pub(super) fn needs_database(&self) -> bool {
        self.all.lock().one
    }

    /// From now on there are these.
    pub(super) fn set_rooms<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let parts = |name: &str| Parts { room: name.to_owned(), ..Parts::default() };
        self.all.lock().rooms = names.map(parts).collect();
    }

    /// What they have now.
    pub(super) fn rooms(&self) -> Vec<Parts> {
        self.all.lock().rooms.clone()
    }

    /// What the room of this name has; nothing if there is no such one.
    pub(super) fn room(&self, name: &str) -> Parts {
        self.all.lock().rooms.iter().find(|parts| parts.room == name).cloned().unwrap_or_default()
    }

    /// Changes what a room has.
    pub(super) fn tell(&self, room: &str, what: impl FnOnce(&mut Parts)) {
        if let Some(parts) = self.all.lock().rooms.iter_mut().find(|parts| parts.room == room) {
            what(parts);
        }
    }

    /// Lets go of all of them.
    pub(super) fn clear(&self) {
        *self.all.lock() = All::default();
    }

    /// Keeps what an operator has done.
    pub(super) fn did(&self, what: String) {
        self.acts.lock().push((clock::now(), what));
    }

    /// What operators have done since this was asked last.
    pub(super) fn acts(&self) -> Vec<(i64, String)> {
        std::mem::take(&mut *self.acts.lock())
    }

    pub(super) fn service(&self) -> Option<Service> {
        self.all.lock().serves.then(|| Service {
            connected: self.monitor.connected(),
            services: self.monitor.services(),
            operations: self.monitor.operations(),
            overruns: self.monitor.overruns(),
            noticed: self.monitor.noticed(),
        })
    }
}

impl Parts {
    pub(super) fn set_database(&mut self, database: SqlService<Op>, place: DatabaseOptions) {
        (self.database, self.place) = (Some(database), Some(place));
    }

    pub(super) fn set_client(&mut self, client: Client) {
        self.client = Some(client);
    }

    pub(super) fn set_bot(&mut self, bot: Arc<Progress>) {
        self.bot = Some(bot);
    }

    /// It has ended: what it did stays counted.
    pub(super) fn set_ended(&mut self, ended: Ended) {
        let (room, bot) = (std::mem::take(&mut self.room), self.bot.take());
        *self = Self { room, bot, ended: Some(ended), ..Self::default() };
    }

    /// The database that is open: the one of the service, or the bot's own.
    pub(super) fn database(&self) -> Option<SqlService<Op>> {
        let of_client = || self.client.as_ref().and_then(|client| client.direct.database().cloned());
        self.database.clone().or_else(of_client)
    }

    /// The database that this process has opened itself, and where it is.
    pub(super) fn database_and_place(&self) -> Option<(SqlService<Op>, DatabaseOptions)> {
        self.database.clone().zip(self.place.clone())
    }

    /// The circuits of the bot's paths.
    pub(super) fn circuits(&self) -> Option<Circuits> {
        self.client.as_ref().and_then(|client| client.circuits.clone())
    }

    pub(super) fn outbox(&self) -> Option<OutboxService<Op>> {
        self.client.as_ref().and_then(|client| client.outbox.clone())
    }

    pub(super) fn paths(&self, oldest: Option<i64>) -> Option<Paths> {
        let Client { health, nats, outbox, stats, .. } = self.client.clone()?;
        let of_nats = |nats: NatsService<Op>| {
            let inbox = nats.inbox();
            Nats {
                connected: nats.status().borrow().connected,
                waiting: inbox.waiting,
                late: inbox.late,
                foreign: inbox.foreign,
                overruns: inbox.overruns,
            }
        };
        let outbox = outbox.map(|outbox| {
            let counts = outbox.counts();
            let oldest = oldest.filter(|_| counts.waiting > 0);
            Outbox { file: outbox.path().display().to_string(), counts, oldest }
        });
        let health = health.borrow().clone();
        Some(Paths { health, nats: nats.map(of_nats), outbox, last: stats.last() })
    }

    pub(super) fn bot(&self) -> Option<Bot> {
        let bot = self.bot.as_ref()?;
        let (role, leader) = match bot.role() {
            None => (None, None),
            Some(Role::Leads) => (Some("leads"), None),
            Some(Role::Watches(leader)) => (Some("watches"), Some(leader)),
            Some(Role::Unknown) => (Some("unknown"), None),
        };
        Some(Bot {
            role,
            leader,
            events: Kind::ALL.iter().map(|kind| (kind.as_str(), bot.events_of(*kind))).collect(),
            last_event: bot.last_event(),
            bad_lines: bot.bad_lines(),
            operations: bot.operations(),
            operations_failed: bot.failed(),
            operations_refused: bot.refused(),
            polls_failed: bot.polls_failed(),
            messages_delivered: bot.delivered(),
            messages_undelivered: bot.undelivered(),
            handler_errors: bot.handler_errors(),
            handler_panics: bot.handler_panics(),
        })
    }
}

/// A database, as it is now.
pub(super) fn shown(
    database: &SqlService<Op>,
    answers: Result<(), String>,
    seldom: Seldom,
    letters: &[LetterGroup],
) -> Database {
    let concerns = Store::<Op>::concerns(database);
    let now = concerns.borrow();
    Database {
        id: database.database().to_owned(),
        shown: database.shown().to_owned(),
        writer: database.writer(),
        answers,
        trouble: database.trouble().or_else(|| now.disk.clone()),
        concerns: [&now.log, &now.folds].into_iter().flatten().cloned().collect(),
        seldom,
        letters: letters.to_vec(),
    }
}
