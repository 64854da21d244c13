//! Where NATS and the database are, and how long they may take.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use super::super::addresses::{database_url, inbox_prefix, nats_url};
use super::values::{HedgeAfter, days, file_mode, hedge_after, millis, synchronous, yes_or_no};
use eitherway::Namespace;
use eitherway::sql::{Retention, Synchronous};
use eitherway::stack::Queries;

/// Where NATS is.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Paths")]
pub(in crate::cli) struct NatsArgs {
    /// The NATS server, or the servers of a cluster, separated by commas: nats://HOST:PORT or tls://USER:PASSWORD@HOST:PORT. One that
    /// answers is enough; when it is lost, the next one is used
    #[arg(
        long,
        env = "ROSEY_NATS_URL",
        default_value = "nats://127.0.0.1:4222",
        value_name = "URL",
        hide_env_values = true,
        value_parser = nats_url
    )]
    pub(in crate::cli) nats_url: String,
    /// Use only the servers that --nats-url names, and not those that a cluster tells of as well: where their own addresses
    /// cannot be reached, as behind a proxy
    #[arg(long, env = "ROSEY_NATS_LISTED_ONLY", value_parser = yes_or_no, action = ArgAction::SetTrue)]
    pub(in crate::cli) nats_listed_only: bool,
    /// A NATS credentials file
    #[arg(long, env = "ROSEY_NATS_CREDENTIALS", value_name = "FILE")]
    pub(in crate::cli) nats_credentials: Option<PathBuf>,
    /// A file with the seed of this user's nkey, SU…, in place of credentials
    #[arg(long, env = "ROSEY_NATS_NKEY", value_name = "FILE")]
    pub(in crate::cli) nats_nkey: Option<PathBuf>,
    /// A PEM file with the certificates by which the NATS server is trusted [default: those of the system]. This option and
    /// the next two want an encrypted connection, also to nats://
    #[arg(long, env = "ROSEY_NATS_CA", value_name = "FILE")]
    pub(in crate::cli) nats_ca: Option<PathBuf>,
    /// A PEM file with the certificate that this program shows to the NATS server
    #[arg(long, env = "ROSEY_NATS_CERTIFICATE", value_name = "FILE")]
    pub(in crate::cli) nats_certificate: Option<PathBuf>,
    /// A PEM file with the key of --nats-certificate [default: the same file]
    #[arg(long, env = "ROSEY_NATS_KEY", value_name = "FILE")]
    pub(in crate::cli) nats_key: Option<PathBuf>,
    /// What the subjects begin with on which this program is answered over NATS [default: _INBOX]. The service must be
    /// allowed to answer there: see --reply-prefix of `serve`
    #[arg(long, env = "ROSEY_NATS_INBOX_PREFIX", value_name = "SUBJECT", value_parser = inbox_prefix)]
    pub(in crate::cli) nats_inbox_prefix: Option<String>,
    /// How long it may take to recognise the service on NATS before the other path serves, in milliseconds
    #[arg(long, env = "ROSEY_RECOGNITION_TIMEOUT_MS", default_value = "2000", value_name = "MS", value_parser = millis)]
    pub(in crate::cli) recognition_timeout_ms: Duration,
}

