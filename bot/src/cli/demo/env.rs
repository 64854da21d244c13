//! Where the demo plays: its processes and files, and what is done to them.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::super::args::{DatabaseArgs, HedgeAfter, NatsArgs, PathArgs};
use super::super::exit::{Exit, Failure};
use super::super::files;
use super::database::{self, Database};
use super::process::{Process, Server};
use super::scenario::{self, Fault};
use crate::op::Op;
use eitherway::Namespace;
use eitherway::nats::{NatsOptions, NatsService};
use eitherway::request::Head;
use eitherway::sql::Synchronous;
use eitherway::stack::Queries;

/// What the bot says in the channel, and what it writes about itself, in the demo's directory.
pub(super) const SAID: &str = "said.jsonl";
pub(super) const REPORT: &str = "report.json";
pub(super) const TIMELINE: &str = "timeline.jsonl";
pub(super) const OUTBOX: &str = "rosey.outbox";
pub(super) const DATABASE: &str = "rosey.db";

/// How long the service may take, at the end, to apply what its stream holds.
const APPLIED: Duration = Duration::from_secs(20);

/// What a killed service took from the stream is given to the next one after this time. The usual 30 s are most of the
/// demo.
const ACK_WAIT_MS: &str = "2000";

/// The processes, and where their files are.
pub(super) struct Env {
    dir: PathBuf,
    database: Database,
    server: Option<Server>,
    nats: Option<Process>,
    service: Option<Process>,
}

impl Env {
    /// Nothing runs yet. Without a server there is the database alone.
    pub(super) fn new(dir: PathBuf, database: Database, server: Option<Server>) -> Self {
        Self { dir, database, server, nats: None, service: None }
    }

