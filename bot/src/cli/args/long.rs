//! The options of the commands that run until they are stopped: `up`, `serve` and `bot`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::{ArgAction, Args};

use super::super::addresses::{namespaces, reply_prefixes};
use super::super::listen::ListenArgs;
use super::super::namespaces::NamespacesArgs;
use super::super::outbox::OutboxArgs;
use super::super::retention::KeepArgs;
use super::super::rooms::{Chats, chats};
use super::super::traces::TraceArgs;
use super::paths::{DatabaseArgs, NatsArgs, PathArgs};
use super::values::{count, millis, one_of, replicas, yes_or_no};
use crate::bot::chat::Source;
use crate::bot::{Command, Commands, Language};
use eitherway::service::JetStream;
use eitherway::stack::Queries;

#[derive(Debug, Args)]
pub(in crate::cli) struct ServeArgs {
    #[command(flatten)]
    pub(in crate::cli) nats: NatsArgs,
    #[command(flatten)]
    pub(in crate::cli) database: DatabaseArgs,
    /// The namespace on NATS: what stands in front of service, subjects and stream, so that one account holds several
    /// [default: none]. Several are served with a database for each: the option several times, or NAME=DATABASE separated by
    /// commas. Each is opened when it is first asked for; one that cannot be served is tried again, and does not disturb the
    /// others
    #[arg(
        long,
        env = "ROSEY_NAMESPACE",
        value_name = "NAME[=DATABASE]",
        value_parser = namespaces,
        help_heading = "Paths"
    )]
    pub(in crate::cli) namespace: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) keep: KeepArgs,
    #[command(flatten)]
    pub(in crate::cli) service: ServiceArgs,
    #[command(flatten)]
    pub(in crate::cli) namespaces: NamespacesArgs,
    #[command(flatten)]
    pub(in crate::cli) listen: ListenArgs,
    #[command(flatten)]
    pub(in crate::cli) traces: TraceArgs,
}

/// The database service's own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Service")]
pub(in crate::cli) struct ServiceArgs {
    /// Take events from a JetStream stream: they are kept there while no service runs, and acknowledged when they are
    /// stored. `auto` does if the server has JetStream; `off` empties and deletes a stream of ours first
    #[arg(long, env = "ROSEY_JETSTREAM", default_value = "auto", value_name = "WHEN", value_parser = jetstream())]
    pub(in crate::cli) jetstream: JetStream,
    /// How large the stream may grow, in bytes; events that do not fit go to the database directly [default: no limit of
    /// our own]
    #[arg(long, env = "ROSEY_STREAM_MAX_BYTES", value_name = "BYTES", value_parser = clap::value_parser!(i64).range(1..))]
    pub(in crate::cli) stream_max_bytes: Option<i64>,
    /// On how many servers of a NATS cluster the stream is kept: with 3 it survives the loss of one, with 5 that of two. A
    /// stream that is there is changed to it [default: 1 for a new stream; one that is there stays as it is]
    #[arg(long, env = "ROSEY_STREAM_REPLICAS", value_name = "N", value_parser = replicas)]
    pub(in crate::cli) stream_replicas: Option<u8>,
    /// How long events wait that an instance took from the stream before it was killed, in milliseconds: then another
    /// instance gets them
    #[arg(long, env = "ROSEY_STREAM_ACK_WAIT_MS", default_value = "30000", value_name = "MS", value_parser = millis)]
    pub(in crate::cli) stream_ack_wait_ms: Duration,
    /// Answer to subjects below this, too: several separated by commas, or the option several times. Without it answers go
    /// to `_INBOX.>` alone. For clients whose inboxes have a name of their own; nothing but inboxes may lie there
    #[arg(long, env = "ROSEY_REPLY_PREFIX", value_name = "PREFIX", value_parser = reply_prefixes)]
    pub(in crate::cli) reply_prefix: Vec<String>,
    /// Let clients that have many operations on their way send them together, in one message: faster under load. A client
    /// that may publish to `rosey.db.batch` can then do every operation, also one whose own subject is denied to it
    #[arg(long, env = "ROSEY_BUNDLES", value_parser = yes_or_no, action = ArgAction::SetTrue)]
    pub(in crate::cli) bundles: bool,
    /// How many requests of one subject, and how many messages of the stream, are worked on at once; of each namespace,
    /// where there are several
    #[arg(long, env = "ROSEY_IN_FLIGHT", default_value = "1024", value_name = "N", value_parser = count)]
    pub(in crate::cli) in_flight: usize,
    /// How much memory the requests may need that wait or are worked on; what comes beyond is dropped and counted, and its
    /// clients take another path. Of each namespace, where there are several
    #[arg(long, env = "ROSEY_REQUESTS_MIB", default_value = "32", value_name = "MIB", value_parser = count)]
    pub(in crate::cli) requests_mib: usize,
    /// Start even if another kind of service answers on these subjects
    #[arg(long, env = "ROSEY_TAKEOVER", value_parser = yes_or_no, action = ArgAction::SetTrue)]
    pub(in crate::cli) takeover: bool,
}

