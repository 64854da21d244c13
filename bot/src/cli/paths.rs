//! The paths of a command, made from its options: the stack over NATS and the database.

use std::time::Duration;

use tokio::time;
use tower::layer::layer_fn;

use super::args::{HedgeAfter, NatsArgs, PathArgs};
use super::exit::{Exit, Failure};
use super::listen::Client;
use super::outbox::runtime::Report;
use super::path_stats::PathStats;
use crate::op::Op;
use eitherway::Namespace;
use eitherway::client::Db;
use eitherway::nats::{InboxCounts, NatsOptions, NatsService, Status};
use eitherway::operation::Kind;
use eitherway::outbox::OutboxService;
use eitherway::runtime::Runtime;
use eitherway::sql::SqlService;
use eitherway::stack::{BoxedStack, GuardedStore, Hedging, StackBuilder, boxed};

/// How long a command waits for the service in any case: it may be starting.
const STARTING: Duration = Duration::from_millis(700);

/// How long the one operation of a command waits for NATS before it starts on the database, if nothing else is said.
const ONE_WAITS: Duration = Duration::from_millis(60);

/// How long the end of a process waits for its own service to apply what the stream has taken.
const APPLIED: Duration = Duration::from_secs(5);

/// How long the end of a process may take, its files included.
const GRACE: Duration = Duration::from_secs(30);

/// A client over its paths.
pub(super) struct Paths {
    pub(super) db: Db<BoxedStack<Op>>,
    pub(super) stats: PathStats,
    runtime: Runtime<Op>,
    /// How long it may take to recognise the service.
    recognition: Duration,
}

impl NatsArgs {
    pub(super) fn options(&self, name: &str) -> NatsOptions {
        NatsOptions::new(&self.nats_url)
            .name(name)
            .credentials(self.nats_credentials.clone())
            .nkey(self.nats_nkey.clone())
            .root_certificates(self.nats_ca.clone())
            .client_certificate(self.nats_certificate.clone())
            .client_key(self.nats_key.clone())
            .listed_only(self.nats_listed_only)
            .inbox_prefix(self.nats_inbox_prefix.clone().filter(|prefix| !prefix.trim().is_empty()))
            .recognition(self.recognition_timeout_ms)
    }
}

impl PathArgs {
    fn hedging(&self) -> Hedging {
        let hedging = Hedging::new().outbox_after(self.outbox_after);
        match self.hedge_after {
            HedgeAfter::Off => hedging.database(None),
            HedgeAfter::Auto => hedging,
            HedgeAfter::Fixed(time) => hedging.database_after(time),
        }
    }

    /// The same for one operation: nothing is known of NATS yet, and a database is not opened for the sake of milliseconds.
    fn for_one(&self) -> Self {
        let hedge_after = match self.hedge_after {
            HedgeAfter::Auto => HedgeAfter::Fixed(ONE_WAITS),
            set => set,
        };
        Self { hedge_after, ..self.clone() }
    }
}

impl PathArgs {
    /// What the log says of the namespace.
    pub(super) fn span(&self) -> tracing::Span {
        self.namespace.as_ref().map_or_else(tracing::Span::none, Namespace::span)
    }

    /// For a service in the same namespace.
    pub(super) fn service_options(&self) -> NatsOptions {
        self.nats.options("rosey-serve").namespace(self.namespace.clone().unwrap_or_default())
    }

    fn nats_options(&self, name: &str) -> NatsOptions {
        let options = self.nats.options(name).namespace(self.namespace.clone().unwrap_or_default());
        options
            .future_tolerance(self.database.future_tolerance_ms)
            .past_tolerance(self.database.past_tolerance_days)
    }
}

impl Paths {
    /// Opens the database if one is named, and starts connecting to NATS. Behind both stands the outbox, if there is one.
    pub(super) async fn open(
        args: &PathArgs,
        name: &str,
        outbox: Option<OutboxService<Op>>,
    ) -> Result<Self, Failure> {
        if args.no_nats && args.database.database_url.is_none() {
            return Err(Failure::new(Exit::Usage, "--no-nats needs a database: name it with --database-url"));
        }
        if !args.no_nats && args.database.is_missing()? {
            return Self::without_file(args, name, outbox).await;
        }
        let database = args.database.open_named().await?;
        Self::over(args, name, database, outbox).await
    }

    /// The paths where a database is named whose file is not there: it is created only if no service on NATS has one, which
    /// would be another.
    async fn without_file(
        args: &PathArgs,
        name: &str,
        outbox: Option<OutboxService<Op>>,
    ) -> Result<Self, Failure> {
        let nats = NatsService::connect(args.nats_options(name)).await?;
        let mut status = nats.status();
        let _ = time::timeout(args.nats.recognition_timeout_ms, async {
            let _ = time::timeout(STARTING, status.wait_for(|status| status.database().is_some())).await;
            let _ = status.wait_for(|status| status.database().is_some() || status.is_hopeless()).await;
        })
        .await;
        let known = nats.status().borrow().database().map(str::to_owned);
        let direct = match known {
            None => args.database.open_named().await?.map_or_else(GuardedStore::closed, GuardedStore::open),
            Some(known) => {
                tracing::warn!(
                    database = known,
                    "{} is not there, and the service on NATS has a database: nothing is created. Operations go over NATS \
                     only until its file is at that path",
                    args.database.named_or_usual()?.shown()
                );
                GuardedStore::when_needed(args.database.opener(&nats, Some(known)))
            }
        };
        Self::of(args, Some(nats), direct, outbox).await
    }

