//! The processes of the demo: started, killed, asked to end; what they log is shown and kept.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::{net, time};

use super::super::console;
use super::super::exit::{Exit, Failure};

/// A process of the demo. Killed when it is dropped.
pub(super) struct Process {
    name: &'static str,
    child: Child,
    log: Option<JoinHandle<()>>,
}

fn failed(name: &str, e: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("{name}: {e}"))
}

impl Process {
    /// Starts a process. Its stderr goes to `NAME.log` in `dir`; the lines that `show` lets pass are printed too.
    pub(super) async fn start(
        name: &'static str,
        command: &mut Command,
        dir: &Path,
        show: fn(&str) -> bool,
    ) -> Result<Self, Failure> {
        let log = dir.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log).await.map_err(|e| failed(name, e))?;
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| failed(name, e))?;
        let log = child.stderr.take().map(|stderr| tokio::spawn(tee(name, stderr, file, show)));
        Ok(Self { name, child, log })
    }

    /// Ends it at once (SIGKILL).
    pub(super) async fn kill(mut self) -> Result<(), Failure> {
        self.child.kill().await.map_err(|e| failed(self.name, e))
    }

    /// Asks it to end (SIGTERM), and waits for that.
    pub(super) async fn terminate(mut self) -> Result<ExitStatus, Failure> {
        if let Some(id) = self.child.id() {
            let told = Command::new("kill").args(["-TERM", &id.to_string()]).status().await;
            told.map_err(|e| failed("kill", e))?;
        }
        self.ended().await
    }

    /// Waits until it ends by itself, and all it logged was read.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus, Failure> {
        let status = self.child.wait().await.map_err(|e| failed(self.name, e))?;
        if let Some(log) = self.log.take() {
            let _ = log.await;
        }
        Ok(status)
    }
}

async fn tee(
    name: &'static str,
    stderr: tokio::process::ChildStderr,
    mut file: File,
    show: fn(&str) -> bool,
) {
    let mut lines = BufReader::new(stderr).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if show(&line) {
            console::say(format!("  {name:>5} │ {line}"));
        }
        // A log that cannot be written must not stop the process that writes it.
        let _ = file.write_all(format!("{line}\n").as_bytes()).await;
    }
    let _ = file.flush().await;
}

/// A nats-server of the demo's own.
pub(super) struct Server {
    binary: PathBuf,
    dir: PathBuf,
    port: u16,
}

impl Server {
    /// On a free port of this machine, storing into `dir`.
    pub(super) fn new(binary: PathBuf, dir: &Path) -> Result<Self, Failure> {
        let free = TcpListener::bind("127.0.0.1:0")
            .and_then(|l| l.local_addr())
            .map_err(|e| failed("a free port", e))?;
        Ok(Self { binary, dir: dir.to_owned(), port: free.port() })
    }

    pub(super) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Starts it, again on the same port, and waits until it takes connections.
    pub(super) async fn start(&self) -> Result<Process, Failure> {
        let mut command = Command::new(&self.binary);
        command
            .args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-js", "-sd"])
            .arg(self.dir.join("jetstream"));
        let process = Process::start("nats", &mut command, &self.dir, |_| false).await.map_err(|e| {
            drop(e);
            Failure::new(Exit::Failed, format!("{} cannot be started", self.binary.display()))
        })?;
        for _ in 0..500 {
            if net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return Ok(process);
            }
            time::sleep(Duration::from_millis(10)).await;
        }
        Err(failed("nats-server", "did not open its port within 5 s; see nats.log (--keep DIR)"))
    }
}