/// Where the database is.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Paths")]
pub(in crate::cli) struct DatabaseArgs {
    /// The database: sqlite://FILE, the path of a file, or postgres://HOST/DATABASE. Defaults to sqlite://rosey.db for serve,
    /// up, dead, verify, backup and restore; other commands discover the database from the service
    #[arg(long, env = "ROSEY_DATABASE_URL", value_name = "URL", value_parser = database_url)]
    pub(in crate::cli) database_url: Option<String>,
    /// A file that holds the password for a database on PostgreSQL [default: what PGPASSFILE or ~/.pgpass has]
    #[arg(long, env = "ROSEY_DATABASE_PASSWORD_FILE", value_name = "FILE")]
    pub(in crate::cli) database_password_file: Option<PathBuf>,
    /// How durable a commit is: `normal` survives the end of the process, `full` a power cut
    #[arg(long, env = "ROSEY_SYNCHRONOUS", default_value = "normal", value_name = "LEVEL", value_parser = synchronous())]
    pub(in crate::cli) synchronous: Synchronous,
    /// How far in the future an event's time may be, in milliseconds; later ones are refused, on every path. Use one value
    /// for bot and service
    #[arg(long, env = "ROSEY_FUTURE_TOLERANCE_MS", default_value = "300000", value_name = "MS", value_parser = millis)]
    pub(in crate::cli) future_tolerance_ms: Duration,
    /// How many days ago an event's time may be; earlier ones are refused, on every path. Use one value for bot and
    /// service. A year is enough for a bot that follows a chat; the default lets a history be imported
    #[arg(long, env = "ROSEY_PAST_TOLERANCE_DAYS", default_value = "3650", value_name = "DAYS", value_parser = days)]
    pub(in crate::cli) past_tolerance_days: Duration,
    /// Mode of the files that are created (database, outbox, their locks, report and timeline), octal as for chmod: 0600
    /// is the owner alone. Files that exist keep their mode
    #[arg(long, env = "ROSEY_FILE_MODE", default_value = "0600", value_name = "MODE", value_parser = file_mode)]
    pub(in crate::cli) file_mode: u32,
    /// The one that is used if none is named, of a room with a name.
    #[arg(skip)]
    pub(in crate::cli) usual: Option<String>,
    /// Whether a missing database is an error.
    #[arg(skip)]
    pub(in crate::cli) existing: bool,
    /// The namespace, whose schema it is on PostgreSQL. A file is named for it.
    #[arg(skip)]
    pub(in crate::cli) namespace: Namespace,
    /// Retention periods, for a command that runs for long.
    #[arg(skip)]
    pub(in crate::cli) retention: Option<Retention>,
    /// Whether the clock is right, as the operator says.
    #[arg(skip)]
    pub(in crate::cli) trust_clock: bool,
}

impl DatabaseArgs {
    /// The same for a question: it creates no database.
    pub(in crate::cli) fn asking(mut self) -> Self {
        self.existing = true;
        self
    }
}

/// A database, for the commands that work on nothing else.
#[derive(Debug, Args)]
pub(in crate::cli) struct StoreArgs {
    #[command(flatten)]
    pub(in crate::cli) database: DatabaseArgs,
    /// The namespace whose database it is: on PostgreSQL each has a schema of its own [default: none]
    #[arg(long, env = "ROSEY_NAMESPACE", value_name = "NAME", help_heading = "Paths")]
    pub(in crate::cli) namespace: Option<Namespace>,
}

impl PathArgs {
    /// The same for a question: it creates no database.
    pub(in crate::cli) fn asking(self) -> Self {
        Self { database: self.database.asking(), ..self }
    }
}

/// The paths of a client.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Paths")]
pub(in crate::cli) struct PathArgs {
    #[command(flatten)]
    pub(in crate::cli) nats: NatsArgs,
    #[command(flatten)]
    pub(in crate::cli) database: DatabaseArgs,
    /// The namespace on NATS: what stands in front of service, subjects and stream, so that one account holds several.
    /// Client and service name the same one, and each has a database of its own: on PostgreSQL by itself, as a schema;
    /// a file is named for each [default: none]
    #[arg(long, env = "ROSEY_NAMESPACE", value_name = "NAME")]
    pub(in crate::cli) namespace: Option<Namespace>,
    /// Do not use NATS: every operation goes to the database itself
    #[arg(long, env = "ROSEY_NO_NATS", value_parser = yes_or_no, action = ArgAction::SetTrue)]
    pub(in crate::cli) no_nats: bool,
    /// How long an operation may take over NATS before it is tried on the database, in milliseconds
    #[arg(long, env = "ROSEY_NATS_TIMEOUT_MS", default_value = "2000", value_name = "MS", value_parser = millis)]
    pub(in crate::cli) nats_timeout_ms: Duration,
    /// How long an operation may take on the database, in milliseconds
    #[arg(long, env = "ROSEY_DB_TIMEOUT_MS", default_value = "5000", value_name = "MS", value_parser = millis)]
    pub(in crate::cli) db_timeout_ms: Duration,
    /// When an operation that NATS has not answered starts on the database as well, whichever is first: after MS
    /// milliseconds; `auto` for four times what NATS usually takes at most, from 15 to 60 ms; `off` for not before NATS has
    /// failed. The ledger applies it once. A longer time spares the database work while NATS is only slow
    #[arg(long, env = "ROSEY_HEDGE_AFTER", default_value = "auto", value_name = "MS", value_parser = hedge_after)]
    pub(in crate::cli) hedge_after: HedgeAfter,
    /// When an event that no path has taken starts in the outbox, if there is one.
    #[arg(skip)]
    pub(in crate::cli) outbox_after: Option<Duration>,
    /// Which path queries take first.
    #[arg(skip)]
    pub(in crate::cli) queries: Queries,
}
