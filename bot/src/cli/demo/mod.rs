//! `rosey demo`: a recorded session through real processes, while one thing after another breaks.

mod database;
mod effects;
mod env;
mod expected;
mod feed;
mod irc;
mod lock;
mod outcome;
mod process;
mod recording;
mod rows;
mod scenario;
mod session;
mod verdict;
mod watch;

use std::path::{Path, PathBuf};
use std::time::Instant;

use self::database::Database;
use self::env::Env;
use self::expected::{Effect, Expected};
use self::feed::Feed;
use self::outcome::{Outcome, Report};
use self::process::Server;
use self::rows::Rows;
use self::scenario::Phase;
use self::verdict::{Messages, Verdict};
use self::watch::Watch;
use super::args::{DemoArgs, Global};
use super::exit::{Exit, Failure};
use super::paths::Paths;
use super::{console, signals};
use crate::op::RoseyClient;
use eitherway::operation::Kind;

/// Messages that are left for users before the session begins: one for each of the first who join.
const TOLD: usize = 24;

/// In how many seconds the recording would be over if nothing broke, and how many times as fast `--fast` is.
const SECONDS: f64 = 38.0;
const FASTER: f64 = 4.0;

pub(super) async fn run(global: &Global, args: DemoArgs) -> Result<Exit, Failure> {
    let shutdown = signals::shutdown_with_terminal();
    let failed = |e: std::io::Error| Failure::new(Exit::Failed, format!("the demo's directory: {e}"));
    let temporary = tempfile::tempdir().map_err(failed)?;
    let dir = match &args.keep {
        Some(dir) => std::fs::create_dir_all(dir).and_then(|()| dir.canonicalize()).map_err(failed)?,
        None => temporary.path().to_owned(),
    };
    let played = if args.irc {
        irc::play(&args, dir.clone(), &shutdown).await
    } else {
        tokio::select! {
            // First: a terminal tells the bot to stop as well, and that is no end of the scenario.
            biased;
            () = shutdown.cancelled() => {
                return Err(Failure::new(Exit::Failed, "the demo was stopped; its processes are ended"));
            }
            played = play(&args, dir.clone()) => played,
        }
    };
    let failed = match &played {
        Ok((exit, ..)) => *exit != Exit::Ok,
        Err(_) => [env::DATABASE, database::SERVER_FILES].iter().any(|name| dir.join(name).exists()),
    };
    if failed {
        if args.keep.is_none() {
            let _ = temporary.keep();
        }
        console::say(format!("Database and logs are in {}.", dir.display()));
    }
    let (exit, json, text) = played?;
    console::show(global, &json, |_| text);
    match exit {
        Exit::Ok => Ok(exit),
        exit => Err(Failure::new(exit, "the demo did not end as it must; what is wrong is on stdout")),
    }
}