    /// The address of the database.
    pub(super) fn database(&self) -> String {
        self.database.url()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Fails if its files are there already.
    pub(super) fn is_new(&self) -> Result<(), Failure> {
        let files = [DATABASE, database::SERVER_FILES, OUTBOX, TIMELINE].map(|name| self.file(name));
        let Some(file) = files.iter().find(|file| file.exists()) else { return Ok(()) };
        let why = format!("{} is there already; the demo wants a directory without it", file.display());
        Err(Failure::new(Exit::Usage, why))
    }

    /// Starts the database's server, and nats-server and service, if the demo has them.
    pub(super) async fn open(&mut self) -> Result<(), Failure> {
        self.database.open().await?;
        if self.server.is_some() {
            self.start_server().await?;
            self.start_service().await?;
        }
        Ok(())
    }

    /// Does what begins a phase, and returns when it has taken effect.
    pub(super) async fn act(&mut self, act: Fault) -> Result<(), Failure> {
        match act {
            Fault::Nothing => Ok(()),
            Fault::KillServer => kill(&mut self.nats).await,
            Fault::StartServer => self.start_server().await,
            Fault::FreezeServer => match &self.nats {
                Some(nats) => nats.freeze().await,
                None => Ok(()),
            },
            Fault::ThawServer => match &self.nats {
                Some(nats) => nats.thaw().await,
                None => Ok(()),
            },
            Fault::KillService => kill(&mut self.service).await,
            Fault::StartService => self.start_service().await,
            Fault::BreakDatabase => self.database.break_it().await,
            Fault::MendDatabase => self.database.mend().await,
            Fault::MendDatabaseAndStartServer => {
                self.database.mend().await?;
                self.start_server().await
            }
        }
    }

    /// Puts right whatever is broken, if the scenario has not come so far.
    async fn mend(&mut self) -> Result<(), Failure> {
        self.database.mend().await?;
        match &self.nats {
            Some(nats) => nats.thaw().await?,
            None => self.start_server().await?,
        }
        if self.service.is_none() {
            self.start_service().await?;
        }
        Ok(())
    }

    /// Waits until what the stream has acknowledged is applied, and ends the service in order; returns whether it had
    /// lost nothing. The database goes on.
    pub(super) async fn close_service(&mut self) -> Result<bool, Failure> {
        self.mend().await?;
        let Some(server) = &self.server else { return Ok(true) };
        let nats = NatsService::<Op>::connect(NatsOptions::new(server.url())).await?;
        let applied = nats.all_applied(APPLIED).await;
        drop(nats);
        applied.map_err(|cause| Failure::new(Exit::Failed, cause.to_string()))?;
        let ended = match self.service.take() {
            Some(service) => service.terminate().await?.success(),
            None => true,
        };
        kill(&mut self.nats).await?;
        Ok(ended)
    }

    /// Ends what still runs.
    pub(super) async fn close(&mut self) -> Result<(), Failure> {
        self.database.close().await
    }

    /// The paths of this process.
    pub(super) fn path_args(&self) -> PathArgs {
        PathArgs {
            nats: NatsArgs {
                nats_url: self.server.as_ref().map(Server::url).unwrap_or_default(),
                nats_listed_only: false,
                nats_credentials: None,
                nats_nkey: None,
                nats_ca: None,
                nats_certificate: None,
                nats_key: None,
                nats_inbox_prefix: None,
                recognition_timeout_ms: NatsOptions::RECOGNITION,
            },
            database: DatabaseArgs {
                future_tolerance_ms: Head::AHEAD,
                past_tolerance_days: Head::BEHIND,
                database_url: Some(self.database()),
                database_password_file: None,
                synchronous: Synchronous::Normal,
                usual: None,
                existing: false,
                file_mode: crate::cli::files::PRIVATE,
                namespace: Namespace::none(),
                retention: None,
                trust_clock: false,
            },
            namespace: None,
            no_nats: self.server.is_none(),
            nats_timeout_ms: Duration::from_secs(2),
            db_timeout_ms: Duration::from_secs(5),
            hedge_after: HedgeAfter::Auto,
            outbox_after: None,
            queries: Queries::Nats,
        }
    }

    /// Starts the bot, which reads what happens from its input.
    pub(super) fn bot(&self) -> Result<Process, Failure> {
        let failed = |e: std::io::Error| Failure::new(Exit::Failed, format!("the bot: {e}"));
        let mut command = self.rosey()?;
        command.args(["bot", "--chat", "jsonl:-", "--database-url", &self.database(), "--outbox", OUTBOX]);
        command.args(["--report", REPORT, "--timeline", TIMELINE, "--timeline-ms", "10"]);
        command.args(["--concurrency", &scenario::UNDER_WAY.to_string()]);
        command.args(["--log", "debug"]); // every operation with its path, for readers of the logs
        match &self.server {
            Some(server) => command.args(["--nats-url", &server.url()]),
            None => command.arg("--no-nats"),
        };
        let said = files::begin(&self.file(SAID), files::PRIVATE).map_err(failed)?;
        command.stdin(Stdio::piped()).stdout(said);
        Process::start("bot", &mut command, &self.dir)
    }

    /// Starts the bot in a room of a network, where it answers.
    pub(super) fn bot_in(&self, chat: &str) -> Result<Process, Failure> {
        let mut command = self.rosey()?;
        command.args(["bot", "--chat", chat, "--database-url", &self.database(), "--outbox", OUTBOX]);
        match &self.server {
            Some(server) => command.args(["--nats-url", &server.url()]),
            None => command.arg("--no-nats"),
        };
        Process::start("bot", command.stdin(Stdio::null()).stdout(Stdio::null()), &self.dir)
    }

    async fn start_server(&mut self) -> Result<(), Failure> {
        if let Some(server) = &self.server {
            self.nats = Some(server.start().await?);
        }
        Ok(())
    }

    /// Starts the service, and returns when it answers.
    async fn start_service(&mut self) -> Result<(), Failure> {
        let Some(server) = &self.server else { return Ok(()) };
        let mut command = self.rosey()?;
        command
            .args(["serve", "--nats-url", &server.url(), "--database-url", &self.database()])
            .args(["--stream-ack-wait-ms", ACK_WAIT_MS])
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let mut process = Process::start("serve", &mut command, &self.dir)?;
        let found = NatsService::<Op>::connect(NatsOptions::new(server.url())).await?;
        tokio::select! {
            () = found.recognised() => {}
            ended = process.ended() => {
                return Err(Failure::new(Exit::Failed, format!("`rosey serve` ended: {}; see serve.log", ended?)));
            }
        }
        self.service = Some(process);
        Ok(())
    }

    /// This program again, as another process, with nothing of our environment that would configure it.
    fn rosey(&self) -> Result<Command, Failure> {
        let own =
            std::env::current_exe().map_err(|e| Failure::new(Exit::Failed, format!("this program: {e}")))?;
        let mut command = Command::new(own);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ROSEY_"))
        {
            command.env_remove(name);
        }
        command.current_dir(&self.dir).env_remove("NATS_URL").env_remove("DATABASE_URL");
        Ok(command)
    }
}

async fn kill(process: &mut Option<Process>) -> Result<(), Failure> {
    match process.take() {
        Some(process) => process.kill().await,
        None => Ok(()),
    }
}
