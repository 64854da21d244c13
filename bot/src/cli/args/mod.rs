//! The options of all commands. Every option is also an environment variable and a line of the configuration file.

mod long;
mod paths;
mod short;
mod values;

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

pub(super) use long::{BotArgs, ChatArgs, ServeArgs, ServiceArgs, UpArgs};
pub(super) use paths::{DatabaseArgs, NatsArgs, PathArgs, StoreArgs};
pub(super) use short::{
    BackupArgs, ConfigArgs, DemoArgs, DoctorArgs, ForgetArgs, InboxArgs, LeaderboardArgs, QuoteArgs,
    RecentArgs, RestoreArgs, SeenArgs, SendArgs, StatsArgs, TellArgs, TopArgs,
};
pub(super) use values::{HedgeAfter, count, filter, millis, millis_or_off, one_of, synchronous, yes_or_no};

/// What every command understands.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
pub(super) struct Global {
    /// What is logged to stderr: off, error, warn, info, debug (every operation with the path that served it), trace,
    /// or a filter such as `eitherway=debug,rosey=info` [default: info for up, serve and bot; warn for demo; else off]
    #[arg(long, global = true, env = "ROSEY_LOG", value_name = "LEVEL", value_parser = values::level)]
    pub(super) log: Option<String>,
    /// How the log is written [default: text; json with --json, except for demo]
    #[arg(long, global = true, env = "ROSEY_LOG_FORMAT", value_name = "FORMAT")]
    pub(super) log_format: Option<LogFormat>,
    /// Log to this file instead of stderr; an ordinary file, created with mode 0600, reopened on SIGHUP
    #[arg(long, global = true, env = "ROSEY_LOG_FILE", value_name = "FILE")]
    pub(super) log_file: Option<PathBuf>,
    /// Print results and failures as JSON; help and version stay text
    #[arg(long, global = true, env = "ROSEY_JSON", value_parser = yes_or_no, action = ArgAction::SetTrue)]
    pub(super) json: bool,
    /// The configuration file [default: rosey.toml in this directory, if it exists]
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