/// Returns how it ended, and what there is to print: for machines, and for people.
async fn play(args: &DemoArgs, dir: PathBuf) -> Result<(Exit, serde_json::Value, String), Failure> {
    let began = Instant::now();
    let recording = recording::read(args.session.as_deref())?;
    let expected = Expected::of(&recording);
    let server = server(args, &dir)?;
    let database = database(args, &dir)?;
    let phases = scenario::of(server.is_some(), database.is_server());
    let mut env = Env::new(dir, database, server);
    env.is_new()?;
    // With what breaks, and the look at the database: this much in all.
    let (seconds, about) = if args.fast { (SECONDS / FASTER, 15) } else { (SECONDS, 40) };
    console::say(format!(
        "An evening of a chat channel, {} events in {:.1} h, played in some {about} s: a real\n\
         {}`rosey bot` and {}, while one thing after another breaks.",
        expected.events,
        expected.span / 3600.0,
        if args.no_nats { "" } else { "nats-server, `rosey serve`, " },
        if args.postgres { "PostgreSQL" } else { "SQLite file" },
    ));
    env.open().await?;
    let left = leave_messages(&env, &expected).await?;

    let mut bot = env.bot()?;
    let input = bot.input().ok_or_else(|| Failure::new(Exit::Failed, "the bot has no input"))?;
    #[allow(clippy::cast_precision_loss)] // of how many events, for people's eyes
    let feed = Feed::start(&recording, expected.events as f64 / seconds, input);
    let mut watch = Watch::new(env.file(env::TIMELINE), expected.operations());
    let ended = tokio::select! {
        ended = bot.ended() => ended?,
        never = tell(&phases, &mut env, &feed, &mut watch) => match never? {},
    };
    watch.finish().await?;
    result(&watch, watch.seen().len());
    let service_ended = env.close_service().await?;

    let report = Report::read(&env.file(env::REPORT))?;
    let messages = Messages { left, heard: lines(&env.file(env::SAID)) };
    // The tables are read past the store, which has views of what waits to be folded.
    let database = env.path_args().database.open().await?;
    database.fold().await.map_err(|cause| Failure::new(Exit::Failed, cause.to_string()))?;
    database.close().await;
    let tables = Rows::open(&env.database()).await?;
    let verdict = Verdict::find(&expected, &messages, &report.operations, &tables).await;
    tables.close().await;
    let verified = env.path_args().database.named_or_usual()?.verify(|_| {}).await?;
    env.close().await?;
    let outcome = Outcome {
        verdict: verdict?,
        verified,
        took: began.elapsed(),
        phases: phases.len(),
        seen: watch.seen(),
        report,
        bot_ended: ended.code(),
        service_ended,
    };
    let exit = if outcome.wrong().is_empty() { Exit::Ok } else { Exit::Failed };
    Ok((exit, outcome.json(), outcome.text()))
}

/// Breaks one thing after another, and tells of it. Ends only with an error: the recording goes on.
async fn tell(
    phases: &[Phase],
    env: &mut Env,
    feed: &Feed,
    watch: &mut Watch,
) -> Result<std::convert::Infallible, Failure> {
    let mut part = 0;
    for (number, phase) in phases.iter().enumerate() {
        if !phase.act.heals() {
            env.act(phase.act).await?;
        }
        watch.begin(*phase);
        watch.catch_up().await?;
        result(watch, number);
        console::say(format!("\n{:>2}/{}  {}", number + 1, phases.len(), phase.name));
        phase.text.iter().for_each(|line| console::say(format!("       {line}")));
        if phase.act.heals() {
            env.act(phase.act).await?;
        }
        part += phase.part;
        feed.until(part);
        watch.shown().await?;
    }
    watch.read_on().await
}

/// Says what became of the operations of the phase of this number, counted from 1.
fn result(watch: &Watch, number: usize) {
    if let Some(seen) = number.checked_sub(1).and_then(|index| watch.seen().get(index)) {
        console::say(seen.summary());
    }
}

/// Leaves a message for each of the first who join.
async fn leave_messages(env: &Env, expected: &Expected) -> Result<Vec<Effect>, Failure> {
    let paths = Paths::open_for_one(&env.path_args(), Kind::Call).await?;
    let mut left = Vec::new();
    for user in expected.newcomers.iter().take(TOLD) {
        let text = format!("welcome back, {user}!");
        paths.db.outbound_enqueue(Some(user), &text).await?;
        left.push((user.clone(), 0, text));
    }
    paths.close().await;
    Ok(left)
}

/// The database: a file, or a PostgreSQL server to start.
fn database(args: &DemoArgs, dir: &Path) -> Result<Database, Failure> {
    if !args.postgres {
        return Ok(Database::file(&dir.join(env::DATABASE)));
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs = args.postgres_bin.clone().into_iter().chain(std::env::split_paths(&paths));
    let advice = "no PostgreSQL found: name the directory of initdb and postgres with --postgres-bin, or let \
                  `cargo xtask demo --postgres` find one";
    let programs = dirs.find(|dir| dir.join("initdb").is_file() && dir.join("postgres").is_file());
    Database::server(programs.ok_or_else(|| Failure::new(Exit::Usage, advice))?, dir)
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

/// How many private messages the bot said.
fn lines(file: &Path) -> i64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    i64::try_from(text.lines().filter(|line| line.contains("\"pm\"")).count()).unwrap_or_default()
}
