//! The database service as a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::{DbFile, Url, wait_until};

pub(crate) struct ServeProcess {
    child: Child,
    log: Arc<Mutex<String>>,
    /// With which it was started, and is started again.
    arguments: Vec<String>,
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
        Self::run(paths.iter().chain(options).map(ToString::to_string).collect()).await
    }

    /// Starts it, whatever becomes of it.
    pub(crate) fn begin(arguments: &[&str]) -> Self {
        Self::spawn(arguments.iter().map(ToString::to_string).collect())
    }

    /// Waits until it has said this.
    pub(crate) async fn says(&self, what: &str) {
        wait_until(what, || async { self.log().contains(what) }).await;
    }

    /// Starts it again with the same options, after SIGKILL if it still runs. It begins a new log.
    pub(crate) async fn restart(&mut self) {
        self.begin_again();
        self.serves().await;
    }

    /// The same without waiting until it serves: it may have nobody to connect to.
    pub(crate) fn begin_again(&mut self) {
        self.kill();
        *self = Self::spawn(self.arguments.clone());
    }

    /// The same with a clock that is so many milliseconds ahead.
    pub(crate) fn begin_again_with_clock(&mut self, ahead: Option<i64>) {
        self.kill();
        *self = Self::spawn_with_clock(self.arguments.clone(), ahead);
    }

    async fn run(arguments: Vec<String>) -> Self {
        let mut process = Self::spawn(arguments);
        process.serves().await;
        process
    }

    /// Waits until it says that it serves.
    pub(crate) async fn serves(&mut self) {
        wait_until("the process serves, or has ended", || {
            let done = self.log().contains("serving") || self.child.try_wait().unwrap().is_some();
            async move { done }
        })
        .await;
        assert!(self.log().contains("serving"), "it has ended:\n{}", self.log());
    }

    fn spawn(arguments: Vec<String>) -> Self {
        Self::spawn_with_clock(arguments, None)
    }

    fn spawn_with_clock(arguments: Vec<String>, ahead: Option<i64>) -> Self {
        // A limit on the size of files is to be an error in the process, not its end.
        let program = "trap '' XFSZ; exec \"$0\" \"$@\"";
        let mut child = Command::new("sh")
            .args(["-c", program, env!("CARGO_BIN_EXE_rosey")])
            .args(&arguments)
            .env("RUST_LOG", "info")
            .envs(ahead.map(|ahead| ("ROSEY_TEST_CLOCK_OFFSET_MS", ahead.to_string())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (said, lines) = (Arc::clone(&log), BufReader::new(child.stderr.take().unwrap()).lines());
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = said.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log, arguments }
    }

    /// What it has said.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Its process id, for whoever measures it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Lets no file of it grow beyond so many bytes: its disk is full. None: as large as it likes.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) {
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let arguments = [format!("--pid={}", self.child.id()), format!("--fsize={limit}:unlimited")];
        assert!(Command::new("prlimit").args(arguments).status().unwrap().success());
    }

    /// SIGSTOP.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
        wait_until_frozen(self.child.id());
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// SIGTERM, which must end in success; what it has said until its end.
    pub(crate) async fn terminate_and_log(self) -> String {
        let log = Arc::clone(&self.log);
        assert_eq!(self.terminate().await, Some(0));
        wait_until("the last word is read", || async { log.lock().unwrap().contains("stopped: ") }).await;
        log.lock().unwrap().clone()
    }

    /// SIGTERM; the exit code.
    pub(crate) async fn terminate(mut self) -> Option<i32> {
        self.signal("-TERM");
        wait_until("the process ends", || {
            let ended = self.child.try_wait().unwrap().is_some();
            async move { ended }
        })
        .await;
        self.child.wait().unwrap().code()
    }

    fn signal(&self, signal: &str) {
        assert!(
            Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success()
        );
    }
}

/// Waits until a process that was sent SIGSTOP has stopped, all of its threads: until then it answers.
pub(crate) fn wait_until_frozen(process: u32) {
    let since = std::time::Instant::now();
    let stopped = |stat: String| stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['T', 't']));
    let all = || {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{process}/task")) else { return true };
        threads.flatten().all(|thread| std::fs::read_to_string(thread.path().join("stat")).is_ok_and(stopped))
    };
    while !all() {
        assert!(since.elapsed() < super::LIMIT, "the process does not stop");
        std::thread::yield_now();
    }
}

impl Drop for ServeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
