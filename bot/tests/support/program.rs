//! `rosey` as an operator runs it: a command that is built with [`rosey`], and that either runs to its end ([`Ran`]) or
//! keeps running ([`Running`]).

use std::io::{BufRead, BufReader, Write};
use std::ops::{Deref, DerefMut};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::{DbFile, holds_within, proc, wait_until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rosey");

/// `rosey` in this directory, with an environment that configures nothing. Outputs are captured, the input is empty.
pub(crate) fn rosey(dir: &Path) -> Command {
    clean(Command::new(PROGRAM), dir)
}

/// The same through a script of `sh`, in which `"$0" "$@"` is the program with its arguments.
pub(crate) fn rosey_through(script: &str, dir: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, PROGRAM]);
    clean(shell, dir)
}

/// A script of `sh`, in which `rosey` is the program.
pub(crate) fn shell(script: &str, dir: &Path) -> Command {
    let mut path = Path::new(PROGRAM).parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", script]).env("PATH", path);
    clean(shell, dir)
}

fn clean(mut command: Command, dir: &Path) -> Command {
    for (name, _) in std::env::vars_os().filter(|(name, _)| {
        name.to_string_lossy().starts_with("ROSEY_") || name.to_string_lossy().starts_with("OTEL_")
    }) {
        command.env_remove(name);
    }
    command.current_dir(dir).env_remove("NATS_URL").env_remove("DATABASE_URL").env_remove("RUST_LOG");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        command.output().unwrap().into()
    }

    pub(crate) fn all(&self) -> String {
        format!("{}\n{}", self.out, self.err)
    }
}

/// Runs a command to its end without blocking the runtime on which its peers answer.
pub(crate) async fn finished(command: &mut Command) -> Ran {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap().into()
}

/// The directory of a file.
pub(crate) fn dir_of(file: &DbFile) -> PathBuf {
    file.path().parent().unwrap().to_owned()
}

impl From<Output> for Ran {
    fn from(Output { status, stdout, stderr }: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: status.code(), out: text(stdout), err: text(stderr) }
    }
}

/// Runs a command to its end: the exit code, and what it printed on both outputs.
pub(crate) fn outcome(command: &mut Command) -> (Option<i32>, String) {
    let Ran { code, out, err } = Ran::of(command);
    (code, out + &err)
}

/// Runs `rosey` in an empty directory of its own, while the test goes on.
pub(crate) async fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, "").await
}

/// The same with this input.
pub(crate) async fn run_with(arguments: &[&str], input: &str) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let mut child = rosey(dir.path()).args(arguments).stdin(Stdio::piped()).spawn().unwrap();
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    let writing = std::thread::spawn(move || {
        // It may end before it has read everything.
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    writing.join().unwrap();
    output.into()
}

/// The lines of a text, each of which must be JSON.
pub(crate) fn json_lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}\nin {text}")))
        .collect()
}

/// A command that runs. What it prints on stderr is its log; what it prints on stdout is dropped.
pub(crate) struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (said, lines) = (Arc::clone(&log), BufReader::new(child.stderr.take().unwrap()).lines());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut said = said.lock().unwrap();
                said.push_str(&line);
                said.push('\n');
            }
        });
        Self { child, log }
    }

    pub(crate) fn input(&mut self) -> ChildStdin {
        self.child.stdin.take().unwrap()
    }

    /// The process id, for measurements.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The same.
    pub(crate) fn err(&self) -> String {
        self.log()
    }

    /// Waits until it has said this.
    pub(crate) async fn says(&self, text: &str) {
        self.says_times(text, 1).await;
    }

    /// So many times.
    pub(crate) async fn says_times(&self, text: &str, times: usize) {
        let said = || async { self.log().matches(text).count() >= times };
        assert!(
            holds_within(super::LIMIT, said).await,
            "{text:?} is not said {times} times:\n{}",
            self.log()
        );
    }

    pub(crate) fn signal(&self, signal: &str) {
        proc::signal(self.id(), signal);
    }

    /// SIGSTOP; it has stopped when this returns.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
        proc::wait_until_frozen(self.id());
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets no file of it grow beyond this many bytes: its disk is full. None: as large as it likes.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let arguments = [format!("--pid={}", self.id()), format!("--fsize={limit}:unlimited")];
        assert!(Command::new("prlimit").args(arguments).status().unwrap().success());
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.ended().is_none()
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until it has ended and its last word is read.
    pub(crate) async fn ended_by_itself(&mut self) -> ExitStatus {
        let mut status = None;
        wait_until("the process ends", || {
            status = self.ended();
            let ended = status.is_some();
            async move { ended }
        })
        .await;
        // The last words may still be on their way through the pipe.
        let quiet = Mutex::new(String::new());
        wait_until("its last word is read", || async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = self.log();
            std::mem::replace(&mut *quiet.lock().unwrap(), now.clone()) == now
        })
        .await;
        status.unwrap()
    }

    /// How it ends: a code, or the signal that ended it, and what it has said.
    pub(crate) async fn ends(mut self) -> (Option<i32>, Option<i32>, String) {
        let status = self.ended_by_itself().await;
        (status.code(), status.signal(), self.log())
    }

    /// Waits until it says that it serves.
    pub(crate) async fn serves(&mut self) {
        wait_until("the process serves, or has ended", || {
            let done = self.log().contains("serving") || self.ended().is_some();
            async move { done }
        })
        .await;
        assert!(self.log().contains("serving"), "it has ended:\n{}", self.log());
    }

    /// SIGTERM, which must end in success; what it has said until its end.
    pub(crate) async fn terminate_and_log(mut self) -> String {
        let code = self.terminate().await;
        assert_eq!(code, Some(0), "{}", self.log());
        self.says("stopped: ").await;
        self.log()
    }

    /// SIGTERM; the exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        self.signal("-TERM");
        self.ended_by_itself().await.code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `rosey` that keeps running with these arguments and this environment, in an empty directory of its own.
pub(crate) struct Program {
    running: Running,
    _dir: tempfile::TempDir,
}

impl Program {
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = rosey(dir.path());
        command.args(arguments).envs(environment.iter().copied());
        Self { running: Running::start(&mut command), _dir: dir }
    }
}

impl Deref for Program {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl DerefMut for Program {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.running
    }
}

/// Writes a file of a test.
pub(crate) fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
