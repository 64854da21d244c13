//! Whether this process can do its work, and if not, why and since when.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::number::{are, wait};
use super::snapshot::{Check, Database, Outbox, Room, Service, in_front};
use eitherway::health::{Reason, Serving};
use eitherway::operation::Kind;
use eitherway::service::Notice;
use eitherway::{Via, clock};

/// A writer that has not turned to its queue for so long is stuck: no lock and no server makes it wait for longer.
pub(super) const STUCK: Duration = Duration::from_secs(30);

const NOT_BEGUN: &str = "it has not begun yet";

/// What is looked at.
pub(super) struct Looked<'a> {
    pub(super) draining: bool,
    pub(super) service: Option<&'a Service>,
    /// Whether this process must have a database: a service of one namespace does.
    pub(super) needs_database: bool,
    pub(super) rooms: &'a [Room],
    /// Whether this process is a bot.
    pub(super) is_bot: bool,
}

/// Remembers since when each is as it is.
#[derive(Debug, Default)]
pub(super) struct Memory(BTreeMap<&'static str, (bool, i64)>);

impl Memory {
    /// Since when this is so.
    pub(super) fn since(&mut self, name: &'static str, ok: bool, now: i64) -> i64 {
        let known = self.0.entry(name).or_insert((ok, now));
        if known.0 != ok {
            *known = (ok, now);
        }
        known.1
    }

    /// Looks at everything.
    pub(super) fn look(&mut self, looked: &Looked<'_>, now: i64) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut check = |name, required, why: Option<String>| {
            let ok = why.is_none();
            checks.push(Check { name, ok, required, since: self.since(name, ok, now), why });
        };
        let stops =
            looked.draining.then_some("it is ending: what was taken is finished, and nothing more is taken");
        check("running", true, stops.map(str::to_owned));
        // A bot that serves itself goes on without its own service.
        let required = !looked.is_bot;
        match looked.service {
            Some(service) => {
                check("nats", required, disconnected(service));
                check("service", required, undone(service));
            }
            None if required => check("service", required, Some(NOT_BEGUN.to_owned())),
            None => {}
        }
        let database = |room: &Room| match &room.database {
            Some(database) => Some(trouble(database)),
            None => looked.needs_database.then(|| Some("it is not open yet".to_owned())),
        };
        if let Some(why) = looked.of_rooms(database) {
            check("database", required, why);
        }
        if looked.is_bot {
            for (name, kind) in [("events", Kind::Event), ("calls", Kind::Call), ("queries", Kind::Query)] {
                let path =
                    |room: &Room| Some(no_path(room.paths.as_ref().map(|paths| paths.health.of(kind))));
                if let Some(why) = looked.of_rooms(path) {
                    check(name, true, why);
                }
            }
        }
        let nats = |room: &Room| {
            let paths = room.paths.as_ref().filter(|paths| paths.nats.is_some())?;
            let reason = paths.health.calls.reasons.iter().find(|reason| reason.via == Via::NATS);
            Some(reason.map(|reason| reason.why.clone()))
        };
        if looked.service.is_none()
            && let Some(why) = looked.of_rooms(nats)
        {
            check("nats", false, why);
        }
        if let Some(why) = looked.of_rooms(|room| room.outbox().map(waiting)) {
            check("outbox", false, why);
        }
        if looked.rooms.len() > 1 {
            check("rooms", false, looked.ended());
        }
        checks
    }
}

impl Looked<'_> {
    /// What is so in the rooms that have not ended: why not, with the name of each in which it is not. None where no room has such a
    /// thing.
    fn of_rooms(&self, why: impl Fn(&Room) -> Option<Option<String>>) -> Option<Option<String>> {
        let lasting = self.rooms.iter().filter(|room| room.ended.is_none());
        let looked: Vec<_> = lasting.filter_map(|room| Some((room, why(room)?))).collect();
        let wrong = looked.iter().filter_map(|(room, why)| Some(self.said(room, why.as_deref()?)));
        let wrong = wrong.collect::<Vec<_>>().join("; ");
        (!looked.is_empty()).then(|| (!wrong.is_empty()).then_some(wrong))
    }

    /// Which rooms have ended, and not well.
    fn ended(&self) -> Option<String> {
        let ended = self.rooms.iter().filter_map(|room| {
            let ended = room.ended.as_ref().filter(|ended| ended.exit != 0)?;
            Some(self.said(room, &ended.why))
        });
        let ended = ended.collect::<Vec<_>>().join("; ");
        (!ended.is_empty()).then_some(ended)
    }

    fn said(&self, room: &Room, why: &str) -> String {
        format!("{}{why}", in_front(self.rooms, room))
    }
}

fn waiting(outbox: &Outbox) -> Option<String> {
    let oldest =
        outbox.oldest.map_or_else(String::new, |at| format!(", the oldest since {}", clock::rfc3339(at)));
    let count = outbox.counts.waiting;
    (count > 0).then(|| format!("{} in it for a path that takes them{oldest}", wait(count, "event")))
}

fn disconnected(service: &Service) -> Option<String> {
    match service.connected {
        Some(true) => None,
        Some(false) => Some("no NATS server is connected; the log says what was tried".to_owned()),
        None => Some("no NATS server was connected yet".to_owned()),
    }
}

/// What a service says of its database under these keys keeps it from its work.
const OF_THE_DATABASE: [&str; 2] = ["file", "disk"];

/// Why what is asked for is not done.
fn undone(service: &Service) -> Option<String> {
    if service.connected.is_none() && service.services.is_empty() {
        return Some(NOT_BEGUN.to_owned());
    }
    service.services.iter().find_map(|one| {
        let serious = |notice: &&Notice| OF_THE_DATABASE.contains(&notice.key.as_str());
        let why = if one.listening_since.is_none() {
            "it does not listen on its subjects yet".to_owned()
        } else if let Some(notice) = one.notices.iter().find(serious) {
            notice.sentence.clone()
        } else if one.tried_again > 0 {
            format!(
                "{} tried again until the database takes what failed",
                are(one.tried_again as u64, "message")
            )
        } else {
            return None;
        };
        Some(if one.namespace.is_empty() { why } else { format!("{}: {why}", one.namespace) })
    })
}

fn trouble(database: &Database) -> Option<String> {
    let silent = database.writer.silent;
    let stuck =
        || format!("its writer has done nothing for {} s: see whether its disk hangs", silent.as_secs());
    let stuck = (silent >= STUCK).then(stuck);
    database
        .trouble
        .clone()
        .or(stuck)
        .or_else(|| database.writer.failing.clone())
        .or_else(|| database.answers.clone().err())
}

fn no_path(serving: Option<&Serving>) -> Option<String> {
    let Some(serving) = serving else { return Some("the paths are not open yet".to_owned()) };
    if serving.via.is_some() {
        return None;
    }
    let reason = |reason: &Reason| format!("{}: {}", reason.via.as_str(), reason.why);
    let reasons: Vec<String> = serving.reasons.iter().map(reason).collect();
    Some(if reasons.is_empty() { "no path is known yet".to_owned() } else { reasons.join("; ") })
}
