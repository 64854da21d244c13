//! The board, made of a snapshot.

mod tiles;

use super::super::human;
use super::super::path_stats::{LAST, Last};
use super::board::{Aside, Board, Circuit, Ended, Letters, Level, Problem, Route, Step, StepState, words};
use super::flow::Flow;
use super::lately::Lately;
use super::snapshot::{Check, Room, Snapshot};
use crate::op::Op;
use eitherway::operation::{Kind, Operation};

/// A disk with less than this has to be looked at.
const ROOM: u64 = 1_000_000_000;

/// What it is made of.
pub(super) struct Made<'a> {
    pub(super) now: &'a Snapshot,
    pub(super) flow: &'a Flow,
    pub(super) lately: &'a Lately,
}

impl Made<'_> {
    /// Makes it.
    pub(super) fn board(&self) -> Board {
        let now = self.now;
        let problems = problems(now);
        let letters = letters(now);
        let aside: Vec<Aside> = now.rooms.iter().filter_map(of_outbox).collect();
        let [refused, expired] = aside
            .iter()
            .fold([0, 0], |[refused, expired], one| [refused + one.refused, expired + one.expired]);
        let databases = now.rooms.iter().filter_map(|room| room.database.as_ref());
        let dead: u64 = databases.filter_map(|database| database.seldom.dead_letters).sum();
        let level = problems.iter().map(|problem| problem.level).max().unwrap_or_default();
        let since = problems.first().and_then(|problem| problem.since);
        Board {
            command: now.command.to_owned(),
            version: now.version.to_owned(),
            started: now.started,
            at: now.at,
            level,
            said: said(now, level, &problems, dead + refused),
            since: since.unwrap_or(if level == Level::Fine { self.fine_since() } else { now.since }),
            problems,
            routes: if is_client(now) { of_clients(now) } else { of_service(now) },
            circuits: now.rooms.iter().flat_map(circuits).collect(),
            tiles: tiles::of(now, self.flow),
            letters,
            refused,
            expired,
            aside,
            lately: self.lately.changes(),
            last: last(now),
        }
    }

    /// Since when every check is met.
    fn fine_since(&self) -> i64 {
        let checks = self.now.checks.iter().map(|check| check.since);
        checks.max().unwrap_or(self.now.since)
    }
}

fn said(now: &Snapshot, level: Level, problems: &[Problem], aside: u64) -> String {
    let more = match problems.len() {
        0 | 1 => String::new(),
        n => format!(", and {} more", n - 1),
    };
    let first = problems.first().map(|problem| problem.title.as_str()).unwrap_or_default();
    match level {
        Level::Fine if aside > 0 => "All is well; something was set aside for you".to_owned(),
        Level::Fine => "All is well".to_owned(),
        Level::Warn => match served(now) {
            Some(path) => format!("{first}; {path}{more}"),
            None => format!("It works: {}{more}", lower(first)),
        },
        Level::Bad => format!("{first}{more}"),
    }
}

fn of_outbox(room: &Room) -> Option<Aside> {
    let counts = room.outbox().map(|outbox| outbox.counts)?;
    let aside = Aside { room: room.room.clone(), refused: counts.refused, expired: counts.expired };
    (counts.refused + counts.expired > 0).then_some(aside)
}

/// Which path serves instead of NATS.
fn served(now: &Snapshot) -> Option<&'static str> {
    now.rooms.iter().find_map(served_in)
}

fn served_in(room: &Room) -> Option<&'static str> {
    let paths = room.paths.as_ref()?;
    let via = |kind| paths.health.of(kind).via.map(|via| via.as_str());
    match (paths.nats.is_some(), via(Kind::Call), via(Kind::Event)) {
        (true, Some("db"), _) => Some("the database serves"),
        (true, _, Some("outbox")) => Some("the outbox takes events"),
        _ => None,
    }
}

