//! Reads Criterion's results.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::rows::Id;

/// The medians of one run.
pub(super) struct Medians {
    home: PathBuf,
    start: SystemTime,
}

impl Medians {
    /// The medians in this directory that are not older than `start`.
    pub(super) fn since(home: &Path, start: SystemTime) -> Self {
        Self { home: home.to_owned(), start }
    }

    /// The median in nanoseconds, if it was measured in this run.
    pub(super) fn get(&self, (group, name): Id) -> Option<f64> {
        let file = self.home.join(group).join(name).join("new").join("estimates.json");
        let written = file.metadata().ok()?.modified().ok()?;
        if written < self.start {
            return None;
        }
        median(&std::fs::read_to_string(file).ok()?)
    }
}

/// The point estimate of the median in a file of estimates.
fn median(json: &str) -> Option<f64> {
    let (_, rest) = json.split_once("\"median\":")?;
    let (_, rest) = rest.split_once("\"point_estimate\":")?;
    let end = rest.find([',', '}'])?;
    rest[..end].trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_found_among_the_estimates() {
        let json = r#"{"mean":{"confidence_interval":{"lower_bound":1.0},"point_estimate":2.5},
            "median":{"confidence_interval":{"lower_bound":1.0,"upper_bound":3.0},"point_estimate":41.25,
            "standard_error":0.1}}"#;
        assert_eq!(median(json), Some(41.25));
        assert_eq!(median(r#"{"mean":{"point_estimate":2.5}}"#), None);
        assert_eq!(median("{"), None);
    }
}
