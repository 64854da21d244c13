//! `rosey demo`: a recorded session through real processes, with the NATS server killed in the middle.

mod expected;
mod process;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use indicatif::ProgressBar;
use serde::Deserialize;
use sqlx::SqlitePool;
use tokio::process::Command;
use tokio::time;

use self::expected::Expected;
use self::process::{Process, Server};
use super::args::{DatabaseArgs, DemoArgs, NatsArgs, PathArgs, SynchronousArg};
use super::exit::{Exit, Failure};
use super::paths::Paths;
use super::tally::{Row, Table};
use super::{console, signals};
use crate::nats::{NatsOptions, NatsService};
use crate::op::Op;
use crate::operation::Kind;

/// Messages that are left for users before the session begins: one for each of the first who join.
const TOLD: usize = 24;
/// When the server is killed and when it comes back, in parts of the session.
const OUTAGE: (f64, f64) = (0.35, 0.65);

/// How long the service may take, at the end, to apply what its stream holds.
const APPLIED: Duration = Duration::from_secs(20);

/// What the bot reports at its end.
#[derive(Deserialize)]
struct Report {
    operations: Vec<Row>,
}

pub(super) async fn run(args: DemoArgs) -> Result<Exit, Failure> {
    let shutdown = signals::shutdown();
    tokio::select! {
        exit = play(&args) => exit,
        () = signals::told(shutdown) => Err(Failure::new(Exit::Failed, "the demo was stopped; its processes are ended")),
    }
}

async fn play(args: &DemoArgs) -> Result<Exit, Failure> {
    let expected = Expected::read(&args.session)?;
    let failed = |e: std::io::Error| Failure::new(Exit::Failed, format!("the demo's directory: {e}"));
    let temporary = tempfile::tempdir().map_err(failed)?;
    let dir = match &args.keep {
        Some(dir) => std::fs::create_dir_all(dir).and_then(|()| dir.canonicalize()).map_err(failed)?,
        None => temporary.path().to_owned(),
    };
    let file = dir.join("rosey.db");
    if file.exists() {
        return Err(Failure::new(
            Exit::Usage,
            format!("{} is there already; the demo wants a new one", file.display()),
        ));
    }
    let stage = Stage {
        database: format!("sqlite://{}", file.display()),
        dir,
        nats: server(args, temporary.path())?,
    };
    let seconds = if args.fast { 6.0 } else { 20.0 };
    console::say(format!(
        "A recorded session of {} events over {:.1} h, played in about {seconds:.0} s.",
        expected.events,
        expected.span / 3600.0
    ));
    stage.play(&args.session, &expected, (expected.span / seconds).max(1.0)).await
}

/// The server to start, unless the demo is to do without.
fn server(args: &DemoArgs, dir: &Path) -> Result<Option<Server>, Failure> {
    if args.no_nats {
        return Ok(None);
    }
    let named = args.nats_server.clone().or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).map(|dir| dir.join("nats-server")).find(|file| file.is_file())
    });
    let advice = "no nats-server found: name one with --nats-server, let `cargo xtask demo` fetch one, or play \
                  without: --no-nats";
    let binary = named.filter(|file| file.is_file()).ok_or_else(|| Failure::new(Exit::Usage, advice))?;
    Server::new(binary, dir).map(Some)
}

/// Where the demo plays.
struct Stage {
    dir: PathBuf,
    database: String,
    nats: Option<Server>,
}

impl Stage {
    async fn play(&self, session: &Path, expected: &Expected, speed: f64) -> Result<Exit, Failure> {
        let mut nats = None;
        let mut service = None;
        if let Some(server) = &self.nats {
            console::say(
                "Starting nats-server (with JetStream) and `rosey serve`, which keeps events in a stream.",
            );
            nats = Some(server.start().await?);
            service = Some(self.serve(server).await?);
        } else {
            console::say("Without NATS: the bot works on the embedded database alone.");
        }
        console::say(format!("Leaving messages for the first {TOLD} users who join."));
        let paths = Paths::open_for_one(&self.path_args(), Kind::Call).await?;
        let told = expected.newcomers.iter().take(TOLD);
        for user in told.clone() {
            paths.db.outbound_enqueue(Some(user), format!("welcome back, {user}!")).await?;
        }
        let told = i64::try_from(told.count()).unwrap_or_default();
        paths.close().await;

        console::say("Starting `rosey bot`. What it logs about its paths:");
        let (mut bot, said) = self.bot(session, speed).await?;
        let direct = crate::sql::SqlxService::<Op>::open(&self.database.parse()?).await?;
        let readers = direct.readers().clone();
        let ended = tokio::select! {
            ended = bot.ended() => ended?,
            over = self.outage(expected, &readers, &mut nats) => {
                over?;
                bot.ended().await?
            }
        };
        let heard = lines(&said);

        if let Some(server) = &self.nats {
            self.applied(server).await?;
        }
        if let Some(service) = service {
            let ended = service.terminate().await?;
            console::say(format!("`rosey serve` was told to stop, and ended with {ended}."));
        }
        if let Some(nats) = nats {
            nats.kill().await?;
        }
        let report = std::fs::read(self.dir.join("report.json"))
            .map_err(|e| e.to_string())
            .and_then(|json| serde_json::from_slice::<Report>(&json).map_err(|e| e.to_string()))
            .map_err(|e| {
                Failure::new(Exit::Failed, format!("the bot's report: {e} (see bot.log, with --keep DIR)"))
            })?;
        console::print(format!("\nThe bot's operations\n{}", Table(&report.operations)));
        let good = verdict::compare(expected, told, heard, &report.operations, &readers).await?;
        let used = |of: fn(&Row) -> u64| report.operations.iter().map(of).sum::<u64>() > 0;
        let both = self.nats.is_none() || (used(|row| row.nats) && used(|row| row.db));
        if !both {
            console::print("but only one of the two paths was used");
        }
        direct.close().await;
        let verified = crate::sql::verify::<Op>(&self.database.parse()?, |_| {}).await?;
        let clean = verified.is_clean();
        console::print(format!(
            "verify: {} values worked out again from the events, {}",
            verified.compared.values().sum::<u64>(),
            if clean { "all right".to_owned() } else { format!("{} of them WRONG", verified.findings.len()) }
        ));
        Ok(if good && both && clean && ended.success() { Exit::Ok } else { Exit::Failed })
    }

