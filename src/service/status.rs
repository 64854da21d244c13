//! A service as its monitor shows it: what was done, what is wrong, what waits.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::counters::Served;
use crate::nats::Mode;

/// What services have done of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OperationCounts {
    /// The operation's name.
    pub name: &'static str,
    /// How many were taken, and what became of them.
    #[serde(flatten)]
    pub served: Served,
    /// How long all of them took together, each from its arrival to its end.
    #[serde(serialize_with = "seconds")]
    pub busy: Duration,
}

/// One service, as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ServiceStatus {
    /// Its namespace; empty if it has none.
    pub namespace: String,
    /// The id of its database.
    pub database: String,
    /// Where that is, for people.
    pub shown: String,
    /// Since when it listens on its subjects, in unix milliseconds; none before, and while its connection is made anew.
    pub listening_since: Option<i64>,
    /// How it takes events, while it listens.
    #[serde(serialize_with = "name")]
    pub mode: Option<Mode>,
    /// Whether a NATS server is connected.
    pub connected: bool,
    /// Whether the database has failed since it last wrote something, and not because of an operation.
    pub database_fails: bool,
    /// How many messages have failed and are tried again, because no client repeats them.
    pub tried_again: usize,
    /// What an operator has to know at present.
    pub notices: Vec<Notice>,
    /// What its stream holds; none without one, and while it is not told.
    pub stream: Option<StreamStatus>,
}

/// Something that an operator has to know while it is so; the log has it, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Notice {
    /// Which part of the service says it.
    pub key: String,
    /// Since when, in unix milliseconds.
    pub since: i64,
    /// What is so, and what to do.
    pub sentence: String,
}

/// What a stream holds: exactly what is acknowledged and not applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct StreamStatus {
    /// Its name.
    pub name: String,
    /// How many messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many of them are handed out to services.
    pub unacknowledged: u64,
    /// When the oldest was stored, in unix milliseconds.
    pub oldest: Option<i64>,
}

#[allow(clippy::ref_option)] // serde's signature
fn name<S: Serializer>(mode: &Option<Mode>, to: S) -> Result<S::Ok, S::Error> {
    mode.map(Mode::as_str).serialize(to)
}

fn seconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    time.as_secs_f64().serialize(to)
}
