//! The program as an operator runs it: in a directory of its own, with an environment that says nothing.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{DbFile, wait_until};

/// `rosey` in this directory.
pub(crate) fn rosey(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rosey"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ROSEY_")) {
        command.env_remove(name);
    }
    command.current_dir(dir).env_remove("NATS_URL").env_remove("DATABASE_URL");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a command printed, and how it ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), out: text(stdout), err: text(stderr) }
    }

    pub(crate) fn all(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }
}

/// Runs it without blocking the runtime on which its peers answer.
pub(crate) async fn run(command: &mut Command) -> Ran {
    let mut taken = Command::new(command.get_program());
    taken.args(command.get_args()).current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => taken.env(name, value),
            None => taken.env_remove(name),
        };
    }
    taken.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    tokio::task::spawn_blocking(move || Ran::of(&mut taken)).await.unwrap()
}

/// The directory of a file.
pub(crate) fn dir_of(file: &DbFile) -> PathBuf {
    file.path().parent().unwrap().to_owned()
}

/// The lines of a text, each of which must be JSON.
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}\nin {text}")))
        .collect()
}

/// A command that runs.
pub(crate) struct Running {
    child: Child,
    err: Arc<Mutex<String>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let err = Arc::new(Mutex::new(String::new()));
        let (said, lines) = (Arc::clone(&err), BufReader::new(child.stderr.take().unwrap()).lines());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut said = said.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self { child, err }
    }

    pub(crate) fn input(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    pub(crate) fn err(&self) -> String {
        self.err.lock().unwrap().clone()
    }

    pub(crate) async fn says(&self, text: &str) {
        wait_until(&format!("{text:?} is said"), || async { self.err().contains(text) }).await;
    }

    /// So many times.
    pub(crate) async fn says_times(&self, text: &str, times: usize) {
        let what = format!("{text:?} is said {times} times");
        wait_until(&what, || async { self.err().matches(text).count() >= times }).await;
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// How it ends: a code, or the signal that ended it.
    pub(crate) async fn ends(mut self) -> (Option<i32>, Option<i32>, String) {
        let mut ended: Option<ExitStatus> = None;
        wait_until("the process ends", || {
            ended = self.child.try_wait().unwrap();
            let ended = ended.is_some();
            async move { ended }
        })
        .await;
        // The last words may still be on their way through the pipe.
        let quiet = Mutex::new(String::new());
        wait_until("its last word is read", || async {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            let now = self.err();
            std::mem::replace(&mut *quiet.lock().unwrap(), now.clone()) == now
        })
        .await;
        let status = ended.unwrap();
        (status.code(), status.signal(), self.err())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes a file of a test.
pub(crate) fn write(path: &Path, text: &str) {
    std::fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
}
