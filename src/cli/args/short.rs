//! The options of the commands that do one thing and end.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::paths::PathArgs;

#[derive(Debug, Args)]
pub(in crate::cli) struct SendArgs {
    /// The operation's name, as in the list below
    #[arg(value_name = "OP")]
    pub(in crate::cli) operation: String,
    /// Its payload, a JSON object; `-` reads it from stdin
    #[arg(value_name = "JSON", default_value = "{}")]
    pub(in crate::cli) payload: String,
    /// Its id, to repeat an operation; a fresh one if nothing is said
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) id: Option<String>,
    /// When it happened, in unix milliseconds; the payload's `timestamp`, or now, if nothing is said
    #[arg(long, value_name = "MS")]
    pub(in crate::cli) at: Option<i64>,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct StatsArgs {
    /// Of whom; the channel if nobody is named
    pub(in crate::cli) user: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RecentArgs {
    /// How many lines
    #[arg(short = 'n', long, default_value = "20", value_name = "N")]
    pub(in crate::cli) lines: u32,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TellArgs {
    /// To everybody in the channel, instead of one user
    #[arg(long)]
    pub(in crate::cli) channel: bool,
    /// For whom (not with --channel), and the message
    #[arg(required = true, value_name = "[USER] TEXT", num_args = 1..=2)]
    pub(in crate::cli) words: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ConfigArgs {
    /// The command whose options are printed, with options of its own to try; `serve` if none is named
    #[arg(value_name = "COMMAND", num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub(in crate::cli) words: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DemoArgs {
    /// The nats-server to start; else NATS_SERVER_BIN, else the one in PATH
    #[arg(long, env = "NATS_SERVER_BIN", value_name = "PATH")]
    pub(in crate::cli) nats_server: Option<PathBuf>,
    /// Without NATS: the same session on the database alone, which is locked for a while
    #[arg(long)]
    pub(in crate::cli) no_nats: bool,
    /// The recording four times as fast, some 15 s in all
    #[arg(long)]
    pub(in crate::cli) fast: bool,
    /// The recording to play, one event a line [default: the one within this program]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) session: Option<PathBuf>,
    /// Keep the database, the logs and the bot's timeline in this directory; else they stay only if something went wrong
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) keep: Option<PathBuf>,
}
