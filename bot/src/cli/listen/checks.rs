//! Whether this process can do its work, and if not, why and since when.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::number::{are, wait};
use super::snapshot::{Check, Database, Outbox, Paths, Service};
use eitherway::health::{Reason, Serving};
use eitherway::operation::Kind;
use eitherway::service::Notice;
use eitherway::{Via, clock};

/// A writer that has not turned to its queue for so long is stuck: no lock and no server makes it wait for longer.
pub(super) const STUCK: Duration = Duration::from_secs(30);

const NOT_BEGUN: &str = "it has not begun yet";

/// The parts that are looked at.
pub(super) struct Parts<'a> {
    pub(super) draining: bool,
    pub(super) service: Option<&'a Service>,
    /// Whether the database that was opened answers; none where there is none yet.
    pub(super) database: Option<(&'a Database, Result<(), String>)>,
    /// Whether this process must have one: a service of one namespace does.
    pub(super) needs_database: bool,
    pub(super) paths: Option<&'a Paths>,
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
    pub(super) fn look(&mut self, parts: &Parts<'_>, now: i64) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut check = |name, required, why: Option<String>| {
            let ok = why.is_none();
            checks.push(Check { name, ok, required, since: self.since(name, ok, now), why });
        };
        let stops =
            parts.draining.then_some("it is ending: what was taken is finished, and nothing more is taken");
        check("running", true, stops.map(str::to_owned));
        // A bot that serves itself goes on without its own service.
        let required = !parts.is_bot;
        match parts.service {
            Some(service) => {
                check("nats", required, disconnected(service));
                check("service", required, undone(service));
            }
            None if required => check("service", required, Some(NOT_BEGUN.to_owned())),
            None => {}
        }
        match &parts.database {
            Some((database, answers)) => check("database", required, trouble(database, answers)),
            None if parts.needs_database => {
                check("database", required, Some("it is not open yet".to_owned()))
            }
            None => {}
        }
        if parts.is_bot {
            let health = parts.paths.map(|paths| &paths.health);
            for (name, kind) in [("events", Kind::Event), ("calls", Kind::Call), ("queries", Kind::Query)] {
                check(name, true, no_path(health.map(|health| health.of(kind))));
            }
        }
        let Some(paths) = parts.paths else { return checks };
        if parts.service.is_none() && paths.nats.is_some() {
            let reason = paths.health.calls.reasons.iter().find(|reason| reason.via == Via::NATS);
            check("nats", false, reason.map(|reason| reason.why.clone()));
        }
        if let Some(outbox) = &paths.outbox {
            check("outbox", false, waiting(outbox));
        }
        checks
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

fn trouble(database: &Database, answers: &Result<(), String>) -> Option<String> {
    let silent = database.writer.silent;
    let stuck =
        || format!("its writer has done nothing for {} s: see whether its disk hangs", silent.as_secs());
    let stuck = (silent >= STUCK).then(stuck);
    database
        .trouble
        .clone()
        .or(stuck)
        .or_else(|| database.writer.failing.clone())
        .or_else(|| answers.clone().err())
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
