//! The program, run once to its end.

use std::io::Write;
use std::process::{Command, Stdio};

/// What a run of it left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) log: String,
}

/// Runs `rosey` in an empty directory of its own, with this input.
pub(crate) async fn run_with(arguments: &[&str], input: &str) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_rosey"))
        .current_dir(dir.path())
        .env_remove("NATS_URL")
        .env_remove("DATABASE_URL")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    let writing = std::thread::spawn(move || {
        // It may end before it has read everything.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    writing.join().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The same without any.
pub(crate) async fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, "").await
}
