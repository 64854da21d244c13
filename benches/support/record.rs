//! The rows of a bench that Criterion does not measure, for `cargo xtask bench`, which keeps them with the run.

use std::io::Write as _;

use serde_json::{Value, json};

/// Names the file that rows are added to, a line of JSON each. Without it rows are only printed.
const FILE: &str = "BENCH_ROWS";

/// One number: of what, in which unit, and the ends of its rounds.
pub(crate) struct Row<'a> {
    pub(crate) group: &'a str,
    pub(crate) row: &'a str,
    /// Of `per s` more is better, of all others less.
    pub(crate) unit: &'a str,
    pub(crate) value: f64,
    pub(crate) ends: Option<(f64, f64)>,
    /// A bar, and whether it is met.
    pub(crate) bar: Option<(&'a str, bool)>,
}

impl<'a> Row<'a> {
    pub(crate) fn new(group: &'a str, row: &'a str, unit: &'a str, value: f64) -> Self {
        Self { group, row, unit, value, ends: None, bar: None }
    }

    fn json(&self) -> Value {
        let (low, high) = self.ends.unwrap_or((self.value, self.value));
        let bars: Vec<Value> = self.bar.iter().map(|(bar, met)| json!({ "bar": bar, "met": met })).collect();
        json!({
            "group": self.group, "row": self.row, "unit": self.unit,
            "value": self.value, "low": low, "high": high, "bars": bars,
        })
    }

    /// Adds it to the result.
    pub(crate) fn keep(&self) {
        let Some(file) = std::env::var_os(FILE) else { return };
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(file).unwrap();
        writeln!(file, "{}", self.json()).unwrap();
    }
}
