//! The options of the commands that do one thing and end.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::super::listen::{Address, parse_address};
use super::super::outbox::OutboxArgs;
use super::paths::{NatsArgs, PathArgs, StoreArgs};
use super::values::yes_or_no;

#[derive(Debug, Args)]
pub(in crate::cli) struct SendArgs {
    /// The operation's name, as in the list below
    #[arg(value_name = "OP")]
    pub(in crate::cli) operation: String,
    /// Its payload, a JSON object; `-` reads it from stdin
    #[arg(value_name = "JSON", default_value = "{}")]
    pub(in crate::cli) payload: String,
    /// Its id. The same id takes effect once, however often it is sent [default: a fresh one]
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) id: Option<String>,
    /// When it happened, in unix milliseconds [default: the payload's `timestamp`, else now]
    #[arg(long, value_name = "MS")]
    pub(in crate::cli) at: Option<i64>,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct StatsArgs {
    /// The user [default: the channel as a whole]
    pub(in crate::cli) user: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SeenArgs {
    /// The user
    pub(in crate::cli) user: String,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LeaderboardArgs {
    /// Only what was said in the last hours, of the lines that are kept
    #[arg(long, value_name = "HOURS")]
    pub(in crate::cli) hours: Option<u32>,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct InboxArgs {
    /// For whom the messages wait
    #[arg(required_unless_present = "from")]
    pub(in crate::cli) user: Option<String>,
    /// Who has left them
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) from: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct QuoteArgs {
    /// The number of the quote, or who said it [default: any of them]
    pub(in crate::cli) which: Option<String>,
    /// Keep this as a quote of the user
    #[arg(long, value_name = "TEXT", requires = "which")]
    pub(in crate::cli) add: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RecentArgs {
    /// The number of lines
    #[arg(short = 'n', long, default_value = "20", value_name = "N")]
    pub(in crate::cli) lines: u32,
    /// Only what this user said, of the newest 10 000 lines
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) user: Option<String>,
    /// Only lines with this text in them, letter by letter, of the newest 10 000 lines
    #[arg(long, value_name = "TEXT")]
    pub(in crate::cli) containing: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TellArgs {
    /// Say it in the channel, instead of to one user
    #[arg(long)]
    pub(in crate::cli) channel: bool,
    /// Who of the channel leaves it: the bot says so, and `!tell undo` of this user takes it back
    #[arg(long, value_name = "NAME", conflicts_with = "channel")]
    pub(in crate::cli) from: Option<String>,
    /// Say it to the user in the channel, instead of in private
    #[arg(long, requires = "from")]
    pub(in crate::cli) aloud: bool,
    /// The user (not with --channel), and the message
    #[arg(required = true, value_name = "[USER] TEXT", num_args = 1..=2)]
    pub(in crate::cli) words: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ForgetArgs {
    /// The user
    pub(in crate::cli) user: String,
    /// Without asking
    #[arg(long)]
    pub(in crate::cli) yes: bool,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BackupArgs {
    /// The file to write, which is not there yet
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub(in crate::cli) file: PathBuf,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    #[command(flatten)]
    pub(in crate::cli) nats: NatsArgs,
    /// Do not ask on NATS whether a service is running
    #[arg(long, env = "ROSEY_NO_NATS", value_parser = yes_or_no, action = ArgAction::SetTrue, help_heading = "Paths")]
    pub(in crate::cli) no_nats: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DoctorArgs {
    #[command(flatten)]
    pub(in crate::cli) nats: NatsArgs,
    #[command(flatten)]
    pub(in crate::cli) store: StoreArgs,
    /// Do not look at NATS
    #[arg(long, env = "ROSEY_NO_NATS", value_parser = yes_or_no, action = ArgAction::SetTrue, help_heading = "Paths")]
    pub(in crate::cli) no_nats: bool,
    /// How large the service lets the stream grow, in bytes: whether the account allows that is looked at
    #[arg(long, env = "ROSEY_STREAM_MAX_BYTES", value_name = "BYTES", value_parser = clap::value_parser!(i64).range(1..))]
    pub(in crate::cli) stream_max_bytes: Option<i64>,
    #[command(flatten)]
    pub(in crate::cli) outbox: OutboxArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ConfigArgs {
    /// The command whose options are printed, with options of its own to try; `serve` if none is named
    // Read from the words of the process: what is wrong with them is what it reports.
    #[arg(value_name = "COMMAND", num_args = 0.., trailing_var_arg = true, allow_hyphen_values = true)]
    _words: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct DemoArgs {
    /// The nats-server to start [default: the one in PATH]
    #[arg(long, env = "NATS_SERVER_BIN", value_name = "PATH")]
    pub(in crate::cli) nats_server: Option<PathBuf>,
    /// Play without NATS: the same session on the database alone, which is locked for a while
    #[arg(long)]
    pub(in crate::cli) no_nats: bool,
    /// Play on PostgreSQL instead of a SQLite file; its server is killed in the story
    #[arg(long)]
    pub(in crate::cli) postgres: bool,
    /// The directory of PostgreSQL's programs [default: those in PATH]
    #[arg(long, env = "POSTGRES_BIN", value_name = "DIR")]
    pub(in crate::cli) postgres_bin: Option<PathBuf>,
    /// Be in a channel of an IRC server on this machine, for you to join; if no one does within 20 s (with --fast: at once),
    /// guests play a scene
    #[arg(long, conflicts_with_all = ["postgres", "session"])]
    pub(in crate::cli) irc: bool,
    /// The ngircd to start [default: the one in PATH or /usr/sbin]
    #[arg(long, env = "NGIRCD_BIN", value_name = "PATH")]
    pub(in crate::cli) ngircd: Option<PathBuf>,
    /// Play it four times as fast, about 15 s in all
    #[arg(long)]
    pub(in crate::cli) fast: bool,
    /// The recording to play, one event a line [default: a session of three hours, made up the same way each time]
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) session: Option<PathBuf>,
    /// Keep the database, the logs and the bot's timeline in this directory; without it, they are kept only if something
    /// goes wrong
    #[arg(long, value_name = "DIR")]
    pub(in crate::cli) keep: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct TopArgs {
    /// Where the process listens: what its --listen says, such as 127.0.0.1:7677 or unix:/run/rosey/serve.sock
    #[arg(long, env = "ROSEY_CONNECT", default_value = "127.0.0.1:7677", value_name = "ADDR", value_parser = parse_address)]
    pub(in crate::cli) connect: Address,
    /// Print it once as plain text and end; exit 1 if the process cannot do its work
    #[arg(long, action = ArgAction::SetTrue)]
    pub(in crate::cli) once: bool,
}
