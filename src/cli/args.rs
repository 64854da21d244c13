//! What can be said on the command line. Every option is also an environment variable and a line of the
//! configuration file.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::keep::KeepArgs;
use super::outbox::{OutboxArgs, OutboxCommand};
use crate::sql::Retention;
use crate::stack::Queries;
use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use super::serve::ServiceArgs;

const ABOUT: &str = "A chat bot's memory: every operation goes over NATS, falls back to the database, and takes \
                     effect exactly once.";

const AFTER: &str = "\
Start here:
  rosey up --chat jsonl:-          bot and database in one process, NATS if it answers
  rosey serve                      the database service: nats://127.0.0.1:4222, rosey.db
  rosey send user_joined '{\"username\":\"alice\"}'

Configuration, the first that says something counts:
  the option · its environment variable · NATS_URL, DATABASE_URL · a line of the file
  (--config FILE, else ./rosey.toml if it is there) · the default
A line of the file is an option's long name: nats-url = \"nats://…\". Lines in a table
[bot] are for `rosey bot` alone. A blank variable or line counts as unset. `rosey config`
prints what is in force and where it came from.

Output: results on stdout; everything else on stderr. With --json a failure is the last
line of stderr, one object {error, class, code, exit}; `up`, `serve` and `bot` end with a
line of JSON there (stdout is the chat's).

Signals: SIGINT and SIGTERM drain and end; a second one ends at once. SIGHUP makes `up`,
`serve` and `bot` reload the configuration (log and log-file take effect at once) and
reopen the log file; it ends every other command, as usual.

Exit codes:
  0 done
  1 the outcome is bad: counts differ, `verify` found something, the bot or the service lost something
  2 usage or configuration
  3 the operation was refused
  4 no path could serve it
  5 the service must not start here";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "rosey", version, about = ABOUT, after_help = AFTER, propagate_version = true, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(super) struct Global {
    /// What is logged to stderr: off, error, warn, info, debug (every operation with the path that served it), trace,
    /// or a filter such as `rosey=debug,async_nats=warn` [default: info for up, serve and bot; warn for demo; else off]
    #[arg(long, global = true, env = "ROSEY_LOG", value_name = "LEVEL")]
    pub(super) log: Option<String>,
    /// How the log is written [default: text; json with --json, but for demo]
    #[arg(long, global = true, env = "ROSEY_LOG_FORMAT", value_name = "FORMAT")]
    pub(super) log_format: Option<LogFormat>,
    /// Log to this file instead of stderr; created with mode 0600, reopened on SIGHUP
    #[arg(long, global = true, env = "ROSEY_LOG_FILE", value_name = "FILE")]
    pub(super) log_file: Option<PathBuf>,
    /// Print results and failures as JSON, for machines
    #[arg(long, global = true, env = "ROSEY_JSON", value_parser = crate::cli::args::yes_or_no, action = ArgAction::SetTrue)]
    pub(super) json: bool,
    /// The configuration file; rosey.toml in this directory if nothing is said
    #[arg(long, global = true, env = "ROSEY_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum LogFormat {
    /// One line an event, for people
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Bot and database service in one process, with one writer
    Up(UpArgs),
    /// The database service: takes operations from NATS, applies each once, answers after the commit
    Serve(ServeArgs),
    /// The bot: events of a chat in, operations out
    Bot(BotArgs),
    /// Send one operation through the stack; prints the answer, the path that served it, and the time it took
    #[command(after_help = super::send::operations_help())]
    Send(SendArgs),
    /// What is known of the channel, or of a user
    Stats(StatsArgs),
    /// The newest lines of the channel
    Recent(RecentArgs),
    /// Leave a message for a user, delivered at the next join; or for the whole channel
    Tell(TellArgs),
    /// What waits in the outbox for a path to return, and what was refused; offer it again, or drop it
    Outbox(OutboxCommand),
    /// Recompute everything that is derived from baseline and events, and report differences: exit 1 if there are any.
    /// Only reads; safe while a service is running
    Verify(DatabaseArgs),
    /// What could not be understood or applied: look at it, offer it again, drop it
    Dead(super::dead::DeadArgs),
    /// A whole session on real processes, while one thing after another breaks; ends in a table and a verdict
    Demo(DemoArgs),
    /// Print the options in force and where each came from, with secrets hidden
    Config(ConfigArgs),
    /// Print a completion script
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// The command line as it is understood: an option of a command may also stand after its subcommand.
    pub(super) fn usual() -> clap::Command {
        Self::command().mut_subcommands(|command| {
            if !command.has_subcommands() {
                return command;
            }
            // Those that say what is done belong to the command alone: the rest has a variable.
            command.mut_args(|arg| {
                let everywhere = arg.get_long().is_some() && arg.get_env().is_some();
                if everywhere { arg.global(true) } else { arg }
            })
        })
    }
}

