//! How this process is, once a second: what `/status.json` shows, and what the other endpoints are made of. Times are unix
//! milliseconds.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Serialize, Serializer};

use super::super::path_stats::Last;
use super::board::Board;
use eitherway::outbox::Counts;
use eitherway::service::{Notice, OperationCounts, ServiceStatus};
use eitherway::sql::{LetterGroup, WriterStatus};
use eitherway::{Health, clock};

/// All that is told.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Snapshot {
    pub(super) command: &'static str,
    pub(super) version: &'static str,
    pub(super) started: i64,
    /// When this was found out.
    pub(super) at: i64,
    /// The same by the monotonic clock.
    #[serde(skip)]
    pub(super) looked: Instant,
    pub(super) ready: bool,
    /// Since when it is as `ready` says.
    pub(super) since: i64,
    pub(super) draining: bool,
    pub(super) checks: Vec<Check>,
    /// What the database service has done, if this process is one.
    pub(super) service: Option<Service>,
    /// What each room of a bot has of its own. One that is alone is told of as if it were the process, and so is what a service of
    /// one database has.
    #[serde(flatten, serialize_with = "rooms")]
    pub(super) rooms: Vec<Room>,
    /// The same in words, for people.
    pub(super) board: Board,
}

/// A room, or the only one.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Room {
    /// Its namespace, if it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) room: String,
    /// How it has ended, if it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<Ended>,
    /// The database that is open here, if one is. Of a service of several namespaces each has its own, in `service`.
    pub(super) database: Option<Database>,
    /// The paths of the bot, if this process is one.
    pub(super) paths: Option<Paths>,
    pub(super) bot: Option<Bot>,
}

/// How a room has ended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Ended {
    /// When, by the wall clock.
    pub(super) at: i64,
    /// As the process would that has no other room.
    pub(super) exit: u8,
    pub(super) why: String,
}

/// One thing that must be so, or that should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) ok: bool,
    /// Whether the process is not ready without it. Otherwise another part does its work meanwhile.
    pub(super) required: bool,
    /// Since when it is so, or is not.
    #[serde(serialize_with = "date")]
    pub(super) since: i64,
    /// Why it is not so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Service {
    /// Whether a NATS server is connected; none before it is tried.
    pub(super) connected: Option<bool>,
    pub(super) services: Vec<ServiceStatus>,
    pub(super) operations: Vec<OperationCounts>,
    pub(super) overruns: u64,
    /// How many notices there have been.
    pub(super) noticed: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Database {
    pub(super) id: String,
    pub(super) shown: String,
    pub(super) writer: WriterStatus,
    /// Whether it answers.
    #[serde(skip)]
    pub(super) answers: Result<(), String>,
    /// Why it does not serve, or cannot be written, at present.
    pub(super) trouble: Option<String>,
    /// What is wrong with it while it may still serve.
    pub(super) concerns: Vec<String>,
    #[serde(flatten)]
    pub(super) seldom: Seldom,
    /// Its dead letters by what they have in common.
    pub(super) letters: Vec<LetterGroup>,
}

/// What is looked at less often, because it costs a read.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Seldom {
    pub(super) dead_letters: Option<u64>,
    /// Bytes of the file and of its log, and how many are free on their disk; none of a server's.
    pub(super) file_bytes: Option<u64>,
    pub(super) log_bytes: Option<u64>,
    pub(super) disk_free_bytes: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Paths {
    pub(super) health: Health,
    pub(super) nats: Option<Nats>,
    pub(super) outbox: Option<Outbox>,
    /// The last operations that change something, or have failed; the newest first. The board tells of them.
    #[serde(skip)]
    pub(super) last: Vec<Last>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Nats {
    pub(super) connected: bool,
    /// Requests that wait for an answer.
    pub(super) waiting: usize,
    /// Answers whose caller had gone, and answers for another client.
    pub(super) late: u64,
    pub(super) foreign: u64,
    pub(super) overruns: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Outbox {
    pub(super) file: String,
    #[serde(flatten)]
    pub(super) counts: Counts,
    /// When the oldest event that waits was taken.
    pub(super) oldest: Option<i64>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Bot {
    /// What it is in its room, if other bots can be there: `leads`, `watches` or `unknown`; and who leads, if that is another one.
    pub(super) role: Option<&'static str>,
    pub(super) leader: Option<String>,
    /// Handled, by kind.
    pub(super) events: BTreeMap<&'static str, u64>,
    pub(super) last_event: Option<i64>,
    pub(super) bad_lines: u64,
    pub(super) operations: u64,
    pub(super) operations_failed: u64,
    pub(super) operations_refused: u64,
    pub(super) polls_failed: u64,
    pub(super) messages_delivered: u64,
    pub(super) messages_undelivered: u64,
    pub(super) handler_errors: u64,
    pub(super) handler_panics: u64,
}

impl Room {
    /// The outbox, if it has one.
    pub(super) fn outbox(&self) -> Option<&Outbox> {
        self.paths.as_ref().and_then(|paths| paths.outbox.as_ref())
    }
}

impl Snapshot {
    /// What stands in front of what is said of a room: nothing, where there is no other one.
    pub(super) fn in_front_of(&self, room: &Room) -> String {
        in_front(&self.rooms, room)
    }

    /// What an operator has to know, of all services: with the namespace, if it has one.
    pub(super) fn notices(&self) -> impl Iterator<Item = (&str, &Notice)> {
        let services = self.service.iter().flat_map(|service| &service.services);
        services.flat_map(|service| service.notices.iter().map(|notice| (service.namespace.as_str(), notice)))
    }
}

/// The same, of rooms that stand in no snapshot yet.
pub(super) fn in_front(rooms: &[Room], room: &Room) -> String {
    if rooms.len() < 2 || room.room.is_empty() { String::new() } else { format!("{}: ", room.room) }
}

/// The only one, or a list of them.
fn rooms<S: Serializer>(rooms: &[Room], to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Several<'a> {
        rooms: &'a [Room],
    }
    match rooms {
        [one] => one.serialize(to),
        rooms => Several { rooms }.serialize(to),
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn date<S: Serializer>(at: &i64, to: S) -> Result<S::Ok, S::Error> {
    clock::rfc3339(*at).serialize(to)
}
