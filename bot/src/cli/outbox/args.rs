//! What can be said about the outbox.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::{ArgAction, Args, Subcommand};

use super::super::args::{HedgeAfter, PathArgs, millis_or_off, one_of, synchronous};
use eitherway::outbox::{OutboxOptions, Which};
use eitherway::sql::Synchronous;

/// The outbox of `bot` and `up`, if none is named.
pub(in crate::cli) const USUAL: &str = "rosey.outbox";
const OFF: &str = "off";

/// The outbox of a command that runs for long.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Outbox")]
pub(in crate::cli) struct OutboxArgs {
    /// Where events wait while neither NATS nor the database takes them: a file of its own, for one process at a time;
    /// `off` for nowhere [default: rosey.outbox; without it, if another process holds that one]
    #[arg(long, env = "ROSEY_OUTBOX", value_name = "FILE")]
    outbox: Option<String>,
    /// The one of a room, in the place of the one that is named for all.
    #[arg(skip)]
    of_room: Option<PathBuf>,
    /// How durable an event in the outbox is: `normal` survives the end of the process, `full` a power cut
    #[arg(long, env = "ROSEY_OUTBOX_SYNCHRONOUS", default_value = "full", value_name = "LEVEL", value_parser = synchronous())]
    outbox_synchronous: Synchronous,
    /// The most events that the outbox holds
    #[arg(long, env = "ROSEY_OUTBOX_EVENTS", default_value = "1000000", value_name = "N")]
    outbox_events: u64,
    /// The most room that they may need
    #[arg(long, env = "ROSEY_OUTBOX_MIB", default_value = "1024", value_name = "MIB")]
    outbox_mib: u64,
    /// When an event that neither NATS nor the database has taken goes to the outbox as well, if they take no other event
    /// meanwhile either, in milliseconds; `off` for not before both have failed
    #[arg(long, env = "ROSEY_OUTBOX_AFTER", default_value = "90", value_name = "MS", value_parser = millis_or_off)]
    outbox_after: HedgeAfter,
}

impl OutboxArgs {
    /// How to open it, unless there shall be none.
    pub(in crate::cli) fn options(&self, file_mode: u32) -> Option<OutboxOptions> {
        let options = OutboxOptions::new(self.file()?)
            .file_mode(file_mode)
            .most_events(self.outbox_events)
            .most_bytes(self.outbox_mib.saturating_mul(1 << 20))
            .synchronous(self.outbox_synchronous)
            .metrics_prefix("rosey");
        Some(options)
    }

    /// Where it is, unless there shall be none.
    pub(in crate::cli) fn file(&self) -> Option<&Path> {
        match (self.outbox.as_deref(), &self.of_room) {
            (Some(OFF), _) => None,
            (_, Some(own)) => Some(own),
            (named, None) => Some(Path::new(named.unwrap_or(USUAL))),
        }
    }

    /// The same with another file, if there shall be one.
    pub(in crate::cli) fn renamed(self, other: impl FnOnce(&Path) -> PathBuf) -> Self {
        Self { of_room: self.file().map(other), ..self }
    }

    /// After how long an event goes there that no other path takes; none for not before they have failed.
    pub(in crate::cli) const fn after(&self) -> Option<Duration> {
        self.outbox_after.fixed()
    }

    /// Whether the outbox was named.
    pub(super) const fn is_named(&self) -> bool {
        self.outbox.is_some()
    }
}

/// `rosey outbox`.
#[derive(Debug, Args)]
pub(in crate::cli) struct OutboxCommand {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// The outbox
    #[arg(long, env = "ROSEY_OUTBOX", default_value = USUAL, value_name = "FILE")]
    outbox: PathBuf,
    /// Offer what waits to NATS or the database, once. A bot that runs does so by itself
    #[arg(long, conflicts_with = "discard")]
    pub(super) replay: bool,
    /// Remove permanently what waits, what was refused, what has expired, or all of it
    #[arg(long = "drop", value_name = "WHAT", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_parser = which())]
    pub(super) discard: Option<Which>,
    /// Put what was refused under this id back to what waits, to be offered again; may be said several times
    #[arg(long, value_name = "ID", conflicts_with_all = ["replay", "discard"])]
    pub(super) retry: Vec<String>,
    /// The same for everything that was refused, where the cause of that is gone
    #[arg(long, conflicts_with_all = ["replay", "discard", "retry"])]
    pub(super) retry_refused: bool,
    /// Remove without asking
    #[arg(long, env = "ROSEY_YES", value_parser = crate::cli::args::yes_or_no, action = ArgAction::SetTrue)]
    pub(super) yes: bool,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
}

/// The same as words.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Show what waits and what was refused; the same without a word
    List,
    /// The same as --replay
    Replay,
    /// The same as --drop
    Drop {
        /// What
        #[arg(default_value = "all", value_name = "WHAT", value_parser = which())]
        what: Which,
    },
    /// The same as --retry, and without an id as --retry-refused
    Retry {
        /// Ids
        #[arg(value_name = "ID")]
        ids: Vec<String>,
    },
}

fn which() -> impl TypedValueParser<Value = Which> {
    one_of([
        ("all", Which::All),
        ("waiting", Which::Waiting),
        ("refused", Which::Refused),
        ("expired", Which::Expired),
    ])
}

impl OutboxCommand {
    /// With what the word says as the option that means the same.
    pub(super) fn spelled_out(mut self) -> Self {
        match self.verb.take() {
            None | Some(Verb::List) => {}
            Some(Verb::Replay) => self.replay = true,
            Some(Verb::Drop { what }) => self.discard = Some(what),
            Some(Verb::Retry { ids }) => {
                self.retry_refused |= ids.is_empty();
                self.retry.extend(ids);
            }
        }
        self
    }

    /// The file.
    pub(super) fn file(&self) -> Option<&Path> {
        (self.outbox.as_os_str() != OFF).then_some(&self.outbox)
    }
}
