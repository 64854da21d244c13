//! The metrics that are read of a snapshot, as values; what is not known has none.

use super::snapshot::{Bot, Database, Paths, Room, Service, Snapshot};
use eitherway::operation::Kind;
use eitherway::service::OperationCounts;
use eitherway_layers::breaker::State;

/// A metric with labels and a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) name: &'static str,
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) value: f64,
}

/// Collects them.
#[derive(Default)]
pub(super) struct Samples {
    pub(super) all: Vec<Sample>,
    /// Whose the next ones are, where there are several rooms.
    room: Option<String>,
}

/// A whole number, or whether something is so.
trait Value {
    fn value(self) -> f64;
}

impl Value for u64 {
    #[allow(clippy::cast_precision_loss)] // exact up to 2⁵³
    fn value(self) -> f64 {
        self as f64
    }
}

impl Value for usize {
    fn value(self) -> f64 {
        (self as u64).value()
    }
}

impl Value for bool {
    fn value(self) -> f64 {
        f64::from(u8::from(self))
    }
}

impl Value for f64 {
    fn value(self) -> f64 {
        self
    }
}

/// Unix milliseconds as seconds.
#[allow(clippy::cast_precision_loss)] // exact up to 2⁵³
fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

/// For how long something lasts that began then.
fn age(since: Option<i64>, now: i64) -> f64 {
    since.map_or(0.0, |since| seconds((now - since).max(0)))
}

impl Samples {
    fn add(&mut self, name: &'static str, value: impl Value) {
        self.with(name, [], value);
    }

