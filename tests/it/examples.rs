//! The examples do what they say: each is run, and its output read.

use std::path::PathBuf;
use std::process::Command;

/// What an example prints. Cargo builds the examples beside the tests.
fn run(name: &str) -> String {
    run_with(name, None)
}

/// The same with this address of a NATS server.
fn run_with(name: &str, nats: Option<&str>) -> String {
    let own = std::env::current_exe().unwrap();
    let target: PathBuf = own.parent().and_then(|deps| deps.parent()).unwrap().join("examples").join(name);
    assert!(target.is_file(), "build the examples first: cargo build --examples, or run `cargo xtask test`");
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(target);
    command.current_dir(&dir).env_remove("NATS_URL").envs(nats.map(|address| ("NATS_URL", address)));
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned() + &stderr
}

#[test]
fn the_example_of_the_readme_runs_and_is_short() {
    let (readme, example) = (include_str!("../../README.md"), include_str!("../../examples/embed.rs"));
    let (_, code) = example.split_once("\n\n#![allow(clippy::print_stdout)]\n\n").unwrap();
    assert!(code.lines().count() <= 25, "{} lines", code.lines().count());
    assert!(
        readme.contains(&format!("```rust,no_run\n{code}```")),
        "the README shows examples/embed.rs:\n{code}"
    );
    let output = run_with("embed", Some("nats://127.0.0.1:1"));
    assert!(output.contains("<alice> hello"), "{output}");
    assert!(output.contains("events: [DB] ([NATS]: not connected to NATS"), "{output}");
}

#[test]
fn todo_does_everything_once() {
    let output = run("todo");
    assert_eq!(output.matches("added via=db").count(), 3, "{output}");
    assert_eq!(output.matches("- water the plants").count(), 1, "{output}");
    assert_eq!(output.matches("- feed the cat").count(), 1, "{output}");
}

#[test]
fn custom_stack_serves_all_calls_in_another_order_of_layers() {
    let output = run("custom_stack");
    assert!(output.contains("200 of 200 joined"), "{output}");
    assert!(output.contains("200 sessions are open"), "{output}");
}
