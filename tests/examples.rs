//! The examples do what they say: each is run, and its output read.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::PathBuf;
use std::process::Command;

/// What an example prints. Cargo builds the examples beside the tests.
fn run(name: &str) -> String {
    let own = std::env::current_exe().unwrap();
    let target: PathBuf = own.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join(name);
    assert!(target.is_file(), "build the examples first: cargo build --examples, or run `cargo xtask test`");
    let output = Command::new(target).env_remove("NATS_URL").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned() + &stderr
}

#[test]
fn embed_works_without_a_server_and_shows_what_was_said() {
    let output = run("embed");
    assert!(output.contains("<alice> hello"), "{output}");
    assert!(output.contains("message: is empty (invalid)"), "{output}");
}

#[test]
fn todo_does_everything_once() {
    let output = run("todo");
    assert_eq!(output.matches("added via=db").count(), 3, "{output}");
    assert_eq!(output.matches("- water the plants").count(), 1, "{output}");
    assert_eq!(output.matches("- feed the cat").count(), 1, "{output}");
}

#[test]
fn axum_state_answers_over_http() {
    let output = run("axum_state");
    assert!(output.contains("POST /users/alice/joined: HTTP/1.1 200 OK"), "{output}");
    assert!(output.contains(r#"{"username":"alice""#), "{output}");
    assert!(output.contains("GET /users/nobody: HTTP/1.1 404 Not Found"), "{output}");
}

#[test]
fn custom_stack_serves_all_calls_in_another_order_of_layers() {
    let output = run("custom_stack");
    assert!(output.contains("200 of 200 joined"), "{output}");
    assert!(output.contains("200 sessions are open"), "{output}");
}
