//! The processes of the demo: started, killed, frozen, asked to end; what they log is kept.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};
use tokio::{net, time};

use super::super::exit::{Exit, Failure};
use super::super::files::PRIVATE;

/// A process of the demo. Killed when it is dropped.
pub(super) struct Process {
    name: &'static str,
    child: Child,
}

fn failed(name: &str, e: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("{name}: {e}"))
}

impl Process {
    /// Starts a process. Its stderr goes to `NAME.log` in `dir`.
    pub(super) fn start(name: &'static str, command: &mut Command, dir: &Path) -> Result<Self, Failure> {
        let log = dir.join(format!("{name}.log"));
        let mut options = File::options();
        // It holds what was said in private.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE);
        let log = options.create(true).append(true).open(&log).map_err(|e| failed(name, e))?;
        let child = command.stderr(log).kill_on_drop(true).spawn().map_err(|e| failed(name, e))?;
        Ok(Self { name, child })
    }

    /// Its input, for the first caller that asks, if it was started with one.
    pub(super) fn input(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Ends it at once (SIGKILL).
    pub(super) async fn kill(mut self) -> Result<(), Failure> {
        self.child.kill().await.map_err(|e| failed(self.name, e))
    }

    /// Asks it to end (SIGTERM), and waits for that.
    pub(super) async fn terminate(mut self) -> Result<ExitStatus, Failure> {
        self.signal("-TERM").await?;
        self.ended().await
    }

    /// Interrupts it (SIGINT), and waits until it ends.
    pub(super) async fn interrupt(mut self) -> Result<(), Failure> {
        self.signal("-INT").await?;
        self.ended().await.map(drop)
    }

    /// Stops it where it is (SIGSTOP).
    pub(super) async fn freeze(&self) -> Result<(), Failure> {
        self.signal("-STOP").await
    }

    /// Lets it go on (SIGCONT).
    pub(super) async fn thaw(&self) -> Result<(), Failure> {
        self.signal("-CONT").await
    }

    async fn signal(&self, signal: &str) -> Result<(), Failure> {
        let Some(id) = self.child.id() else { return Ok(()) };
        let sent = Command::new("kill").args([signal, &id.to_string()]).status().await;
        sent.map(drop).map_err(|e| failed("kill", e))
    }

    /// Waits until it ends by itself.
    pub(super) async fn ended(&mut self) -> Result<ExitStatus, Failure> {
        self.child.wait().await.map_err(|e| failed(self.name, e))
    }
}

/// The first port to try, and how many there are: below those from which systems take the near end of outgoing
/// connections, because the port must be free when the server comes back.
const PORTS: (u16, u32) = (17_000, 3_000);

/// A port that is free, and another one for each call.
pub(super) fn free_port() -> Result<u16, Failure> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
    let ports = (0..PORTS.1).filter_map(|n| u16::try_from(first.wrapping_add(n) % PORTS.1).ok());
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.map(|n| PORTS.0 + n).find(free).ok_or_else(|| failed("the demo", "no free port"))
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
        Ok(Self { binary, dir: dir.to_owned(), port: free_port()? })
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
        let mut process =
            Process::start("nats", command.stdin(Stdio::null()).stdout(Stdio::null()), &self.dir)?;
        for _ in 0..1000 {
            if net::TcpStream::connect(("127.0.0.1", self.port)).await.is_ok() {
                return Ok(process);
            }
            tokio::select! {
                ended = process.ended() => return Err(failed("nats-server", format!("{}; see nats.log", ended?))),
                () = time::sleep(Duration::from_millis(10)) => {}
            }
        }
        Err(failed("nats-server", "did not open its port within 10 s; see nats.log"))
    }
}