impl Command {
    /// Whether it runs until it is told to stop: then SIGHUP reloads, and ends nothing.
    pub(super) const fn stays(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Serve(_) | Self::Bot(_))
    }

    /// What is logged if nothing is said: those that run for long tell what they do.
    pub(super) const fn log(&self) -> &'static str {
        match self {
            Self::Up(_) | Self::Serve(_) | Self::Bot(_) => "info",
            Self::Demo(_) => "warn",
            _ => "off",
        }
    }
}

/// Where NATS is.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Paths")]
pub(super) struct NatsArgs {
    /// The NATS server, or several separated by commas; user and password may stand in it
    #[arg(
        long,
        env = "ROSEY_NATS_URL",
        default_value = "nats://127.0.0.1:4222",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(super) nats_url: String,
    /// A NATS credentials file
    #[arg(long, env = "ROSEY_NATS_CREDENTIALS", value_name = "FILE")]
    pub(super) nats_credentials: Option<PathBuf>,
    /// What the subjects begin with on which this program is answered over NATS; `_INBOX` if nothing is said. The
    /// service must be told to answer there
    #[arg(long, env = "ROSEY_NATS_INBOX_PREFIX", value_name = "SUBJECT")]
    pub(super) nats_inbox_prefix: Option<String>,
    /// How long it may take to recognise the service on NATS before the other path serves, in milliseconds
    #[arg(long, env = "ROSEY_RECOGNITION_TIMEOUT_MS", default_value = "2000", value_name = "MS", value_parser = millis)]
    pub(super) recognition_timeout_ms: Duration,
}

