//! Reads Criterion's results.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::Value;

/// A time in nanoseconds: the median of the samples, and its confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) low: f64,
    pub(super) middle: f64,
    pub(super) high: f64,
}

/// One row that was measured.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub(super) group: String,
    pub(super) name: String,
    pub(super) time: Spread,
    /// Whether the row is about a rate: its group has a throughput.
    pub(super) is_rate: bool,
    when: SystemTime,
}

/// What was measured since `start`, in that order, of the results in this directory.
pub(super) fn since(home: &Path, start: SystemTime) -> Vec<Measured> {
    let files = |dir: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(dir).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
    };
    let rows = files(home).into_iter().flat_map(|group| files(&group));
    let mut all: Vec<Measured> = rows.filter_map(|row| read(&row.join("new"), start)).collect();
    all.sort_by_key(|measured| measured.when);
    all
}

/// The row in this directory, unless it is older than `start`.
fn read(dir: &Path, start: SystemTime) -> Option<Measured> {
    let file = dir.join("estimates.json");
    let when = file.metadata().ok()?.modified().ok().filter(|written| *written >= start)?;
    let time = median(&std::fs::read_to_string(file).ok()?)?;
    let json: Value =
        serde_json::from_str(&std::fs::read_to_string(dir.join("benchmark.json")).ok()?).ok()?;
    let text = |key: &str| Some(json[key].as_str()?.to_owned());
    let is_rate = !json["throughput"].is_null();
    Some(Measured { group: text("group_id")?, name: text("function_id")?, time, is_rate, when })
}

/// The median in a file of estimates.
fn median(json: &str) -> Option<Spread> {
    let json: Value = serde_json::from_str(json).ok()?;
    let (median, interval) = (&json["median"], &json["median"]["confidence_interval"]);
    Some(Spread {
        low: interval["lower_bound"].as_f64()?,
        middle: median["point_estimate"].as_f64()?,
        high: interval["upper_bound"].as_f64()?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A latency.
    pub(in super::super) fn measured(group: &str, name: &str, nanos: f64) -> Measured {
        let time = Spread { low: nanos, middle: nanos, high: nanos };
        let (group, name, when) = (group.to_owned(), name.to_owned(), SystemTime::UNIX_EPOCH);
        Measured { group, name, time, is_rate: false, when }
    }

    #[test]
    fn the_median_is_found_among_the_estimates() {
        let json = r#"{"mean":{"confidence_interval":{"lower_bound":1.0},"point_estimate":2.5},
            "median":{"confidence_interval":{"lower_bound":40.0,"upper_bound":43.0},"point_estimate":41.25,
            "standard_error":0.1}}"#;
        assert_eq!(median(json), Some(Spread { low: 40.0, middle: 41.25, high: 43.0 }));
        assert_eq!(median(r#"{"mean":{"point_estimate":2.5}}"#), None);
        assert_eq!(median("{"), None);
    }
}
