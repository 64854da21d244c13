//! What each feature of the crate brings with it.

use std::{collections::BTreeSet, process::Command};

const ALWAYS: [&str; 2] = ["tower-layer", "tower-service"];

/// What each feature alone adds to that; the first line is no feature at all.
const ADDED: [(&str, &[&str]); 12] = [
    ("", &[]),
    ("balance", &["pin-project", "tokio", "tower", "tracing"]),
    ("breaker", &["pin-project", "tokio", "tracing"]),
    ("bulkhead", &["pin-project", "tokio"]),
    ("chaos", &["pin-project", "tokio"]),
    ("fallback", &["pin-project", "tokio"]),
    ("hedge", &["pin-project", "tokio", "tracing"]),
    ("http-body", &["bytes", "http", "http-body", "pin-project", "tokio"]),
    ("log", &["pin-project", "tokio", "tracing"]),
    ("metrics", &["metrics", "pin-project", "tokio"]),
    ("stale", &["pin-project", "tokio"]),
    ("timeout", &["pin-project", "tokio"]),
];

/// The crates that this crate depends on with one feature: its own dependencies, and all with theirs.
fn tree(feature: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--offline", "--edges", "normal", "--prefix", "depth", "--no-default-features"]);
    tree.args(["--package", env!("CARGO_PKG_NAME"), "--features", feature]);
    let tree = tree.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo tree");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let (mut own, mut all) = (BTreeSet::new(), BTreeSet::new());
    for line in String::from_utf8(tree.stdout).expect("UTF-8").lines().skip(1) {
        let name = line.split(' ').next().unwrap_or(line);
        let krate = name.trim_start_matches(|c: char| c.is_ascii_digit());
        if name.strip_suffix(krate) == Some("1") {
            own.insert(krate.to_owned());
        }
        all.insert(krate.to_owned());
    }
    (own, all)
}

#[test]
fn each_feature_brings_the_crates_that_it_needs_and_no_other() {
    for (feature, added) in ADDED {
        let expected: BTreeSet<_> = ALWAYS.iter().chain(added).map(|name| (*name).to_owned()).collect();
        let (own, all) = tree(feature);
        assert_eq!(own, expected, "with the feature {feature:?} alone");
        for heavy in ["tokio", "tracing"] {
            assert_eq!(
                all.contains(heavy),
                own.contains(heavy),
                "{heavy} by way of another, with {feature:?}"
            );
        }
    }
}

#[test]
fn every_feature_is_listed() {
    let manifest = include_str!("../../Cargo.toml");
    let section = manifest.split("[features]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap();
    let features =
        section.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(" = "));
    let named: BTreeSet<_> = features.map(|(name, _)| name).filter(|name| *name != "default").collect();
    assert_eq!(named, ADDED.into_iter().map(|(name, _)| name).filter(|name| !name.is_empty()).collect());
}
