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
fn axum_serves_through_an_outage_of_its_upstream() {
    let output = run("axum");
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(
        lines,
        [
            "all is well: HTTP/1.1 200 OK: 300 cents (today); calls upstream: 1",
            "it hangs: HTTP/1.1 200 OK: 280 cents (yesterday); calls upstream: 2",
            "it hangs again: HTTP/1.1 200 OK: 280 cents (yesterday); calls upstream: 3",
            "it is left in peace: HTTP/1.1 200 OK: 280 cents (yesterday); calls upstream: 3",
            "it is well again: HTTP/1.1 200 OK: 300 cents (today); calls upstream: 4",
            "nobody sells this: HTTP/1.1 404 Not Found: not sold here; calls upstream: 5",
        ]
    );
}
