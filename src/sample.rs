//! Operations for unit tests: events of some kinds, a call, a query, with a sweep and a check.

use serde::{Deserialize, Serialize};

use crate::operation::{Definition, Done, Invariant, Migration, RetentionRule, Spec};

const TABLES: &[Migration] = &[Migration::new(
    10,
    "lines",
    "CREATE TABLE line (op_id TEXT PRIMARY KEY, at INTEGER NOT NULL, text TEXT NOT NULL);
     CREATE INDEX line_at ON line (at);",
)];

/// A line of the kind `N`: more kinds than a small set of operations has, so that their combinations are many.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Line<const N: usize> {
    pub(crate) text: String,
}

const NAMES: [[&str; 2]; 8] = [
    ["line_0", "sample.line.0"],
    ["line_1", "sample.line.1"],
    ["line_2", "sample.line.2"],
    ["line_3", "sample.line.3"],
    ["line_4", "sample.line.4"],
    ["line_5", "sample.line.5"],
    ["line_6", "sample.line.6"],
    ["line_7", "sample.line.7"],
];

impl<const N: usize> Definition for Line<N> {
    type Answer = Done;
    const SPEC: Spec = Spec::event(NAMES[N][0], NAMES[N][1]);
    const STATEMENTS: &'static [&'static str] =
        &["INSERT INTO line (op_id, at, text) SELECT id, at, op ->> 'text' FROM new"];
    const CHECKS: &'static [Invariant] = &[Invariant::new(
        "lines",
        "SELECT l.id, 'at', line.at, l.at FROM applied l LEFT JOIN line ON line.op_id = l.id",
    )];
}

/// Removes the oldest line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Take {}

impl Definition for Take {
    type Answer = Done;
    const SPEC: Spec = Spec::call("take", "sample.take");
    const STATEMENTS: &'static [&'static str] = &[
        "DELETE FROM line WHERE op_id = (SELECT op_id FROM line ORDER BY at LIMIT (SELECT count(*) FROM new))",
    ];
}

/// How many lines there are.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Count {}

impl Definition for Count {
    type Answer = u64;
    const SPEC: Spec = Spec::query("count", "sample.count");
    const ANSWER: &'static str = "SELECT (SELECT count(*) FROM line) FROM asked";
    const SWEEPS: &'static [RetentionRule] = &[RetentionRule::hours(
        "lines",
        24,
        "SELECT op_id FROM line WHERE at < (SELECT horizon FROM sweep) ORDER BY at LIMIT (SELECT most FROM sweep)",
        &["DELETE FROM line WHERE op_id IN (SELECT key FROM gone)"],
    )];
}

crate::operations! {
    /// The operations.
    pub(crate) enum Sample -> Answer in "sample.db" with TABLES {
        Line0(Line<0>),
        Line1(Line<1>),
        Line2(Line<2>),
        Line3(Line<3>),
        Line4(Line<4>),
        Line5(Line<5>),
        Line6(Line<6>),
        Line7(Line<7>),
        Take(Take),
        Count(Count),
    }
}
