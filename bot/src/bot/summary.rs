//! The summary of a bot that has ended.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::event::Kind;
use super::progress::Progress;

/// What a bot did: counts for machines (as JSON), a few lines for people (as text).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Why the bot ended.
    pub ended: Ended,
    /// Why the input was lost, if it was: what broke off, or how the network has refused the bot for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
    /// Events handled, by kind.
    pub events: BTreeMap<&'static str, u64>,
    /// Lines of the input that were skipped.
    pub bad_lines: u64,
    /// Operations requested, whatever their result. A repeated mark counts again.
    pub operations: u64,
    /// The operations that failed, including refused ones.
    pub operations_failed: u64,
    /// The operations that were refused because of their content.
    pub operations_refused: u64,
    /// Failed questions for messages to be delivered, which were asked again: nothing is lost by one.
    pub polls_failed: u64,
    /// Messages handed to the chat.
    pub messages_delivered: u64,
    /// Failed attempts to hand a message to the chat.
    pub messages_undelivered: u64,
    /// Messages handed to the chat whose delivery is not recorded in the database.
    pub marks_lost: u64,
    /// Handlers that returned an error.
    pub handler_errors: u64,
    /// Handlers and background tasks that panicked.
    pub handler_panics: u64,
    /// Events that were still being handled when the grace period ended.
    pub abandoned: u64,
}

/// Why a bot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The input ended.
    EndOfInput,
    /// The input could not be read to its end.
    InputLost,
    /// A shutdown was requested.
    Shutdown,
}

impl Ended {
    /// The reason as a phrase for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndOfInput => "end of input",
            Self::InputLost => "input lost",
            Self::Shutdown => "shut down",
        }
    }
}

impl Summary {
    pub(super) fn new(
        (ended, lost): (Ended, Option<String>),
        progress: &Progress,
        abandoned: u64,
        marks_lost: u64,
    ) -> Self {
        let events = Kind::ALL.iter().map(|kind| (kind.as_str(), progress.events_of(*kind)));
        Self {
            ended,
            lost,
            events: events.filter(|(_, count)| *count > 0).collect(),
            bad_lines: progress.bad_lines(),
            operations: progress.operations(),
            operations_failed: progress.failed(),
            operations_refused: progress.refused(),
            polls_failed: progress.polls_failed(),
            messages_delivered: progress.delivered(),
            messages_undelivered: progress.undelivered(),
            marks_lost,
            handler_errors: progress.handler_errors(),
            handler_panics: progress.handler_panics(),
            abandoned,
        }
    }

    /// Whether no event or operation was lost, refused, skipped or broken.
    pub const fn is_clean(&self) -> bool {
        let failed = self.operations_failed.saturating_sub(self.polls_failed);
        let lost = failed + self.marks_lost + self.abandoned + self.messages_undelivered;
        let broken = self.bad_lines + self.handler_errors + self.handler_panics;
        lost + broken == 0 && !matches!(self.ended, Ended::InputLost)
    }
}

/// "1 event", "2 events".
fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.events.values().sum();
        write!(f, "{}: {}", self.ended.as_str(), counted(total, "event"))?;
        let kinds: Vec<String> = self.events.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        if !kinds.is_empty() {
            write!(f, " ({})", kinds.join(", "))?;
        }
        write!(f, ", {} skipped", counted(self.bad_lines, "bad line"))?;
        write!(f, "\n{}, {} failed", counted(self.operations, "operation"), self.operations_failed)?;
        write!(f, " ({} of them refused", self.operations_refused)?;
        if self.polls_failed > 0 {
            write!(f, ", {} of them asked again", self.polls_failed)?;
        }
        write!(f, ")")?;
        write!(f, "\n{} delivered", counted(self.messages_delivered, "message"))?;
        write!(f, ", {} failed", counted(self.messages_undelivered, "attempt"))?;
        for (count, what) in [
            (self.marks_lost, "marks of messages were lost"),
            (self.handler_errors, "handlers failed"),
            (self.handler_panics, "handlers panicked"),
            (self.abandoned, "events were abandoned at the end"),
        ] {
            if count > 0 {
                write!(f, "\n{count} {what}")?;
            }
        }
        Ok(())
    }
}