    /// The paths over a database that is open already.
    pub(super) async fn over(
        args: &PathArgs,
        name: &str,
        database: Option<SqlService<Op>>,
        outbox: Option<OutboxService<Op>>,
    ) -> Result<Self, Failure> {
        let nats =
            if args.no_nats { None } else { Some(NatsService::connect(args.nats_options(name)).await?) };
        let usual = args.database.clone();
        let direct = match database {
            Some(database) => GuardedStore::open(database),
            None => GuardedStore::when_named(move |database| usual.clone().open_if(database)),
        };
        Self::of(args, nats, direct, outbox).await
    }

    async fn of(
        args: &PathArgs,
        nats: Option<NatsService<Op>>,
        direct: GuardedStore<Op>,
        outbox: Option<OutboxService<Op>>,
    ) -> Result<Self, Failure> {
        let stack = StackBuilder::new()
            .nats_timeout(args.nats_timeout_ms)
            .db_timeout(args.db_timeout_ms)
            .queries(args.queries)
            .hedging(args.hedging())
            .metrics_prefix("rosey");
        let stats = PathStats::default();
        let mut builder = Runtime::builder().stack(stack).store(direct).outbox(outbox);
        builder = builder.namespace(args.namespace.clone().unwrap_or_default());
        if let Some(nats) = nats {
            builder = builder.nats(nats);
        }
        let runtime = builder.build().await?.layer(layer_fn(|stack| stats.over(boxed(stack))));
        let recognition = args.nats.recognition_timeout_ms;
        Ok(Self { db: runtime.client(), stats, runtime, recognition })
    }

    /// The paths for one operation of this kind: waits a moment for the service on NATS to be recognised, so that NATS has
    /// its chance. Where it is there, the database is opened only if NATS then does not serve, and never created.
    pub(super) async fn open_for_one(args: &PathArgs, kind: Kind) -> Result<Self, Failure> {
        if args.no_nats {
            return Self::open(args, "rosey-send", None).await;
        }
        let nats = NatsService::connect(args.nats_options("rosey-send")).await?;
        let direct = GuardedStore::when_needed(args.database.opener(&nats, None));
        let paths = Self::of(&args.for_one(), Some(nats.clone()), direct, None).await?;
        // Too late is no error: the database serves, or both paths say why not.
        let _ = paths.recognised(&nats, kind).await;
        if nats.status().borrow().database().is_none()
            && let Some(database) = args.database.open_named().await?
        {
            paths.runtime.direct().admit(database).await;
        }
        Ok(paths)
    }

    /// Waits until requests of this kind are sent over NATS; returns whether they are. Not longer than that may take, and
    /// only for a moment where it is known that there is no way.
    async fn recognised(&self, nats: &NatsService<Op>, kind: Kind) -> bool {
        let hopeless = async {
            time::sleep(STARTING).await;
            let _ = nats.status().wait_for(Status::is_hopeless).await;
        };
        tokio::select! {
            () = nats.takes(kind) => true,
            () = hopeless => false,
            () = time::sleep(self.recognition) => false,
        }
    }

    /// Waits until there is a path at all: a database, the service on NATS, or its stream. A
    /// bot that cannot keep what it reads must not begin to read; with an outbox it can, and waits only for a service that is
    /// starting.
    ///
    /// With a database, until it is known whether a service is there: nothing is written to a copy of its file.
    pub(super) async fn usable(&self) {
        let Some(nats) = self.runtime.nats() else { return };
        let direct = self.runtime.direct();
        if direct.database().is_some() {
            let mut status = nats.status();
            let known = status.wait_for(|status| status.database().is_some() || status.is_hopeless());
            let _ = time::timeout(STARTING, known).await;
            return direct.judge().await;
        }
        if self.recognised(nats, Kind::Event).await {
            return;
        }
        if let Some(outbox) = self.runtime.outbox() {
            let file = outbox.path().display();
            tracing::warn!("no path yet: events wait in the outbox {file}, calls and queries fail");
            return;
        }
        tracing::warn!(
            "waiting for the database service on NATS; to begin without it, name a database with --database-url"
        );
        nats.takes(Kind::Event).await;
    }

    /// Waits until what the stream has taken from us is in the database; for the process that ends the service that applies it.
    pub(super) async fn applied(&self) {
        let Some(nats) = self.runtime.nats() else { return };
        if let Err(cause) = nats.applied(APPLIED).await {
            tracing::warn!("the rest is applied by the next service that starts: {cause}");
        }
    }

    /// Ends the replay of the outbox; returns its file and what became of it, if there is one. Nothing is sent after it.
    pub(super) async fn replayed(&self) -> Option<(String, Report)> {
        let outbox = self.runtime.outbox()?;
        let drained = self.runtime.drain(GRACE).await;
        Some((outbox.path().display().to_string(), Report::of(drained)))
    }

    /// What the endpoints tell of.
    pub(super) fn client(&self) -> Client {
        Client {
            health: self.runtime.watch_health(),
            nats: self.runtime.nats().cloned(),
            direct: self.runtime.direct().clone(),
            outbox: self.runtime.outbox().cloned(),
            circuits: self.runtime.circuits().cloned(),
            stats: self.stats.clone(),
        }
    }

    /// What came back over NATS, besides answers in time.
    pub(super) fn inbox(&self) -> Option<InboxCounts> {
        self.runtime.nats().map(NatsService::inbox)
    }

    /// Commits what was handed to the database and to the outbox, and closes them.
    pub(super) async fn close(self) {
        self.runtime.shutdown(GRACE).await;
    }
}
