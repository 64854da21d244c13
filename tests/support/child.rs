//! `rosey` as a process with an environment of its own, which may end when it likes.

use std::fs::File;
use std::process::{Child, Command, ExitStatus, Stdio};

use super::{holds_within, wait_until};

pub(crate) struct Program {
    child: Child,
    dir: tempfile::TempDir,
}

impl Program {
    /// Starts it; its log goes to a file.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_rosey"))
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, dir }
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// Waits until it has said this.
    pub(crate) async fn says(&mut self, words: &str) {
        let said = holds_within(super::LIMIT, || {
            let done = self.log().contains(words) || self.ended().is_some();
            async move { done }
        });
        said.await;
        assert!(self.log().contains(words), "not said: {words}\n{}", self.log());
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until it ends; the exit code.
    pub(crate) async fn ends(&mut self) -> Option<i32> {
        wait_until("the program ends", || {
            let ended = self.ended().is_some();
            async move { ended }
        })
        .await;
        self.ended().unwrap().code()
    }

    /// SIGTERM; the exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        assert!(
            Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success()
        );
        self.ends().await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
