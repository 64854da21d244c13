//! Why an operation failed, and the class that decides what happens next.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use eitherway_layers::breaker::Rejected;
use eitherway_layers::{Class, Classify};

/// The kind of an error on the wire: a name, a number in the style of HTTP, and the class of both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The name in an answer's body.
    pub name: &'static str,
    /// The number in the header `Nats-Service-Error-Code`.
    pub status: u16,
    /// Decides what a caller may do about the error.
    pub class: Class,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $ident:ident = $name:literal, $status:literal, $class:ident;)+) => {
        impl Code {
            $($(#[$doc])* pub const $ident: Self = Self { name: $name, status: $status, class: Class::$class };)+
            const ALL: &'static [Self] = &[$(Self::$ident),+];
        }
    };
}

codes! {
    /// The payload, a header or the id does not match the operation's contract.
    INVALID = "invalid", 400, Rejected;
    /// There is nothing that the operation could answer with, and its answer is not an `Option`.
    NOT_FOUND = "not_found", 404, Rejected;
    /// The same id was used for another operation or payload.
    ID_REUSED = "id_reused", 409, Rejected;
    /// The time is too far in the future, or before 1970.
    CLOCK = "clock", 422, Rejected;
    /// Refused for another reason that will not change.
    REFUSED = "refused", 499, Rejected;
    /// Larger than the path can carry.
    TOO_LARGE = "too_large", 413, TooLarge;
    /// The queue in front of the database is full.
    OVERLOADED = "overloaded", 429, Backend;
    /// The database failed, and not because of this operation.
    DATABASE = "database", 500, Backend;
    /// Another connection holds the database's lock.
    BUSY = "busy", 520, Backend;
    /// The disk or the database is full, or cannot be written.
    STORAGE = "storage", 507, Backend;
    /// The service does not know this operation.
    UNKNOWN_OPERATION = "unknown_operation", 501, NotSent;
    /// The service is stopping.
    STOPPING = "stopping", 503, NotSent;
    /// The request could not be sent: not connected, no responders, service not recognised, or circuit open.
    UNAVAILABLE = "unavailable", 521, NotSent;
    /// Its deadline had passed when it was taken up: this attempt has no effect. An earlier one may have had: ask again with the
    /// same id and a later deadline.
    EXPIRED = "expired", 504, NotSent;
    /// The request was sent and not answered: the connection was lost.
    UNANSWERED = "unanswered", 522, Unknown;
    /// The request was answered, and the answer has not the form of the operation's type `Answer`.
    UNREADABLE = "unreadable", 523, Unknown;
}

impl Code {
    /// The code for a number in an answer. An unknown number keeps its class: other 4xx are refusals,
    /// anything else is a failure of the service.
    #[must_use]
    pub fn from_status(status: u16) -> Self {
        let unnamed = if (400..500).contains(&status) { Self::REFUSED } else { Self::DATABASE };
        Self::ALL.iter().copied().find(|c| c.status == status).unwrap_or(unnamed)
    }
}

/// A request that the operation itself refuses: the same on every repeat.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Refusal {
    /// A word for programs, such as `out_of_stock`.
    pub code: Cow<'static, str>,
    /// A sentence for people.
    pub message: Cow<'static, str>,
}

impl Refusal {
    /// A refusal.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

/// Why an operation failed, without the request: see [`Error`](crate::Error).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Cause {
    /// No answer in time; the operation may have taken effect.
    Elapsed(Duration),
    /// The circuit is open; the request was not sent.
    CircuitOpen(Rejected),
    /// Refused, or failed.
    Failed {
        /// The kind of the error.
        code: Code,
        /// The error as a sentence: what happened, and what to do where something can be done.
        message: Cow<'static, str>,
    },
    /// The operation itself refuses the request, the same on every repeat.
    Refused(Box<Refusal>),
    /// Both paths failed.
    Both {
        /// Why the first path failed.
        primary: Box<Cause>,
        /// Why the path that the request was rerouted to failed.
        fallback: Box<Cause>,
    },
}

impl Cause {
    /// A failure with a message for people.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self::Failed { code, message: message.into() }
    }

    /// The code on the wire.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Elapsed(_) => Code::UNANSWERED,
            Self::CircuitOpen(_) => Code::UNAVAILABLE,
            Self::Refused(_) => Code::REFUSED,
            Self::Failed { code, .. } => *code,
            Self::Both { .. } => self.decisive().code(),
        }
    }

    /// The cause that decides what may be done: of two paths that failed, the one of the heavier class; otherwise this one.
    #[must_use]
    pub fn decisive(&self) -> &Self {
        match self {
            Self::Both { primary, fallback } => {
                let (first, second) = (primary.decisive(), fallback.decisive());
                if first.class() > second.class() { first } else { second }
            }
            one => one,
        }
    }

    /// Why the operation itself refuses the request, if it does, on whichever path.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self.decisive() {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl Classify for Cause {
    fn class(&self) -> Class {
        self.code().class
    }

    fn is_timeout(&self) -> bool {
        match self {
            Self::Elapsed(_) => true,
            Self::CircuitOpen(_) | Self::Failed { .. } | Self::Refused(_) => false,
            Self::Both { primary, fallback } => primary.is_timeout() || fallback.is_timeout(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elapsed(after) => write!(f, "no answer within {after:?}"),
            Self::CircuitOpen(rejected) => fmt::Display::fmt(rejected, f),
            Self::Failed { code, message } => write!(f, "{message} ({})", code.name),
            Self::Refused(refusal) => fmt::Display::fmt(refusal, f),
            Self::Both { primary, fallback } => write!(f, "{primary}; then the fallback: {fallback}"),
        }
    }
}

impl std::error::Error for Cause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Both { primary, .. } => Some(primary.as_ref()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_wire_has_each_code_that_travels_with_its_number_and_class() {
        let page = include_str!("../docs/wire.md");
        let (_, table) = page.split_once("| number | code | class | meaning |").expect("the table");
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
        let mut told: Vec<_> = cells
            .flat_map(|cells| {
                let words = |cell: &str| {
                    cell.split(", ").map(|word| word.trim_matches('`').to_owned()).collect::<Vec<_>>()
                };
                let class = cells[3].to_owned();
                words(cells[1])
                    .into_iter()
                    .zip(words(cells[2]))
                    .map(move |(number, code)| (number, code, class.clone()))
            })
            .collect();
        // The caller's own, which no answer has; `Eitherway-Refusal` tells of the other one.
        let own = [Code::REFUSED, Code::UNANSWERED, Code::UNREADABLE];
        let travel = Code::ALL.iter().filter(|code| !own.contains(code));
        let mut made: Vec<_> =
            travel.map(|c| (c.status.to_string(), c.name.to_owned(), format!("{:?}", c.class))).collect();
        told.sort();
        made.sort();
        assert_eq!(told, made);
    }

    #[test]
    fn every_status_has_the_class_that_the_contract_gives_it() {
        for (status, class) in [
            (400, Class::Rejected),
            (404, Class::Rejected),
            (413, Class::TooLarge),
            (429, Class::Backend),
            (500, Class::Backend),
            (501, Class::NotSent),
            (503, Class::NotSent),
            (599, Class::Backend),
        ] {
            assert_eq!(Code::from_status(status).class, class, "{status}");
        }
    }
}