/// Where the database is.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Paths")]
pub(super) struct DatabaseArgs {
    /// The database: sqlite://FILE. Defaults to sqlite://rosey.db for serve, up, dead and verify; other commands discover
    /// the database from the service
    #[arg(long, env = "ROSEY_DATABASE_URL", value_name = "URL")]
    pub(super) database_url: Option<String>,
    /// How durable a commit is: `normal` survives the end of the process, `full` a power cut
    #[arg(long, env = "ROSEY_SYNCHRONOUS", default_value = "normal", value_name = "LEVEL")]
    pub(super) synchronous: SynchronousArg,
    /// How far in the future something may claim to have happened, in milliseconds; what claims more is refused, on every
    /// path. One value for bot and service
    #[arg(long, env = "ROSEY_FUTURE_TOLERANCE_MS", default_value = "300000", value_name = "MS", value_parser = millis)]
    pub(super) future_tolerance_ms: Duration,
    /// How many days ago something may claim to have happened; what claims more is refused, on every path. One value for bot
    /// and service. Ten years, so that a history can be read in; a year is enough for a bot that follows a chat
    #[arg(long, env = "ROSEY_PAST_TOLERANCE_DAYS", default_value = "3650", value_name = "DAYS", value_parser = days)]
    pub(super) past_tolerance_days: Duration,
    /// Who may read and write the files that are created: database, outbox, their locks, report and timeline. Octal, as of
    /// chmod: 0600 is their owner alone. What is there already keeps its mode
    #[arg(long, env = "ROSEY_FILE_MODE", default_value = "0600", value_name = "MODE", value_parser = file_mode)]
    pub(super) file_mode: u32,
    /// Whether a missing database is an error.
    #[arg(skip)]
    pub(super) existing: bool,
    /// Retention periods, for a command that runs for long.
    #[arg(skip)]
    pub(super) retention: Option<Retention>,
    /// Whether the clock is right, by an operator's word.
    #[arg(skip)]
    pub(super) trust_clock: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SynchronousArg {
    Normal,
    Full,
}

impl DatabaseArgs {
    /// The same for a question: it creates no database.
    pub(super) fn asking(mut self) -> Self {
        self.existing = true;
        self
    }
}

impl PathArgs {
    /// The same for a question: it creates no database.
    pub(super) fn asking(self) -> Self {
        Self { database: self.database.asking(), ..self }
    }
}

/// The paths of a client.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Paths")]
pub(super) struct PathArgs {
    #[command(flatten)]
    pub(super) nats: NatsArgs,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    /// Use the database alone
    #[arg(long, env = "ROSEY_NO_NATS", value_parser = crate::cli::args::yes_or_no, action = ArgAction::SetTrue)]
    pub(super) no_nats: bool,
    /// How long an operation may take over NATS before it is tried on the database, in milliseconds
    #[arg(long, env = "ROSEY_NATS_TIMEOUT_MS", default_value = "2000", value_name = "MS", value_parser = millis)]
    pub(super) nats_timeout_ms: Duration,
    /// How long an operation may take on the database, in milliseconds
    #[arg(long, env = "ROSEY_DB_TIMEOUT_MS", default_value = "5000", value_name = "MS", value_parser = millis)]
    pub(super) db_timeout_ms: Duration,
    /// Which path queries take first.
    #[arg(skip)]
    pub(super) queries: Queries,
}

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) nats: NatsArgs,
    #[command(flatten)]
    pub(super) database: DatabaseArgs,
    #[command(flatten)]
    pub(super) keep: KeepArgs,
    #[command(flatten)]
    pub(super) service: ServiceArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum QueriesArg {
    Nats,
    Db,
}

impl From<QueriesArg> for Queries {
    fn from(queries: QueriesArg) -> Self {
        match queries {
            QueriesArg::Nats => Self::Nats,
            QueriesArg::Db => Self::Db,
        }
    }
}

/// The bot's own.
#[derive(Clone, Debug, Args)]
pub(super) struct ChatArgs {
    /// Where the chat is: jsonl:FILE or jsonl:- (stdin), one event a line. After a `?`, joined by `&`: shift=now (the
    /// recording ends now), speed=max or speed=N (N times its own pace)
    #[arg(long, env = "ROSEY_CHAT", value_name = "SOURCE")]
    pub(super) chat: String,
    /// The bot's name in the channel
    #[arg(long, env = "ROSEY_NAME", default_value = "Rosey", value_name = "NAME")]
    pub(super) name: String,
    /// The channel's name
    #[arg(long, env = "ROSEY_CHANNEL", value_name = "NAME")]
    pub(super) channel: Option<String>,
    /// Which path queries take first: NATS, or the database itself, where that lies beside the bot. The other one serves
    /// when it fails. Everything else goes over NATS first
    #[arg(long, env = "ROSEY_QUERIES", default_value = "nats", value_name = "PATH")]
    pub(super) queries: QueriesArg,
    /// How many events may be handled at once
    #[arg(long, env = "ROSEY_CONCURRENCY", default_value = "256", value_name = "N")]
    pub(super) concurrency: usize,
    /// Write what was done, by operation and path, to this file as JSON when the bot ends
    #[arg(long, env = "ROSEY_REPORT", value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
    /// Write what was served over which path to this file, a line of JSON for each stretch of time: how an outage looked
    #[arg(long, env = "ROSEY_TIMELINE", value_name = "FILE")]
    pub(super) timeline: Option<PathBuf>,
    /// How long a stretch is, in milliseconds
    #[arg(long, env = "ROSEY_TIMELINE_MS", default_value = "1000", value_name = "MS", value_parser = millis)]
    pub(super) timeline_ms: Duration,
}

#[derive(Debug, Args)]
pub(super) struct BotArgs {
    #[command(flatten)]
    pub(super) chat: ChatArgs,
    #[command(flatten)]
    pub(super) paths: PathArgs,
    #[command(flatten)]
    pub(super) keep: KeepArgs,
    #[command(flatten)]
    pub(super) outbox: OutboxArgs,
}

