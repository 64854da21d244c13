//! The database service as a process of its own, which can be started again.

use std::ops::{Deref, DerefMut};

use super::program::{Running, rosey};
use super::{DbFile, Url};

pub(crate) struct ServeProcess {
    running: Running,
    /// With which it was started, and is started again.
    arguments: Vec<String>,
    dir: tempfile::TempDir,
}

impl ServeProcess {
    /// Starts `rosey serve`, and returns when it says that it serves.
    pub(crate) async fn start(server: &impl Url, file: &DbFile) -> Self {
        Self::start_with(server, file, &[]).await
    }

    /// The same with more options.
    pub(crate) async fn start_with(server: &impl Url, file: &DbFile, options: &[&str]) -> Self {
        let (server, file) = (server.url(), file.url());
        let paths = ["serve", "--nats-url", &server, "--database-url", &file];
        let mut process = Self::begin(&[&paths[..], options].concat());
        process.serves().await;
        process
    }

    /// Starts it, whatever becomes of it.
    pub(crate) fn begin(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let arguments: Vec<_> = arguments.iter().map(ToString::to_string).collect();
        Self { running: spawn(&arguments, &dir, None), arguments, dir }
    }

    /// Starts it again with the same options, after SIGKILL if it still runs. It begins a new log.
    pub(crate) async fn restart(&mut self) {
        self.begin_again();
        self.serves().await;
    }

    /// The same without waiting until it serves: its server may be down.
    pub(crate) fn begin_again(&mut self) {
        self.begin_again_with_clock(None);
    }

    /// The same with a clock that is this many milliseconds ahead.
    pub(crate) fn begin_again_with_clock(&mut self, ahead: Option<i64>) {
        self.kill();
        self.running = spawn(&self.arguments, &self.dir, ahead);
    }

    /// SIGTERM, which must end in success; what it has said until its end.
    pub(crate) async fn terminate_and_log(self) -> String {
        self.running.terminate_and_log().await
    }

    /// SIGTERM, to be started again; the exit code.
    pub(crate) async fn end(&mut self) -> Option<i32> {
        self.running.terminate().await
    }

    /// SIGTERM; the exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        self.running.terminate().await
    }
}

fn spawn(arguments: &[String], dir: &tempfile::TempDir, ahead: Option<i64>) -> Running {
    let mut command = rosey(dir.path());
    command.args(arguments).env("RUST_LOG", "info");
    command.envs(ahead.map(|ahead| ("EITHERWAY_TEST_CLOCK_OFFSET_MS", ahead.to_string())));
    Running::start(&mut command)
}

impl Deref for ServeProcess {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl DerefMut for ServeProcess {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.running
    }
}
