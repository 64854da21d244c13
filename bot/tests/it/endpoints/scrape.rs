//! The text format of Prometheus, read strictly; and the page of the handbook that says what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What `/metrics` has answered.
pub(crate) struct Scrape {
    pub(super) families: BTreeMap<String, Family>,
}

#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) help: String,
    pub(super) samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

impl Scrape {
    /// Reads it; what Prometheus would not take is an error.
    pub(super) fn read(text: &str) -> Self {
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                let before =
                    families.insert(name.to_owned(), Family { help: help.to_owned(), ..Family::default() });
                assert!(before.is_none(), "{name} comes twice");
                current = name.to_owned();
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert_eq!(name, current, "its type stands behind its help");
                families.get_mut(name).unwrap().kind = kind.to_owned();
            } else {
                let sample = sample(line);
                let family = families.get_mut(&current).unwrap_or_else(|| panic!("of no family: {line}"));
                let ends: &[&str] =
                    if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                let is_of_it = ends.iter().any(|end| sample.name == format!("{current}{end}"));
                assert!(is_of_it, "{line} stands below {current}, a {}", family.kind);
                assert!(!family.samples.contains(&sample), "{line} comes twice");
                family.samples.push(sample);
            }
        }
        families.iter().for_each(|(name, family)| family.check(name));
        Self { families }
    }

    /// The values of a metric with these labels, and perhaps others, together; none where there is none.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let of = |end: &str| {
            self.families.get(name.strip_suffix(end)?).filter(|family| family.kind == "histogram")
        };
        let family = self.families.get(name).or_else(|| of("_sum")).or_else(|| of("_count"))?;
        let has = |sample: &&Sample| {
            let label =
                |(label, value): &(&str, &str)| sample.labels.get(*label).is_some_and(|is| is == value);
            sample.name == name && labels.iter().all(label)
        };
        let found: Vec<f64> = family.samples.iter().filter(has).map(|sample| sample.value).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }
}

impl Family {
    fn check(&self, name: &str) {
        assert!(
            ["counter", "gauge", "histogram"].contains(&self.kind.as_str()),
            "{name} is a {:?}",
            self.kind
        );
        assert!(!self.samples.is_empty(), "{name} has no sample");
        let mut buckets: BTreeMap<String, Vec<&Sample>> = BTreeMap::new();
        for sample in self.samples.iter().filter(|sample| sample.name.ends_with("_bucket")) {
            let mut labels = sample.labels.clone();
            labels.remove("le").unwrap_or_else(|| panic!("{name}: a bucket without `le`"));
            buckets.entry(format!("{labels:?}")).or_default().push(sample);
        }
        for of_one in buckets.values() {
            assert!(
                of_one.is_sorted_by(|one, next| one.value <= next.value),
                "{name}: buckets hold those before"
            );
            assert_eq!(of_one.last().unwrap().labels["le"], "+Inf", "{name}");
        }
    }

    /// The names of its labels.
    pub(super) fn labels(&self) -> BTreeSet<&str> {
        let names = self.samples.iter().flat_map(|sample| sample.labels.keys());
        names.map(String::as_str).filter(|name| *name != "le").collect()
    }
}

fn sample(line: &str) -> Sample {
    let wrong = || panic!("no sample: {line}");
    let (series, value) = line.rsplit_once(' ').unwrap_or_else(wrong);
    let value = value.parse().unwrap_or_else(|e| panic!("{e}: {line}"));
    let Some((name, labels)) = series.split_once('{') else {
        return Sample { name: series.to_owned(), labels: BTreeMap::new(), value };
    };
    let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("no end of labels: {line}"));
    // No value here holds a comma or a quote.
    let label = |text: &str| {
        let (label, value) = text.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        (label.to_owned(), value.strip_suffix('"').unwrap_or_else(|| panic!("no quote: {line}")).to_owned())
    };
    Sample { name: name.to_owned(), labels: labels.split(',').map(label).collect(), value }
}

/// A row of docs/metrics.md.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) labels: BTreeSet<String>,
    pub(super) of: String,
    pub(super) help: String,
}

/// The table of docs/metrics.md.
pub(super) fn page() -> Vec<Row> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = std::fs::read_to_string(file).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `rosey_"));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, of, help] = cells[..] else { panic!("{line}") };
        let bare = |text: &str| text.trim_matches('`').to_owned();
        Row {
            name: bare(name),
            kind: kind.to_owned(),
            labels: labels.split_whitespace().map(bare).collect(),
            of: of.to_owned(),
            help: help.to_owned(),
        }
    })
    .collect()
}
