//! The database of the demo, and what is done to it: another program locks the file, or the PostgreSQL server is killed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::process::Command;
use tokio::time::{self, Instant};

use super::super::exit::{Exit, Failure};
use super::lock::Lock;
use super::process::{self, Process};

/// How long a PostgreSQL server may take to start. One that was killed first replays its log.
const STARTS: Duration = Duration::from_secs(30);

/// The directory of a server's files.
pub(super) const SERVER_FILES: &str = "postgres";

/// Where the operations end up.
pub(super) enum Database {
    File { url: String, lock: Option<Lock> },
    Server { server: Postgres, process: Option<Box<Process>> },
}

impl Database {
    /// A file that is still to be made.
    pub(super) fn file(file: &Path) -> Self {
        Self::File { url: format!("sqlite://{}", file.display()), lock: None }
    }

    /// A server that does not run yet, with these programs. Its files come into `dir`.
    pub(super) fn server(programs: PathBuf, dir: &Path) -> Result<Self, Failure> {
        let port = process::free_port()?;
        Ok(Self::Server { server: Postgres { programs, dir: dir.to_owned(), port }, process: None })
    }

    pub(super) fn url(&self) -> String {
        match self {
            Self::File { url, .. } => url.clone(),
            Self::Server { server, .. } => server.url(),
        }
    }

    pub(super) const fn is_server(&self) -> bool {
        matches!(self, Self::Server { .. })
    }

    /// Makes what must be there before the first connection.
    pub(super) async fn open(&mut self) -> Result<(), Failure> {
        if let Self::Server { server, .. } = self {
            server.make().await?;
        }
        self.mend().await
    }

    /// No operation gets through from now on.
    pub(super) async fn break_it(&mut self) -> Result<(), Failure> {
        match self {
            Self::File { url, lock } => *lock = Some(Lock::take(url).await?),
            Self::Server { process, .. } => {
                if let Some(process) = process.take() {
                    process.kill().await?;
                }
            }
        }
        Ok(())
    }

    /// Operations get through again.
    pub(super) async fn mend(&mut self) -> Result<(), Failure> {
        match self {
            Self::File { lock, .. } => match lock.take() {
                Some(lock) => lock.release().await,
                None => Ok(()),
            },
            Self::Server { process: Some(_), .. } => Ok(()),
            Self::Server { server, process } => {
                *process = Some(Box::new(server.start().await?));
                Ok(())
            }
        }
    }

    /// Ends it in order.
    pub(super) async fn close(&mut self) -> Result<(), Failure> {
        if let Self::Server { process, .. } = self
            && let Some(process) = process.take()
        {
            process.interrupt().await?;
        }
        Ok(())
    }
}

/// A PostgreSQL server of the demo's own.
pub(super) struct Postgres {
    programs: PathBuf,
    dir: PathBuf,
    port: u16,
}

fn failed(e: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("PostgreSQL: {e}"))
}

impl Postgres {
    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    fn data(&self) -> PathBuf {
        self.dir.join(SERVER_FILES)
    }

    /// One of its programs, which refuse to run as root: then in a user namespace without users.
    async fn program(&self, name: &str) -> Result<Command, Failure> {
        let program = self.programs.join(name);
        let id = Command::new("id").arg("-u").output().await.map_err(|e| failed(format!("id: {e}")))?;
        let mut command = if id.stdout.trim_ascii() == b"0" {
            let mut command = Command::new("unshare");
            command.arg("-U").arg(program);
            command
        } else {
            Command::new(program)
        };
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok(command)
    }

    /// Makes its files.
    async fn make(&self) -> Result<(), Failure> {
        let mut command = self.program("initdb").await?;
        command.arg("-D").arg(self.data()).args(["-A", "trust", "-U", "postgres"]);
        command.args(["-E", "UTF8", "--locale=C", "--no-sync"]);
        let ended = Process::start("initdb", &mut command, &self.dir)?.ended().await?;
        if ended.success() { Ok(()) } else { Err(failed(format!("initdb: {ended}; see initdb.log"))) }
    }

    /// Starts it, again on the same port, and returns when it takes connections.
    async fn start(&self) -> Result<Process, Failure> {
        let deadline = Instant::now() + STARTS;
        let mut process = self.run().await?;
        while Instant::now() < deadline {
            if PgConnection::connect(&self.url()).await.is_ok() {
                return Ok(process);
            }
            tokio::select! {
                // While processes of the one that was killed have its memory, which is not for long.
                ended = process.ended() => {
                    ended?;
                    time::sleep(Duration::from_millis(50)).await;
                    process = self.run().await?;
                }
                () = time::sleep(Duration::from_millis(10)) => {}
            }
        }
        Err(failed(format!("it did not take connections within {STARTS:?}; see postgres.log")))
    }

    async fn run(&self) -> Result<Process, Failure> {
        let mut command = self.program("postgres").await?;
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        command.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        Process::start("postgres", &mut command, &self.dir)
    }
}
