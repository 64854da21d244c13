//! A connection, with a limit of ours on everything that is waited for: a frozen server never gives an error.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Row};
use tokio::sync::watch;
use tokio::time;

use super::fault::Fault;
use super::options::PostgresOptions;
use super::servers::Lineage;
use crate::error::Cause;

/// How long closing may take.
pub(super) const CLOSING: Duration = Duration::from_secs(2);
/// For how long after a connection has failed none is tried: what waits in the queue does not wait for the same again.
const PAUSE: Duration = Duration::from_millis(100);

/// What a connection is told once: where its tables are, and limits a little below ours, so that the server's locks are free
/// when we give up. It returns whether the server only reads: a standby, or the primary of before.
const SETTINGS: &str = "
    SELECT set_config('search_path', $1, false), set_config('statement_timeout', $2, false),
           set_config('lock_timeout', $3, false), set_config('default_transaction_isolation', 'read committed', false),
           set_config('idle_in_transaction_session_timeout', $2, false),
           current_setting('transaction_read_only') = 'on' AS reads_only";

const ID: &str = "SELECT value::text FROM meta WHERE key = 'database_id'";

/// Which servers replicate each other; on which timeline this one writes; when it was started. Any role may ask.
const LINEAGE: &str = "
    SELECT system_identifier, CASE WHEN NOT pg_is_in_recovery() THEN pg_walfile_name(pg_current_wal_lsn()) END,
           pg_postmaster_start_time()::text
    FROM pg_control_system()";

/// How long a look at all servers may take, and how often it is taken.
const LOOKING: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TargetSession {
    /// Servers that only read are passed over.
    Writing,
    /// The server that takes writes if there is one, otherwise another one.
    Reading,
}

/// A connection, and the place of its server among those of the address.
pub(super) struct Connected {
    pub(super) connection: PgConnection,
    pub(super) server: usize,
    pub(super) since: Instant,
}

/// Connects, to the first server in turn that will do.
pub(super) async fn connect(options: &PostgresOptions, target: TargetSession) -> Result<Connected, Fault> {
    let servers = options.servers();
    if servers.is_due(Duration::MAX) {
        look_at_all(options).await;
    }
    let (mut spare, mut faults) = (None, Vec::with_capacity(servers.count()));
    for (place, server) in servers.each() {
        let connected = time::timeout(options.connect_timeout, connect_to(options, server)).await;
        let fault = match connected {
            Ok(Ok((connection, state))) => {
                let connected = Connected { connection, server: place, since: Instant::now() };
                match state {
                    State::Writes(lineage) => match servers.takes_writes(place, lineage) {
                        Ok(()) => return Ok(connected),
                        Err(fault) => fault,
                    },
                    State::Reads => {
                        spare = spare.or(Some(connected));
                        Fault::ReadOnly
                    }
                }
            }
            Ok(Err(e)) => Fault::NotConnected(e),
            Err(_) => Fault::NoConnection,
        };
        faults.push((servers.name(place), fault));
    }
    // One that takes no more connections may well take writes.
    let is_full = faults.iter().any(|(_, fault)| fault.is_of(&["53"]));
    if !is_full {
        servers.none_takes_writes();
    }
    match spare.filter(|_| target == TargetSession::Reading && !is_full) {
        Some(connected) => {
            servers.is_read(connected.server);
            Ok(connected)
        }
        None => Err(Fault::of_all(faults)),
    }
}

/// Looks which servers take writes: of two, the one of the later timeline counts.
async fn look_at_all(options: &PostgresOptions) {
    let servers = options.servers();
    let looks = servers.each().map(|(place, server)| async move {
        let limit = options.connect_timeout.min(LOOKING);
        let (connection, state) = time::timeout(limit, connect_to(options, server)).await.ok()?.ok()?;
        let _ = time::timeout(limit, connection.close()).await;
        match state {
            State::Writes(Some(lineage)) => Some((place, lineage)),
            _ => None,
        }
    });
    let all = join_all(looks).await;
    servers.take_writes(all.into_iter().flatten().collect());
}

/// What a server takes.
enum State {
    Reads,
    /// Writes too; with what it says of itself, if it does.
    Writes(Option<Lineage>),
}