fn jetstream() -> impl TypedValueParser<Value = JetStream> {
    one_of([("auto", JetStream::Auto), ("on", JetStream::On), ("off", JetStream::Off)])
}

fn queries() -> impl TypedValueParser<Value = Queries> {
    one_of([("nats", Queries::Nats), ("db", Queries::Db)])
}

fn language() -> impl TypedValueParser<Value = Language> {
    one_of([("en", Language::English), ("de", Language::German)])
}

/// The commands that were chosen; none, if they are switched off.
pub(in crate::cli) type Chosen = Arc<[Command]>;

fn commands(text: &str) -> Result<Chosen, String> {
    match text.trim() {
        "all" => Ok(Command::ALL.into()),
        "off" => Ok(Arc::new([])),
        list => list.split(',').map(|word| word.trim().parse()).collect(),
    }
}

/// What no line begins with by chance, and no network takes for its own.
fn prefix(text: &str) -> Result<String, String> {
    let fits = (1..=8).contains(&text.len()) && !text.contains(char::is_whitespace) && !text.starts_with('/');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("1 to 8 characters without a blank, and no `/` first".to_owned())
    }
}

impl ChatArgs {
    /// The commands that the bot takes in this chat, if it takes any.
    pub(in crate::cli) fn commands(&self, chat: &Source) -> Option<Commands> {
        let usual = || if chat.is_recording() { Arc::new([]) as Chosen } else { Command::ALL.into() };
        let chosen = self.commands.clone().unwrap_or_else(usual);
        let commands = Commands::default().prefix(&self.command_prefix).language(self.language);
        (!chosen.is_empty()).then(|| commands.only(chosen.iter().copied()))
    }
}