fn lower(text: &str) -> String {
    // Names stay as they are.
    if text.starts_with("NATS") {
        return text.to_owned();
    }
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

fn problems(now: &Snapshot) -> Vec<Problem> {
    let mut problems: Vec<Problem> = now.checks.iter().filter(|check| !check.ok).map(of_check).collect();
    for (namespace, notice) in now.notices() {
        // A service that cannot do its work for this reason says so in its check.
        if problems.iter().any(|problem| problem.why.ends_with(&notice.sentence)) {
            continue;
        }
        let of = if namespace.is_empty() { String::new() } else { format!("{namespace}: ") };
        problems.push(Problem {
            level: Level::Warn,
            title: format!("A notice of the service ({})", notice.key),
            why: format!("{of}{}", notice.sentence),
            since: Some(notice.since),
            advice: String::new(),
        });
    }
    for room in &now.rooms {
        problems.extend(of_database(room, &now.in_front_of(room)));
    }
    // The worst first, and the ones in front of it in the order in which they were looked at.
    problems.sort_by_key(|problem| std::cmp::Reverse(problem.level));
    problems
}

fn of_database(room: &Room, of: &str) -> Vec<Problem> {
    let Some(database) = &room.database else { return Vec::new() };
    let concern = |concern: &String| Problem {
        level: Level::Warn,
        title: "A concern of the database".to_owned(),
        why: format!("{of}{concern}"),
        since: None,
        advice: String::new(),
    };
    let mut problems: Vec<Problem> = database.concerns.iter().map(concern).collect();
    let free = database.seldom.disk_free_bytes.filter(|free| *free < ROOM);
    problems.extend(free.map(|free| Problem {
        level: Level::Warn,
        title: "The disk is nearly full".to_owned(),
        why: format!("{of}{} are free", human::size(free)),
        since: None,
        advice: "Make room. A database that cannot be written refuses, and events wait.".to_owned(),
    }));
    problems
}

fn of_check(check: &Check) -> Problem {
    Problem {
        level: if check.required { Level::Bad } else { Level::Warn },
        title: words::title(check.name).to_owned(),
        why: check.why.clone().unwrap_or_default(),
        since: Some(check.since),
        advice: words::advice(check.name, check.required).to_owned(),
    }
}

/// How requests go through a service: its server, itself, its database.
fn of_service(now: &Snapshot) -> Vec<Route> {
    let check = |name: &str| now.checks.iter().find(|check| check.name == name);
    let steps = [("NATS", "nats"), ("service", "service"), ("database", "database")];
    let steps: Vec<Step> = steps
        .into_iter()
        .filter_map(|(name, of)| check(of).map(|check| (name, check)))
        .map(|(name, check)| Step {
            name: name.to_owned(),
            state: if check.ok { StepState::Serves } else { StepState::Broken },
            why: check.why.clone(),
        })
        .collect();
    if steps.is_empty() {
        return Vec::new();
    }
    let listens = now.service.iter().flat_map(|service| &service.services);
    let since = listens.filter_map(|service| service.listening_since).min();
    vec![Route { what: "Requests".to_owned(), circuit: None, steps, since }]
}

/// Whether this process has paths of a client.
pub(super) fn is_client(now: &Snapshot) -> bool {
    now.rooms.iter().any(|room| room.paths.is_some())
}

/// How the operations of a bot go, in each room: the path that serves, those before it, those behind it.
fn of_clients(now: &Snapshot) -> Vec<Route> {
    now.rooms.iter().flat_map(|room| of_client(room, &now.in_front_of(room))).collect()
}

fn of_client(room: &Room, of: &str) -> Vec<Route> {
    let Some(paths) = &room.paths else { return Vec::new() };
    let kinds = [("Events", Kind::Event), ("Calls", Kind::Call), ("Queries", Kind::Query)];
    let route = |(what, kind): (&str, Kind)| {
        let serving = paths.health.of(kind);
        let via = serving.via.map(|via| via.as_str());
        let mut steps: Vec<Step> = Vec::new();
        for reason in &serving.reasons {
            let name = words::path(reason.via.as_str()).to_owned();
            steps.push(Step { name, state: StepState::Broken, why: Some(reason.why.clone()) });
        }
        steps.extend(via.map(|via| Step {
            name: words::path(via).to_owned(),
            state: StepState::Serves,
            why: None,
        }));
        let outbox = paths.outbox.is_some() && kind == Kind::Event;
        let others = [("database", true), ("outbox", outbox)].into_iter().filter(|(_, is_one)| *is_one);
        for (name, _) in others {
            if !steps.iter().any(|step| step.name == name) {
                steps.push(Step { name: name.to_owned(), state: StepState::Next, why: None });
            }
        }
        let circuit = if kind == Kind::Event { "events" } else { "requests" };
        let circuit = Some((room.room.clone(), circuit.to_owned()));
        Route { what: format!("{of}{what}"), circuit, steps, since: Some(serving.since) }
    };
    kinds.map(route).into()
}

fn circuits(room: &Room) -> Vec<Circuit> {
    let Some(health) = room.paths.as_ref().map(|paths| &paths.health) else { return Vec::new() };
    let circuits = [("events", health.events_circuit), ("requests", health.requests_circuit)];
    let known = circuits.into_iter().filter_map(|(name, state)| {
        state.map(|state| Circuit {
            room: room.room.clone(),
            name: name.to_owned(),
            state: state.as_str().to_owned(),
        })
    });
    known.collect()
}

/// The last operations of all rooms, the newest first.
fn last(now: &Snapshot) -> Vec<Ended> {
    let mut all = Vec::new();
    for room in &now.rooms {
        let of = now.in_front_of(room);
        all.extend(room.paths.iter().flat_map(|paths| &paths.last).map(|last| ended(last, &of)));
    }
    all.sort_by_key(|ended: &Ended| std::cmp::Reverse(ended.at));
    all.truncate(LAST);
    all
}

fn ended(last: &Last, of: &str) -> Ended {
    let (path, said) = match last.ended {
        Ok(via) => (Some(via.as_str().to_owned()), words::path(via.as_str()).to_owned()),
        Err(class) => (None, format!("failed: {class}")),
    };
    Ended {
        at: last.at,
        operation: format!("{of}{}", last.operation),
        id: last.id.to_string(),
        path,
        said,
        took: human::takes(last.took.as_secs_f64()),
    }
}

fn letters(now: &Snapshot) -> Vec<Letters> {
    let of_room = |room: &'_ Room| {
        let groups = room.database.iter().flat_map(|database| &database.letters);
        groups.map(|group| (room.room.clone(), group.clone())).collect::<Vec<_>>()
    };
    let groups = now.rooms.iter().flat_map(of_room);
    let shown = |(room, group): (String, eitherway::sql::LetterGroup)| {
        let operation = Op::SPECS.iter().find(|spec| spec.is_subject(&group.subject));
        Letters {
            room,
            operation: operation.map_or("unknown operation", |spec| spec.name).to_owned(),
            subject: group.subject,
            code: group.code,
            count: group.count,
            first: group.first,
            last: group.last,
            newest: group.newest,
            reason: group.reason,
        }
    };
    groups.map(shown).collect()
}