/// Connects, and tells the new connection what it must know.
async fn connect_to(
    options: &PostgresOptions,
    server: &PgConnectOptions,
) -> Result<(PgConnection, State), sqlx::Error> {
    let ms = |time: Duration| time.as_millis().to_string();
    let mut connection = server.connect().await?;
    let settings = sqlx::query(SETTINGS)
        .bind(options.in_schema())
        .bind(ms(options.statement_timeout.mul_f32(0.9)))
        .bind(ms(options.lock_timeout));
    let row = settings.fetch_one(&mut connection).await?;
    let reads_only: bool = row.try_get("reads_only")?;
    if let Some(expected) = &options.expected {
        let found: Option<String> = sqlx::query_scalar(ID).fetch_optional(&mut connection).await?;
        if found.as_ref() != Some(expected) {
            let found = found.unwrap_or_else(|| "none".to_owned());
            let why = format!(
                "another database is at this address now ({found}, and {expected} was opened): nothing is written to it; put \
                 the right one back, or start again"
            );
            return Err(sqlx::Error::Configuration(why.into()));
        }
    }
    if reads_only {
        return Ok((connection, State::Reads));
    }
    let lineage = match sqlx::query_as(LINEAGE).fetch_one(&mut connection).await {
        Ok((system, segment, started)) => lineage(system, segment, started),
        // A service that is like PostgreSQL may not tell.
        Err(e) if e.as_database_error().is_some() => None,
        Err(e) => return Err(e),
    };
    Ok((connection, State::Writes(lineage)))
}

/// The name of a file of the write-ahead log begins with its timeline.
fn lineage(system: i64, segment: Option<String>, started: String) -> Option<Lineage> {
    let timeline = u32::from_str_radix(segment?.get(..8)?, 16).ok()?;
    Some(Lineage { system, timeline, started })
}

/// The writer's connection, which is made again after it was lost.
pub(super) struct Link {
    options: PostgresOptions,
    connection: Option<PgConnection>,
    /// The place of its server.
    server: usize,
    /// When connecting has failed, and why.
    failed: Option<(Instant, Cause)>,
    /// The same as a sentence, for health reports.
    trouble: watch::Sender<Option<String>>,
}

impl Link {
    pub(super) fn new(
        options: PostgresOptions,
        connected: Option<Connected>,
        trouble: watch::Sender<Option<String>>,
    ) -> Self {
        let (connection, server) = connected.map(|one| (one.connection, one.server)).unzip();
        Self { options, connection, server: server.unwrap_or_default(), failed: None, trouble }
    }

    /// Tries to connect, if connecting has failed: the server may be there again while no operation comes. And looks whether another
    /// server takes writes, on a later timeline.
    pub(super) async fn look(&mut self) {
        if self.failed.is_some() && self.connection.is_none() {
            self.connection = self.again().await.ok();
        }
        if self.options.servers().is_due(LOOK_EVERY) {
            let options = self.options.clone();
            tokio::spawn(async move { look_at_all(&options).await });
        }
    }

    /// The connection, taken out: dropping it in the middle of a statement ends the statement too.
    pub(super) async fn take(&mut self) -> Result<PgConnection, Fault> {
        match self.connection.take() {
            // Readers have found another server that takes writes: this one is the primary of before.
            Some(connection) if self.server == self.options.servers().primary() => Ok(connection),
            _ => self.again().await,
        }
    }

    /// Waits for an answer, within the limit for a statement.
    pub(super) async fn within<T>(
        &self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Fault> {
        match time::timeout(self.options.statement_timeout, answer).await {
            Ok(answer) => answer.map_err(|error| self.options.fault(error)),
            Err(_) => Err(Fault::Silent),
        }
    }

    /// Puts the connection back, unless it must not be used again after this.
    pub(super) fn keep<T>(&mut self, connection: PgConnection, done: Result<T, Fault>) -> Result<T, Fault> {
        if !done.as_ref().is_err_and(Fault::spoils) {
            self.connection = Some(connection);
        }
        done
    }

    async fn again(&mut self) -> Result<PgConnection, Fault> {
        if let Some((_, cause)) = self.failed.as_ref().filter(|(at, _)| at.elapsed() < PAUSE) {
            return Err(Fault::Before(cause.clone()));
        }
        match connect(&self.options, TargetSession::Writing).await {
            Ok(Connected { connection, server, .. }) => {
                self.server = server;
                if self.failed.take().is_some() {
                    tracing::info!("PostgreSQL serves again: {}", self.options.shown());
                    self.trouble.send_replace(None);
                }
                Ok(connection)
            }
            // It was reached in time, and may take writes a moment later.
            Err(Fault::ReadOnly) => Err(Fault::ReadOnly),
            Err(fault) => {
                let cause = fault.cause();
                if self.failed.is_none() {
                    tracing::warn!("{}: {cause}", self.options.shown());
                    self.trouble.send_replace(Some(format!("{}: {cause}", self.options.shown())));
                }
                self.failed = Some((Instant::now(), cause));
                Err(fault)
            }
        }
    }

    pub(super) async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            let _ = time::timeout(CLOSING, connection.close()).await;
        }
    }
}