    fn path_args(&self) -> PathArgs {
        PathArgs {
            nats: NatsArgs {
                nats_url: self.nats.as_ref().map(Server::url).unwrap_or_default(),
                nats_credentials: None,
            },
            database: DatabaseArgs {
                database_url: Some(self.database.clone()),
                synchronous: SynchronousArg::Normal,
                existing: false,
                retention: None,
            },
            no_nats: self.nats.is_none(),
            nats_timeout_ms: Duration::from_secs(2),
            db_timeout_ms: Duration::from_secs(5),
        }
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

    async fn serve(&self, server: &Server) -> Result<Process, Failure> {
        let mut command = self.rosey()?;
        command
            .args(["serve", "--nats-url", &server.url(), "--database-url", &self.database])
            .stdout(Stdio::null());
        let mut process = Process::start("serve", &mut command, &self.dir, |_| false).await?;
        let found = NatsService::<Op>::connect(NatsOptions::new(server.url())).await?;
        tokio::select! {
            () = found.recognised() => Ok(process),
            ended = process.ended() => {
                Err(Failure::new(Exit::Failed, format!("`rosey serve` ended with {}; see serve.log (--keep DIR)", ended?)))
            }
        }
    }

    /// Waits until what the stream has acknowledged is applied: the counts below are of the database.
    async fn applied(&self, server: &Server) -> Result<(), Failure> {
        let nats = NatsService::<Op>::connect(NatsOptions::new(server.url())).await?;
        nats.all_applied(APPLIED).await.map_err(|cause| Failure::new(Exit::Failed, cause.to_string()))
    }

    async fn bot(&self, session: &Path, speed: f64) -> Result<(Process, PathBuf), Failure> {
        let failed = |e: std::io::Error| Failure::new(Exit::Failed, format!("the bot: {e}"));
        let session = session.canonicalize().map_err(failed)?;
        let said = self.dir.join("said.jsonl");
        let mut command = self.rosey()?;
        let chat = format!("jsonl:{}?shift=now&speed={speed:.0}", session.display());
        command.args(["bot", "--chat", &chat, "--database-url", &self.database, "--report", "report.json"]);
        command.args(["--log", "debug"]); // every operation with its path, for whoever keeps the logs
        match &self.nats {
            Some(server) => command.args(["--nats-url", &server.url()]),
            None => command.arg("--no-nats"),
        };
        command.stdout(std::fs::File::create(&said).map_err(failed)?);
        // The line that names the path now serving, and whatever is worse than information.
        let show = |line: &str| {
            ["serves now", " WARN ", " ERROR ", "the database service", "panicked"]
                .iter()
                .any(|word| line.contains(word))
        };
        Ok((Process::start("bot", &mut command, &self.dir, show).await?, said))
    }

    /// Kills the server in the middle of the session, and starts it again; shows how far the session is.
    async fn outage(
        &self,
        expected: &Expected,
        readers: &SqlitePool,
        nats: &mut Option<Process>,
    ) -> Result<(), Failure> {
        let total = u64::try_from(expected.joins + expected.leaves + expected.lines + 2 * expected.counts);
        let total = total.unwrap_or_default();
        let bar = console::bar(Some(total), "operations applied");
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let part = |share: f64| (total as f64 * share) as u64;
        if let Some(server) = &self.nats {
            reach(part(OUTAGE.0), readers, &bar).await?;
            if let Some(process) = nats.take() {
                console::say("Killing nats-server (SIGKILL).");
                process.kill().await?;
            }
            reach(part(OUTAGE.1), readers, &bar).await?;
            console::say("Starting nats-server again.");
            *nats = Some(server.start().await?);
        }
        reach(total, readers, &bar).await?;
        bar.finish_and_clear();
        Ok(())
    }
}

/// Waits until so many operations are in the database, and shows how many are.
async fn reach(until: u64, readers: &SqlitePool, bar: &ProgressBar) -> Result<(), Failure> {
    loop {
        let applied: i64 = sqlx::query_scalar("SELECT count(*) FROM ledger")
            .fetch_one(readers)
            .await
            .map_err(|e| Failure::new(Exit::Failed, e.to_string()))?;
        let applied = u64::try_from(applied).unwrap_or_default();
        bar.set_position(applied);
        if applied >= until {
            return Ok(());
        }
        time::sleep(Duration::from_millis(50)).await;
    }
}

/// How many private messages the bot said.
fn lines(file: &Path) -> i64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    i64::try_from(text.lines().filter(|line| line.contains("\"pm\"")).count()).unwrap_or_default()
}