/// The bot's own.
#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct ChatArgs {
    /// Where the chat is: jsonl:FILE or jsonl:- (stdin), one event a line. After a `?`, joined by `&`: shift=now (the
    /// recording ends now), speed=max or speed=N (N times its own pace). Or irc://NICK@HOST:PORT/#CHANNEL or irc+tls://…: after a `?`
    /// sasl=FILE (the account's password), account=NAME, key=FILE (the channel's key), ca=FILE (who is trusted). Or
    /// cytube://NAME@HOST/CHANNEL: after a `?` login=FILE (the account's password), key=FILE (the channel's), ca=FILE.
    /// Or kryten://ROBOT@NATSHOST:PORT/CYTUBEHOST/CHANNEL: after a `?` credentials=FILE (for NATS), ca=FILE. Several
    /// rooms: the option several times, or separated by commas, each with a name of its own, NAME=SOURCE. That is its
    /// namespace, and in the place of their own its files have it: NAME.db beside the file of --database-url,
    /// NAME.outbox beside that of --outbox
    #[arg(long, env = "ROSEY_CHAT", value_name = "[NAME=]SOURCE", required = true, value_parser = chats)]
    pub(in crate::cli) chat: Vec<Chats>,
    /// The bot's name in the channel, unless --chat says it
    #[arg(long, env = "ROSEY_NAME", default_value = "Rosey", value_name = "NAME")]
    pub(in crate::cli) name: String,
    /// The channel's name, unless --chat says it
    #[arg(long, env = "ROSEY_CHANNEL", value_name = "NAME")]
    pub(in crate::cli) channel: Option<String>,
    /// Other bots may be in the channel, on the same database, each with a name of its own: one of them speaks and writes, and another
    /// one takes over when it goes
    #[arg(long, env = "ROSEY_SEVERAL_BOTS", value_parser = yes_or_no, action = ArgAction::SetTrue)]
    pub(in crate::cli) several_bots: bool,
    /// Which commands people may give in the channel, and in private: `all`, `off`, or some of help, seen, tell, inbox, stats, top,
    /// last, quote, separated by commas [default: all on a network, off for a recording]
    #[arg(long, env = "ROSEY_COMMANDS", value_name = "LIST", value_parser = commands)]
    pub(in crate::cli) commands: Option<Chosen>,
    /// What stands before a command
    #[arg(long, env = "ROSEY_COMMAND_PREFIX", default_value = "!", value_name = "TEXT", value_parser = prefix)]
    pub(in crate::cli) command_prefix: String,
    /// The language of the answers: en or de
    #[arg(long, env = "ROSEY_LANGUAGE", default_value = "en", value_name = "LANG", value_parser = language())]
    pub(in crate::cli) language: Language,
    /// The path that queries take first: NATS, or the database itself if it is on this machine. The other one serves when
    /// the first fails. Everything else goes over NATS first
    #[arg(long, env = "ROSEY_QUERIES", default_value = "nats", value_name = "PATH", value_parser = queries())]
    pub(in crate::cli) queries: Queries,
    /// How many events may be handled at once
    #[arg(long, env = "ROSEY_CONCURRENCY", default_value = "256", value_name = "N")]
    pub(in crate::cli) concurrency: usize,
    /// Write what was done, by operation and path, to this file as JSON when the bot ends
    #[arg(long, env = "ROSEY_REPORT", value_name = "FILE")]
    pub(in crate::cli) report: Option<PathBuf>,
    /// Write to this file how many operations each path served, a line of JSON for each stretch of time: shows an outage
    #[arg(long, env = "ROSEY_TIMELINE", value_name = "FILE")]
    pub(in crate::cli) timeline: Option<PathBuf>,
    /// The length of such a stretch of time, in milliseconds
    #[arg(long, env = "ROSEY_TIMELINE_MS", default_value = "1000", value_name = "MS", value_parser = millis)]
    pub(in crate::cli) timeline_ms: Duration,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct BotArgs {
    #[command(flatten)]
    pub(in crate::cli) chat: ChatArgs,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
    #[command(flatten)]
    pub(in crate::cli) keep: KeepArgs,
    #[command(flatten)]
    pub(in crate::cli) outbox: OutboxArgs,
    #[command(flatten)]
    pub(in crate::cli) listen: ListenArgs,
    #[command(flatten)]
    pub(in crate::cli) traces: TraceArgs,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct UpArgs {
    #[command(flatten)]
    pub(in crate::cli) chat: ChatArgs,
    #[command(flatten)]
    pub(in crate::cli) paths: PathArgs,
    #[command(flatten)]
    pub(in crate::cli) keep: KeepArgs,
    #[command(flatten)]
    pub(in crate::cli) service: ServiceArgs,
    #[command(flatten)]
    pub(in crate::cli) outbox: OutboxArgs,
    #[command(flatten)]
    pub(in crate::cli) listen: ListenArgs,
    #[command(flatten)]
    pub(in crate::cli) traces: TraceArgs,
}
