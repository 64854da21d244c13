//! The command line: its commands, and the help of each.

use clap::{CommandFactory, Parser, Subcommand};

use super::args::{
    BackupArgs, BotArgs, ConfigArgs, DemoArgs, DoctorArgs, ForgetArgs, Global, InboxArgs, LeaderboardArgs,
    NatsArgs, QuoteArgs, RecentArgs, RestoreArgs, SeenArgs, SendArgs, ServeArgs, StatsArgs, StoreArgs,
    TellArgs, TopArgs, UpArgs,
};
use super::dead::DeadArgs;
use super::outbox::OutboxCommand;
use super::send::operations_help;
use super::traces::TraceArgs;

const ABOUT: &str = "A chat bot's memory: every operation goes over NATS, falls back to the database, and takes \
                     effect exactly once.";

const AFTER: &str = "\
Start here:
  rosey up --chat jsonl:-          bot and database in one process; uses NATS if it answers
  rosey serve                      the database service, on nats://127.0.0.1:4222 and rosey.db
  rosey send user_joined '{\"username\":\"alice\"}'      one operation, e.g. to try a service
  rosey stats                      what the database knows of the channel

Configuration; the first of these that is set wins:
  1. the option                    --nats-url nats://host
  2. its environment variable      ROSEY_NATS_URL=nats://host
  3. NATS_URL, DATABASE_URL, or for traces OTEL_…
  4. a line of the file            nats-url = \"nats://host\"
  5. the default
The file is the one that --config names, else ./rosey.toml if it exists. Lines in a table
[bot] are for `rosey bot` alone. A blank variable or line counts as unset. `rosey config`
prints the values in force and where each came from, or everything that is wrong.

