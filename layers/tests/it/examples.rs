//! Runs each example, and checks its output.

use std::process::Command;

/// The output of an example. Cargo builds the examples together with the tests.
fn run(name: &str) -> String {
    let own = std::env::current_exe().unwrap();
    let target = own.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join(name);
    assert!(target.is_file(), "build the examples first: cargo build --package eitherway-layers --examples");
    let output = Command::new(target).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn no_example_is_longer_than_sixty_lines() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    for entry in std::fs::read_dir(examples).unwrap() {
        let path = entry.unwrap().path();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= 60, "{}: {lines} lines", path.display());
    }
}

#[test]
fn axum_serves_through_every_layer_while_one_source_hangs_and_while_both_do() {
    let output = run("axum");
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(
        lines,
        [
            "all is well: 200 OK: 300 cents; stale: false",
            "the first hangs: 200 OK: 310 cents; stale: false",
            "both hang: 200 OK: 310 cents; stale: true",
        ]
    );
}

/// All but `KeyedBreakerLayer`, which stands for the breaker, and `FallbackLayer`, for the hedge.
#[test]
fn the_axum_application_has_every_layer() {
    let example = include_str!("../../examples/axum.rs");
    for line in include_str!("../../src/lib.rs").lines().filter(|line| line.starts_with("pub use self::")) {
        let words = line.split(|c: char| !c.is_ascii_alphanumeric());
        let layers: Vec<_> = words.filter(|word| word.ends_with("Layer")).collect();
        assert!(
            layers.is_empty()
                || layers.iter().any(|layer| example.contains(layer))
                || line.contains("FallbackLayer"),
            "{line}"
        );
    }
}

#[test]
fn a_hedge_answers_for_a_server_that_hangs() {
    assert_eq!(run("hyper"), "200 OK: 300 cents; hedged: 1\n");
}

#[test]
fn a_second_server_answers_when_nothing_listens_at_the_first() {
    let lines = "1: 300 cents; circuit open: false\n2: 300 cents; circuit open: true\n3: 300 cents; circuit open: true\n";
    assert_eq!(run("reqwest"), lines);
    assert_eq!(run("tonic"), lines.replace("300", "tea: 300"));
}

#[test]
fn the_peers_stack_answers_as_ours_does() {
    assert_eq!(run("resilience"), "ours: alice, from here\ntheirs: alice, from here\n");
}
