//! The rows of the table: what is compared with what.

use std::fmt;

/// One measurement: Criterion's group and name.
pub(super) type Id = (&'static str, &'static str);

/// The section of the table that a row belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// Stacked layers, beside the bare service.
    Stack,
    /// A layer beside a comparable one of another crate.
    Peers,
}

impl Section {
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Stack => "The standard stack, from the inside out",
            Self::Peers => "Ours and the peers'",
        }
    }
}

/// The limit of a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bar {
    /// At most this many nanoseconds more than the other side.
    Over(f64),
    /// At most this share of the other side.
    Share(f64),
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over(most) => write!(f, "≤ {most} ns more"),
            Self::Share(most) => write!(f, "≤ {most} ×"),
        }
    }
}

/// Two measurements side by side.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) section: Section,
    pub(super) what: &'static str,
    pub(super) ours: Id,
    pub(super) beside: &'static str,
    pub(super) other: Id,
    pub(super) bar: Option<Bar>,
}

impl Row {
    /// The limit in nanoseconds, if the row has a bar.
    pub(super) fn allowed(&self, other: f64) -> Option<f64> {
        self.bar.map(|bar| match bar {
            Bar::Over(most) => other + most,
            Bar::Share(most) => other * most,
        })
    }
}

const fn stack(what: &'static str, name: &'static str, bar: Option<Bar>) -> Row {
    let (ours, other) = (("cumulative", name), ("cumulative", "0 bare"));
    Row { section: Section::Stack, what, ours, beside: "bare service", other, bar }
}

const fn peer(what: &'static str, ours: Id, beside: &'static str, other: Id, bar: Option<Bar>) -> Row {
    Row { section: Section::Peers, what, ours, beside, other, bar }
}

/// For a peer that allocates.
const HALF: Option<Bar> = Some(Bar::Share(0.5));
/// For a peer that does not allocate.
const NEAR: Option<Bar> = Some(Bar::Over(30.0));

/// The rows of the table.
pub(super) const ROWS: &[Row] = &[
    stack("timeout", "1 timeout", None),
    stack("+ breaker", "2 breaker", None),
    stack("+ metrics of the path", "3 metrics of the path", None),
    stack("+ log of the path", "4 log of the path", None),
    stack("+ fallback", "5 fallback", None),
    stack("+ metrics of all", "6 metrics of all", None),
    stack("+ log of all", "7 log of all", None),
    stack("+ switch: all of it, debug off", "8 switch, the standard stack", Some(Bar::Over(300.0))),
    Row {
        section: Section::Stack,
        what: "all of it, log and metrics off",
        ours: ("silent", "standard stack"),
        beside: "bare service",
        other: ("silent", "bare"),
        bar: Some(Bar::Over(150.0)),
    },
    peer(
        "timeout, breaker, fallback",
        ("cumulative", "ours timeout, breaker, fallback"),
        "tower, tower-resilience",
        ("cumulative", "peers timeout, breaker, fallback"),
        HALF,
    ),
    peer("timeout", ("alone", "timeout"), "tower", ("alone", "peer tower timeout"), NEAR),
    peer(
        "timeout, again",
        ("alone", "timeout"),
        "tower-resilience",
        ("alone", "peer tower-resilience time limiter"),
        HALF,
    ),
    peer(
        "breaker",
        ("alone", "breaker"),
        "tower-resilience",
        ("alone", "peer tower-resilience circuit breaker"),
        HALF,
    ),
    peer(
        "breaker, shared by two threads",
        ("two threads", "one breaker"),
        "tower-resilience",
        ("two threads", "one peer tower-resilience circuit breaker"),
        HALF,
    ),
    peer("fallback", ("alone", "fallback"), "tower-fallback", ("alone", "peer tower-fallback"), NEAR),
    peer(
        "fallback, again",
        ("alone", "fallback"),
        "tower-resilience",
        ("alone", "peer tower-resilience fallback"),
        HALF,
    ),
    peer(
        "error, then fallback",
        ("outage", "primary fails, fallback"),
        "tower-fallback",
        ("outage", "primary fails, peer tower-fallback"),
        NEAR,
    ),
    peer(
        "error, then fallback, again",
        ("outage", "primary fails, fallback"),
        "tower-resilience",
        ("outage", "primary fails, peer tower-resilience fallback"),
        HALF,
    ),
    peer(
        "open circuit, then fallback",
        ("outage", "circuit open, fallback"),
        "tower-resilience",
        ("outage", "circuit open, peers tower-resilience"),
        HALF,
    ),
];