Output: results on stdout; everything else on stderr. With --json a failure is the last
line of stderr, one object {error, class, code, exit}; `up`, `serve` and `bot` end with a
line of JSON there (stdout is the chat's).

Signals: SIGINT and SIGTERM drain and end; a second one ends at once. SIGHUP makes `up`,
`serve` and `bot` reload the configuration (log and log-file take effect at once) and
reopen the log file; it ends every other command, as usual.

Exit codes:
  0 done
  1 the outcome is bad: `verify` found something, the bot or the service lost something
  2 usage or configuration
  3 the operation was refused
  4 no path could serve it: no server, or a database that cannot be opened now or lacks something
  5 the service must not start here: the database is a newer program's, or another one is served";

const SERVE: &str = "\
Examples:
  rosey serve                                      nats://127.0.0.1:4222 and ./rosey.db
  rosey serve --nats-url tls://user:password@host --database-url sqlite:///var/lib/rosey/rosey.db
  rosey serve --keep chat=150h,history=30d         what is removed when it is old
  rosey serve --namespaces-dir /var/lib/rosey      every NAME.db there is a namespace
  rosey serve --namespaces-url postgres://db/rosey every schema rosey_NAME there is one
  rosey config serve                               what is in force, without starting it

The database is created if it does not exist. Several services may share one database. Ctrl-C
finishes the requests in flight and ends; a second Ctrl-C ends at once.";

const FORGET: &str = "\
Examples:
  rosey forget alice                               asks before it does it
  rosey forget alice --yes                         without asking

What goes, what stays without a name, and for how long: docs/database.md, \"Forgetting a person\".
Backups, log files, dead letters and what waits in an outbox or a stream are not searched: what is
applied later from there is kept out, and dead letters are looked at with `rosey dead list`.";

const BACKUP: &str = "\
Examples:
  rosey backup /backup/rosey-monday.db             of ./rosey.db
  rosey backup new.db --database-url sqlite:///var/lib/rosey/rosey.db
  rosey verify --database-url sqlite:///backup/rosey-monday.db     look at it again later

The copy is the state of one moment; services and bots go on writing. It needs as much room as the
database. FILE appears under its name once it is whole, verified, and on the disk; a file that is
there is not overwritten. The outbox of a bot is a file of its own, and not part of it.
For PostgreSQL use pg_dump.";

const RESTORE: &str = "\
Examples:
  rosey restore /backup/rosey-monday.db            becomes ./rosey.db
  rosey restore rosey.db.before-20261128T173000.123Z     take a restore back

1. Stop the service, and the bots that use the file directly.
2. rosey restore FILE. It is verified first. The file that stood there is kept beside the new one.
3. What NATS' stream still holds is applied by the service as soon as it starts. What it had applied
   after the backup stands in the kept file alone; the command says how much that is.
4. The stream remembers for two minutes what was published to it, and answers the same again without
   storing it. So let two minutes pass after the last event before a bot with an outbox, or one that
   reads its chat's history again, is started. Each event takes effect once, from wherever it is offered again.
5. Start the service, then the bots.";

const DOCTOR: &str = "\
Examples:
  rosey doctor                                     with the options of ./rosey.toml and the environment
  rosey doctor --nats-url tls://service:PW@host    as the user of the service
  rosey doctor --no-nats --database-url postgres://rosey@db/rosey
  rosey doctor --json | jq '.findings[] | select(.state != \"ok\")'

Run it as the user, in the directory and with the configuration of the process that is to run. Each
permission is tried by itself: what a service listens to is listened to for a moment, what a bot asks
is asked in a way that changes nothing. A line with FAIL has to be put right; one with WARN concerns
some processes, or will be a trouble one day. A running service tells more: --listen, /readyz.";

const DEAD: &str = "\
Examples:
  rosey dead list                                  the newest ones, with the reason of each
  rosey dead show 7                                headers and payload of number 7
  rosey dead retry 7 8                             apply them again: each takes effect at most once
  rosey dead drop 7                                remove number 7 permanently
  rosey dead drop --all --yes                      remove all without asking

Works on the database file, also while a service runs on it.";

const TOP: &str = "\
Examples:
  rosey top                                        of the process that listens on 127.0.0.1:7677
  rosey top --connect unix:/run/rosey/serve.sock
  rosey top --once || mail -s 'rosey is not well' operator     exit 1 if it cannot do its work, 4 if it does not answer

The same stands on the page, which a browser finds at the address of --listen. q ends.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "rosey", version, about = ABOUT, after_help = AFTER, propagate_version = true, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the bot and the database service in one process, with one writer
    Up(UpArgs),
    /// Run the database service: it takes operations from NATS, applies each once, and answers after the commit
    #[command(after_help = SERVE)]
    Serve(ServeArgs),
    /// Run the bot: events of a chat in, operations out
    Bot(BotArgs),
    /// Send one operation through the stack; print the answer, the path that served it, and the time it took
    #[command(after_help = operations_help())]
    Send(SendArgs),
    /// Show what is known of the channel, or of a user
    Stats(StatsArgs),
    /// Show the newest lines of the channel
    Recent(RecentArgs),
    /// Show when a user was here last, and spoke last
    Seen(SeenArgs),
    /// Show the ten who have said most
    Leaderboard(LeaderboardArgs),
    /// Show a quote, or keep one
    Quote(QuoteArgs),
    /// Show the messages between users of the channel that are not delivered yet
    Inbox(InboxArgs),
    /// Leave a message for a user, delivered at the next join; or for the whole channel
    Tell(TellArgs),
    /// Forget a user: lines, times, counts, messages and quotes from before now, for good
    #[command(after_help = FORGET)]
    Forget(ForgetArgs),
    /// List, replay or drop events that wait in the outbox for a path to return, and events that were refused
    Outbox(OutboxCommand),
    /// Recompute everything that is derived from baseline and events, and report differences; exit 1 if there are any.
    /// Only reads; safe while a service is running
    Verify(StoreArgs),
    /// Write a copy of the database to a new file, also while a service runs on it, and verify the copy
    #[command(after_help = BACKUP)]
    Backup(BackupArgs),
    /// Put a backup in the place of the database, which no program may have open. The file that stood there is kept
    #[command(after_help = RESTORE)]
    Restore(RestoreArgs),
    /// List, apply again or drop dead letters: messages that could not be understood or applied
    #[command(after_help = DEAD)]
    Dead(DeadArgs),
    /// Show in a terminal how a process is that runs with --listen: whether it is well, what is wrong and what to do, its paths
    /// and numbers
    #[command(after_help = TOP)]
    Top(TopArgs),
    /// Play a whole session on real processes while one thing after another breaks; end with a table and a verdict
    Demo(DemoArgs),
    /// Look at everything that bot and service need (NATS, its permissions and limits, the database, files, disk, clock),
    /// change nothing, and say what to do; exit 1 if something does not work
    #[command(after_help = DOCTOR)]
    Doctor(DoctorArgs),
    /// Print the options in force and where each came from, with secrets hidden
    Config(ConfigArgs),
    /// Print the AsyncAPI document of the subjects: every operation with its payload, its answer and its refusals
    Asyncapi {
        /// The namespace in front of the subjects
        #[arg(long, env = "ROSEY_NAMESPACE", value_name = "NAME")]
        namespace: Option<eitherway::Namespace>,
    },
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
    /// The same with its database in its namespace. `serve` has perhaps several.
    pub(super) fn in_its_namespace(mut self) -> Self {
        let (database, namespace) = match &mut self {
            Self::Up(args) => (&mut args.paths.database, &args.paths.namespace),
            Self::Bot(args) => (&mut args.paths.database, &args.paths.namespace),
            Self::Send(args) => (&mut args.paths.database, &args.paths.namespace),
            Self::Stats(args) => (&mut args.paths.database, &args.paths.namespace),
            Self::Recent(args) => (&mut args.paths.database, &args.paths.namespace),
            Self::Seen(args) => (&mut args.paths.database, &args.paths.namespace),
            Self::Leaderboard(args) => (&mut args.paths.database, &args.paths.namespace),
            Self::Quote(args) => (&mut args.paths.database, &args.paths.namespace),
            Self::Inbox(args) => (&mut args.paths.database, &args.paths.namespace),
            Self::Tell(args) => (&mut args.paths.database, &args.paths.namespace),
            Self::Forget(args) => (&mut args.paths.database, &args.paths.namespace),
            Self::Outbox(args) => (&mut args.paths.database, &args.paths.namespace),
            Self::Verify(args) => (&mut args.database, &args.namespace),
            Self::Dead(args) => (&mut args.store.database, &args.store.namespace),
            Self::Doctor(args) => (&mut args.store.database, &args.store.namespace),
            Self::Backup(args) => (&mut args.store.database, &args.store.namespace),
            Self::Restore(args) => (&mut args.store.database, &args.store.namespace),
            Self::Serve(_)
            | Self::Top(_)
            | Self::Demo(_)
            | Self::Config(_)
            | Self::Asyncapi { .. }
            | Self::Completions { .. } => {
                return self;
            }
        };
        database.namespace = namespace.clone().unwrap_or_default();
        self
    }

    /// Where the traces of a command that runs for long go, and what it is called in them.
    pub(super) fn traces(&self) -> Option<(&TraceArgs, &'static str)> {
        match self {
            Self::Up(args) => Some((&args.traces, "rosey-up")),
            Self::Serve(args) => Some((&args.traces, "rosey-serve")),
            Self::Bot(args) => Some((&args.traces, "rosey-bot")),
            _ => None,
        }
    }

    /// The connection to NATS of a command that runs for long.
    pub(super) const fn lasting_nats(&self) -> Option<&NatsArgs> {
        match self {
            Self::Up(args) => Some(&args.paths.nats),
            Self::Bot(args) => Some(&args.paths.nats),
            Self::Serve(args) => Some(&args.nats),
            _ => None,
        }
    }

    /// The default log level: commands that run for long log what they do.
    pub(super) fn log(&self) -> &'static str {
        usual_log(match self {
            Self::Up(_) => "up",
            Self::Serve(_) => "serve",
            Self::Bot(_) => "bot",
            Self::Demo(_) => "demo",
            _ => "",
        })
    }
}

/// What the command of this name logs by default.
pub(super) fn usual_log(command: &str) -> &'static str {
    match command {
        "up" | "serve" | "bot" => "info",
        "demo" => "warn",
        _ => "off",
    }
}
