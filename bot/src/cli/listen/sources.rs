//! Where the endpoints look: the parts of this process, each from the moment on that it is there.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::super::database_options::DatabaseOptions;
use super::super::path_stats::PathStats;
use super::snapshot::{Bot, Database, Nats, Outbox, Paths, Seldom, Service};
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
    parts: Mutex<Parts>,
    /// What operators have done since the last look, and when.
    acts: Mutex<Vec<(i64, String)>>,
}

#[derive(Clone, Default)]
struct Parts {
    /// Whether this process is a database service; whether that has one database.
    serves: bool,
    one: bool,
    database: Option<SqlService<Op>>,
    /// Where that is.
    place: Option<DatabaseOptions>,
    client: Option<Client>,
    bot: Option<Arc<Progress>>,
}

impl Sources {
    pub(super) fn new(command: &'static str, shutdown: CancellationToken) -> Self {
        Self { command, shutdown, monitor: Monitor::new(), parts: Mutex::default(), acts: Mutex::default() }
    }

    pub(super) fn serves(&self, one: bool) {
        let mut parts = self.parts.lock();
        (parts.serves, parts.one) = (true, one);
    }

    /// Whether this process cannot do its work without a database that is open.
    pub(super) fn needs_database(&self) -> bool {
        self.parts.lock().one
    }

    pub(super) fn set_database(&self, database: SqlService<Op>, place: DatabaseOptions) {
        let mut parts = self.parts.lock();
        (parts.database, parts.place) = (Some(database), Some(place));
    }

    pub(super) fn set_client(&self, client: Client) {
        self.parts.lock().client = Some(client);
    }

    pub(super) fn set_bot(&self, bot: Arc<Progress>) {
        self.parts.lock().bot = Some(bot);
    }

    /// Lets go of all of them.
    pub(super) fn clear(&self) {
        *self.parts.lock() = Parts::default();
    }

    /// The database that is open: the one of the service, or the bot's own.
    pub(super) fn database(&self) -> Option<SqlService<Op>> {
        let Parts { database, client, .. } = self.parts.lock().clone();
        database.or_else(|| client.and_then(|client| client.direct.database().cloned()))
    }

    /// The database that this process has opened itself, and where it is.
    pub(super) fn database_and_place(&self) -> Option<(SqlService<Op>, DatabaseOptions)> {
        let parts = self.parts.lock();
        parts.database.clone().zip(parts.place.clone())
    }

    /// The circuits of the bot's paths.
    pub(super) fn circuits(&self) -> Option<Circuits> {
        self.parts.lock().client.as_ref().and_then(|client| client.circuits.clone())
    }

    /// Keeps what an operator has done.
    pub(super) fn did(&self, what: String) {
        self.acts.lock().push((clock::now(), what));
    }

    /// What operators have done since this was asked last.
    pub(super) fn acts(&self) -> Vec<(i64, String)> {
        std::mem::take(&mut *self.acts.lock())
    }

    pub(super) fn outbox(&self) -> Option<OutboxService<Op>> {
        self.parts.lock().client.as_ref().and_then(|client| client.outbox.clone())
    }

    pub(super) fn service(&self) -> Option<Service> {
        self.parts.lock().serves.then(|| Service {
            connected: self.monitor.connected(),
            services: self.monitor.services(),
            operations: self.monitor.operations(),
            overruns: self.monitor.overruns(),
            noticed: self.monitor.noticed(),
        })
    }

    pub(super) fn paths(&self, oldest: Option<i64>) -> Option<Paths> {
        let Client { health, nats, outbox, stats, .. } = self.parts.lock().client.clone()?;
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
        let bot = self.parts.lock().bot.clone()?;
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
pub(super) fn shown(database: &SqlService<Op>, seldom: Seldom, letters: &[LetterGroup]) -> Database {
    let concerns = Store::<Op>::concerns(database);
    let now = concerns.borrow();
    Database {
        id: database.database().to_owned(),
        shown: database.shown().to_owned(),
        writer: database.writer(),
        trouble: database.trouble().or_else(|| now.disk.clone()),
        concerns: [&now.log, &now.folds].into_iter().flatten().cloned().collect(),
        seldom,
        letters: letters.to_vec(),
    }
}