    fn with<const N: usize>(
        &mut self,
        name: &'static str,
        labels: [(&'static str, &str); N],
        value: impl Value,
    ) {
        let mut labels = labels.map(|(label, value)| (label, value.to_owned())).to_vec();
        labels.extend(self.room.clone().map(|room| ("room", room)));
        self.all.push(Sample { name, labels, value: value.value() });
    }

    /// Of everything.
    pub(super) fn of(now: &Snapshot) -> Self {
        let mut all = Self::default();
        all.with("rosey_build_info", [("command", now.command), ("version", now.version)], true);
        all.add("rosey_start_time_seconds", seconds(now.started));
        all.add("rosey_sampled_time_seconds", seconds(now.at));
        all.add("rosey_ready", now.ready);
        all.add("rosey_draining", now.draining);
        for check in &now.checks {
            let required = if check.required { "true" } else { "false" };
            all.with("rosey_check", [("check", check.name), ("required", required)], check.ok);
        }
        let clients = now.rooms.iter().filter_map(|room| room.paths.as_ref()?.nats.as_ref());
        let of_clients = clients.map(|nats| nats.connected).reduce(|one, other| one && other);
        let of_service = now.service.as_ref().and_then(|service| service.connected);
        if let Some(connected) = of_service.or(of_clients) {
            all.add("rosey_nats_connected", connected);
        }
        now.service.iter().for_each(|service| all.service(service, now.at));
        for room in &now.rooms {
            all.room = (now.rooms.len() > 1).then(|| room.room.clone());
            all.room(room, now.at);
        }
        all
    }

    fn room(&mut self, room: &Room, now: i64) {
        room.paths.iter().for_each(|paths| self.paths(paths, now));
        if let Some(bot) = &room.bot {
            self.add("rosey_bot_runs", room.ended.is_none());
            self.bot(bot);
        }
        room.database.iter().for_each(|database| self.database(database));
    }

    fn paths(&mut self, paths: &Paths, now: i64) {
        let health = &paths.health;
        for (name, kind) in [("event", Kind::Event), ("call", Kind::Call), ("query", Kind::Query)] {
            let serving = health.of(kind);
            let via = serving.via.map_or("none", |via| via.as_str());
            for path in ["nats", "db", "outbox", "none"] {
                self.with("rosey_serving", [("kind", name), ("path", path)], path == via);
            }
            self.with("rosey_serving_since_seconds", [("kind", name)], seconds(serving.since));
        }
        for (circuit, state) in [("events", health.events_circuit), ("requests", health.requests_circuit)] {
            let Some(state) = state else { continue };
            for known in State::ALL {
                self.with(
                    "rosey_circuit_state",
                    [("circuit", circuit), ("state", known.as_str())],
                    known == state,
                );
            }
        }
        if let Some(nats) = &paths.nats {
            self.add("rosey_nats_waiting_requests", nats.waiting);
            self.add("rosey_nats_late_answers_total", nats.late);
            self.add("rosey_nats_foreign_answers_total", nats.foreign);
            self.add("rosey_nats_overruns_total", nats.overruns);
        }
        if let Some(outbox) = &paths.outbox {
            self.add("rosey_outbox_oldest_age_seconds", age(outbox.oldest, now));
        }
    }

    fn bot(&mut self, bot: &Bot) {
        for (kind, count) in &bot.events {
            self.with("rosey_bot_events_total", [("kind", kind)], *count);
        }
        self.add("rosey_bot_leads", bot.role.is_none_or(|role| role == "leads"));
        self.add("rosey_bot_last_event_time_seconds", bot.last_event.map_or(0.0, seconds));
        let done = bot.operations.saturating_sub(bot.operations_failed);
        let failed = bot.operations_failed.saturating_sub(bot.operations_refused);
        for (outcome, count) in [("done", done), ("refused", bot.operations_refused), ("failed", failed)] {
            self.with("rosey_bot_operations_total", [("outcome", outcome)], count);
        }
        self.add("rosey_bot_polls_failed_total", bot.polls_failed);
        for (outcome, count) in
            [("delivered", bot.messages_delivered), ("undelivered", bot.messages_undelivered)]
        {
            self.with("rosey_bot_messages_total", [("outcome", outcome)], count);
        }
        self.add("rosey_bot_bad_lines_total", bot.bad_lines);
        for (kind, count) in [("error", bot.handler_errors), ("panic", bot.handler_panics)] {
            self.with("rosey_bot_handler_failures_total", [("kind", kind)], count);
        }
    }

    fn service(&mut self, service: &Service, now: i64) {
        let Service { services, operations, overruns, noticed, .. } = service;
        for mode in ["core", "jetstream"] {
            let listen = services.iter().filter(|one| one.mode.is_some_and(|of| of.as_str() == mode)).count();
            self.with("rosey_services", [("mode", mode)], listen);
        }
        operations.iter().for_each(|counts| self.operation(counts));
        self.add("rosey_service_overruns_total", *overruns);
        self.add(
            "rosey_service_tried_again_messages",
            services.iter().map(|one| one.tried_again).sum::<usize>(),
        );
        self.add("rosey_service_notices", services.iter().map(|one| one.notices.len()).sum::<usize>());
        self.add("rosey_service_notices_total", *noticed);
        let streams: Vec<_> = services.iter().filter_map(|one| one.stream.as_ref()).collect();
        if !streams.is_empty() {
            self.add("rosey_stream_messages", streams.iter().map(|stream| stream.messages).sum::<u64>());
            self.add("rosey_stream_bytes", streams.iter().map(|stream| stream.bytes).sum::<u64>());
            let worked_on = streams.iter().map(|stream| stream.unacknowledged).sum::<u64>();
            self.add("rosey_stream_unacknowledged_messages", worked_on);
            let oldest = streams.iter().filter_map(|stream| stream.oldest).min();
            self.add("rosey_stream_oldest_age_seconds", age(oldest, now));
        }
    }

    fn operation(&mut self, OperationCounts { name, served, busy, .. }: &OperationCounts) {
        for (outcome, count) in [
            ("taken", served.taken),
            ("done", served.done),
            ("refused", served.refused),
            ("expired", served.expired),
            ("failed", served.failed),
            ("returned", served.returned),
            ("lost", served.lost),
        ] {
            self.with("rosey_service_operations_total", [("operation", name), ("outcome", outcome)], count);
        }
        self.with("rosey_service_busy_seconds_total", [("operation", name)], busy.as_secs_f64());
        self.with("rosey_service_repeats_total", [("operation", name)], served.repeated);
        self.with("rosey_service_buried_total", [("operation", name)], served.buried);
    }

    fn database(&mut self, database: &Database) {
        let Database { writer, trouble, seldom, .. } = database;
        self.add("rosey_database_writer_waiting", writer.waiting);
        self.add("rosey_database_writer_silence_seconds", writer.silent.as_secs_f64());
        self.add("rosey_database_trouble", trouble.is_some() || writer.failing.is_some());
        if let Some(letters) = seldom.dead_letters {
            self.add("rosey_database_dead_letters", letters);
        }
        for (file, bytes) in [("main", seldom.file_bytes), ("wal", seldom.log_bytes)] {
            if let Some(bytes) = bytes {
                self.with("rosey_database_file_bytes", [("file", file)], bytes);
            }
        }
        if let Some(bytes) = seldom.disk_free_bytes {
            self.add("rosey_database_disk_free_bytes", bytes);
        }
    }
}
