//! The limits that rows are held to.

use std::fmt;

/// The limit of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bar {
    /// At most this many nanoseconds more than the row beside it.
    Over(f64),
    /// At most this share of the time of the row beside it.
    Share(f64),
    /// At least this many times the rate of the row beside it.
    Times(f64),
    /// At least this many a second.
    Rate(f64),
}

impl Bar {
    /// The longest time of one operation, in nanoseconds, beside a row that takes `other`.
    pub(super) fn allowed(self, other: f64) -> f64 {
        match self {
            Self::Over(most) => other + most,
            Self::Share(most) => other * most,
            Self::Times(least) => other / least,
            Self::Rate(least) => 1e9 / least,
        }
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over(most) => write!(f, "≤ {most} ns more"),
            Self::Share(most) => write!(f, "≤ {most} ×"),
            Self::Times(least) => write!(f, "≥ {least} ×"),
            Self::Rate(least) => write!(f, "≥ {least}/s"),
        }
    }
}

/// The bars of rows that stand beside the base of their group: group, name, bar.
const BARS: &[(&str, &str, Bar)] = &[
    ("lines, 1 caller, synchronous=normal", CHAT, Bar::Share(0.9)),
    ("lines, 1 caller, synchronous=full", CHAT, Bar::Share(1.0)),
    ("lines, 256 callers, synchronous=normal", CHAT, Bar::Times(6.0)),
    ("lines, 256 callers, synchronous=normal", CHAT, Bar::Rate(100_000.0)),
    ("lines, 256 callers, synchronous=full", CHAT, Bar::Times(6.0)),
    ("kinds, 256 callers, synchronous=normal", "joins and leaves", Bar::Rate(60_000.0)),
    ("postgres lines, 1 caller", "chat lines, 1 writer", Bar::Share(1.35)),
    ("postgres lines, 256 callers", "chat lines, 1 writer", Bar::Times(4.0)),
    ("postgres lines, 256 callers", "chat lines, 4 writers", Bar::Times(4.0)),
    ("postgres moves, 1 caller", "joins and leaves, 1 writer", Bar::Share(1.35)),
    ("postgres moves, 256 callers", "joins and leaves, 1 writer", Bar::Times(2.5)),
    ("postgres moves, 256 callers", "joins and leaves, 4 writers", Bar::Times(4.0)),
];

const CHAT: &str = "chat lines (ledger, line, user)";

/// Rows that are held to others than the base of their group: the beginning of the group and the end of it, name, what they
/// stand beside (of several rows, the sum), bar.
type Beside = (&'static str, &'static str, &'static str, &'static [&'static str], Bar);
const BESIDE: &[Beside] = &[
    ("event:", ", 1 caller, synchronous=normal", "direct", &[INSERT], Bar::Share(0.9)),
    ("event:", ", 1 caller, synchronous=full", "direct", &[INSERT], Bar::Share(1.0)),
    ("event:", ", 256 callers, synchronous=normal", "direct", &[INSERT], Bar::Times(6.0)),
    ("event:", ", 256 callers, synchronous=normal", COMMITTED, &[INSERT], Bar::Rate(80_000.0)),
    ("event:", ", 1 caller, synchronous=normal", STORED, &[PUBLISH], Bar::Share(1.1)),
    ("event:", ", 1 caller, synchronous=full", STORED, &[PUBLISH], Bar::Share(1.1)),
    (
        "call: a claim that finds nothing",
        ", 1 caller, synchronous=normal",
        COMMITTED,
        &[QUERY],
        Bar::Share(1.2),
    ),
    ("query:", ", 1 caller, synchronous=normal", COMMITTED, &["direct", ROUND_TRIP], Bar::Share(1.2)),
    ("query:", ", 256 callers, synchronous=normal", COMMITTED, &[ROUND_TRIP], Bar::Times(0.5)),
];
const COMMITTED: &str = "over NATS, until committed";
const STORED: &str = "over NATS, until a stream keeps it";
const INSERT: &str = "INSERT and commit alone, sqlx pool of 5";
const PUBLISH: &str = "JetStream publish alone, acknowledged";
const QUERY: &str = "a query over NATS: the newest ten lines";
const ROUND_TRIP: &str = "NATS request and reply alone";

/// The bars of this row beside the base of its group. Every row over NATS is held to the direct one.
pub(super) fn bars(group: &str, name: &str) -> Vec<Bar> {
    let of_row = BARS.iter().filter(|(of, row, _)| *of == group && *row == name).map(|(.., bar)| *bar);
    of_row.chain(name.starts_with("over NATS").then_some(Bar::Share(1.05))).collect()
}

/// What else this row stands beside, and its bar.
pub(super) fn beside(group: &str, name: &str) -> impl Iterator<Item = (&'static [&'static str], Bar)> {
    let is_it = move |(begin, end, row, ..): &&Beside| {
        group.starts_with(begin) && group.ends_with(end) && *row == name
    };
    BESIDE.iter().filter(is_it).map(|(.., others, bar)| (*others, *bar)).collect::<Vec<_>>().into_iter()
}