#[derive(Debug, Args)]
pub(super) struct UpArgs {
    #[command(flatten)]
    pub(super) chat: ChatArgs,
    #[command(flatten)]
    pub(super) paths: PathArgs,
    #[command(flatten)]
    pub(super) keep: KeepArgs,
    #[command(flatten)]
    pub(super) service: ServiceArgs,
    #[command(flatten)]
    pub(super) outbox: OutboxArgs,
}

#[derive(Debug, Args)]
pub(super) struct SendArgs {
    /// The operation's name, as in the list below
    #[arg(value_name = "OP")]
    pub(super) operation: String,
    /// Its payload, a JSON object; `-` reads it from stdin
    #[arg(value_name = "JSON", default_value = "{}")]
    pub(super) payload: String,
    /// Its id, to repeat an operation; a fresh one if nothing is said
    #[arg(long, value_name = "ID")]
    pub(super) id: Option<String>,
    /// When it happened, in unix milliseconds; the payload's `timestamp`, or now, if nothing is said
    #[arg(long, value_name = "MS")]
    pub(super) at: Option<i64>,
    #[command(flatten)]
    pub(super) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(super) struct StatsArgs {
    /// Of whom; the channel if nobody is named
    pub(super) user: Option<String>,
    #[command(flatten)]
    pub(super) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(super) struct RecentArgs {
    /// How many lines
    #[arg(short = 'n', long, default_value = "20", value_name = "N")]
    pub(super) lines: u32,
    #[command(flatten)]
    pub(super) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(super) struct TellArgs {
    /// To everybody in the channel, instead of one user
    #[arg(long)]
    pub(super) channel: bool,
    /// For whom (not with --channel), and the message
    #[arg(required = true, value_name = "[USER] TEXT", num_args = 1..=2)]
    pub(super) words: Vec<String>,
    #[command(flatten)]
    pub(super) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// The command whose options are printed, with options of its own to try; `serve` if none is named
    #[arg(value_name = "COMMAND", num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) words: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// The nats-server to start; else NATS_SERVER_BIN, else the one in PATH
    #[arg(long, env = "NATS_SERVER_BIN", value_name = "PATH")]
    pub(super) nats_server: Option<PathBuf>,
    /// Without NATS: the same session on the database alone, which is locked for a while
    #[arg(long)]
    pub(super) no_nats: bool,
    /// The recording four times as fast, some 15 s in all
    #[arg(long)]
    pub(super) fast: bool,
    /// The recording to play, one event a line [default: the one within this program]
    #[arg(long, value_name = "FILE")]
    pub(super) session: Option<PathBuf>,
    /// Keep the database, the logs and the bot's timeline in this directory; else they stay only if something went wrong
    #[arg(long, value_name = "DIR")]
    pub(super) keep: Option<PathBuf>,
}

/// A mode as chmod takes it. The owner must be able to read and write.
pub(super) fn file_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text.trim_start_matches("0o"), 8) {
        Ok(mode) if mode <= 0o666 && mode & 0o111 == 0 && mode & 0o600 == 0o600 => Ok(mode),
        _ => {
            Err("an octal mode for files that their owner reads and writes, such as 0600 or 0660".to_owned())
        }
    }
}

pub(super) fn millis(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(0) | Err(_) => Err("a whole number of milliseconds, at least 1".to_owned()),
        Ok(millis) => Ok(Duration::from_millis(millis)),
    }
}

/// Reads a number of days.
pub(super) fn days(text: &str) -> Result<Duration, String> {
    match text.parse::<u64>().ok().filter(|days| (1..=100_000).contains(days)) {
        Some(days) => Ok(Duration::from_secs(days * 86_400)),
        None => Err("a whole number of days, from 1 to 100000".to_owned()),
    }
}

/// Reads a word that switches something on or off.
pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" | "y" | "t" => Ok(true),
        "0" | "false" | "no" | "off" | "n" | "f" | "" => Ok(false),
        _ => Err("yes or no (also true, false, on, off, 1, 0)".to_owned()),
    }
}
