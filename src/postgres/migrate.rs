//! Bringing a schema to what this program needs: all that it lacks, in one transaction, under a lock.

use std::borrow::Cow;
use std::collections::HashSet;

use sqlx::migrate::{Migrate, MigrateError, MigrationType, Migrator};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, SqlSafeStr};
use tokio::time::{self, Duration};

use super::audit;
use super::derive;
use super::fault::Fault;
use super::function::{Function, MIGRATES, still};
use super::objects;
use super::options::PostgresOptions;
use crate::namespace::Namespace;
use crate::operation::{Migration, Persist};
use crate::sql::OpenError;

/// What every database has: its id, the ledger, the dead letters.
const LEDGER: Migration =
    Migration::new(1, "ledger", include_str!("../../migrations/postgres/0001_ledger.sql"));

/// Where sqlx keeps what was applied.
const RECORD: &str = "_sqlx_migrations";

const OLDEST: i32 = 150_000;

/// The code of an error by which the server ends one of several that wait for each other, and how often it is tried then.
const DEADLOCK: &str = "40P01";
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// How long it may take to open a database, the wait for another one who migrates it included.
const LIMIT: Duration = Duration::from_secs(30);

/// What makes the schema, if it is missing; whether this role may; what makes it for this role, and what allows this role to make
/// any. The name stands in the setting that every connection of ours has.
const SCHEMA: &str = "
    SELECT CASE WHEN to_regnamespace(s) IS NULL THEN format('CREATE SCHEMA %I', s) END,
           has_database_privilege(current_database(), 'CREATE'),
           format('CREATE SCHEMA %I AUTHORIZATION %I', s, current_user),
           format('GRANT CREATE ON DATABASE %I TO %I', current_database(), current_user)
    FROM (SELECT current_setting('search_path')) t (s)";

const MAY_USE: &str = "SELECT has_schema_privilege(to_regnamespace(current_setting('search_path')), 'USAGE')";

/// The namespace that a database is for. A database from before this was written down belongs to the first namespace that opens it.
const NAMESPACE: &str = "SELECT value FROM meta WHERE key = 'namespace'";
const ADOPT: &str = "INSERT INTO meta (key, value) VALUES ('namespace', $1) ON CONFLICT (key) DO NOTHING";

const HAS_LEDGER: &str = "SELECT to_regclass('ledger') IS NOT NULL";

const HAS_FUNCTIONS: &str = "
    SELECT NOT EXISTS (
        SELECT FROM unnest($1::text[]) name WHERE NOT EXISTS (
            SELECT FROM pg_proc WHERE proname = name AND pronamespace = to_regnamespace(current_setting('search_path'))))";

/// A database that was opened.
pub(super) struct Opened {
    pub(super) database: String,
}

/// Why a database was not opened.
enum Refused {
    Fault(Fault),
    Open(OpenError),
}

impl Refused {
    fn of(self, options: &PostgresOptions) -> OpenError {
        match self {
            Self::Open(error) => error,
            Self::Fault(fault) => options.failed(fault),
        }
    }

    /// Returns after a moment if it may be tried again: this program and others have waited for each other, and it has left nothing
    /// then. Those who read take no lock that would keep them out, and programs of before may take fewer than those of now.
    async fn passes(self, tried: &mut u32) -> Result<(), Self> {
        match self {
            Self::Fault(fault) if fault.is_of(&[DEADLOCK]) && *tried < TRIES => {
                tracing::debug!("migrating waited for a program that waited for it: trying again");
                time::sleep(PAUSE * *tried).await;
                *tried += 1;
                Ok(())
            }
            refused => Err(refused),
        }
    }
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(Fault::Server(error))
    }
}

/// Brings the schema to what these operations need, and looks at their texts.
pub(super) async fn open<O: Persist>(
    options: &PostgresOptions,
    function: &Function,
    connection: &mut PgConnection,
) -> Result<Opened, OpenError> {
    let opened = time::timeout(LIMIT, open_in_time::<O>(options, function, connection)).await;
    let opened =
        opened.unwrap_or(Err(Refused::Fault(Fault::Silent))).map_err(|refused| refused.of(options))?;
    let derived = time::timeout(derive::LIMIT, async {
        let mut tried = 1;
        while let Err(fault) = derive::all_that_is_due::<O>(options, connection).await {
            Refused::Fault(fault).passes(&mut tried).await?;
        }
        Ok(())
    });
    let derived = derived.await.unwrap_or(Err(Refused::Fault(Fault::Silent)));
    derived.map_err(|refused| refused.of(options))?;
    Ok(opened)
}

async fn open_in_time<O: Persist>(
    options: &PostgresOptions,
    function: &Function,
    connection: &mut PgConnection,
) -> Result<Opened, Refused> {
    let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
        .fetch_one(&mut *connection)
        .await?;
    let refuse =
        |cause: String| Refused::Open(OpenError::Server { server: options.shown().to_owned(), cause });
    if version < OLDEST {
        return Err(refuse(format!(
            "it is PostgreSQL {}, and 15 is the oldest that is served",
            version / 10_000
        )));
    }
    let state = state::<O>(options, function, connection).await?;
    if !state.is_whole() {
        if !options.store.create && state.unrecorded {
            return Err(unrecorded(options));
        }
        if !options.store.create && !state.is_usable() {
            return Err(refuse(format!(
                "the schema {} has no such database, or an older one",
                options.in_schema()
            )));
        }
        let mut tried = 1;
        while let Err(refused) = make::<O>(options, function, connection).await {
            refused.passes(&mut tried).await?;
        }
    }
    let lost = objects::restore(connection).await?;
    if let Some(cause) = lost.needed(options.in_schema()) {
        return Err(refuse(cause));
    }
    // They were prepared on the schema before.
    connection.clear_cached_statements().await?;
    if let Some(unsound) = audit::audit::<O>(connection).await? {
        return Err(match lost.any(options.in_schema()) {
            Some(cause) => refuse(cause),
            None => Refused::Open(OpenError::Unsound(unsound)),
        });
    }
    identified(options, connection).await
}

/// The same where nothing can be made: what is there has to do.
pub(super) async fn open_alone<O: Persist>(
    options: &PostgresOptions,
    connection: &mut PgConnection,
) -> Result<Opened, OpenError> {
    let opened = async {
        is_current::<O>(options, connection).await.map_err(Refused::Open)?;
        identified(options, connection).await
    };
    let opened = time::timeout(options.statement_timeout, opened).await;
    opened.unwrap_or(Err(Refused::Fault(Fault::Silent))).map_err(|refused| refused.of(options))
}

/// The id of the database.
async fn identified(options: &PostgresOptions, connection: &mut PgConnection) -> Result<Opened, Refused> {
    let id = sqlx::query_scalar("SELECT value::text FROM meta WHERE key = 'database_id'");
    let database: Option<String> = id.fetch_optional(connection).await?;
    database.map(|database| Opened { database }).ok_or_else(|| {
        let schema = options.in_schema();
        let cause = format!(
            "the table {schema}.meta lacks the row database_id, which was deleted by hand. Take its value from a backup, or from \
             the log of a service (database=…): INSERT INTO {schema}.meta VALUES ('database_id', '…'). With another one it is \
             another database for the services on NATS"
        );
        Refused::Open(OpenError::Server { server: options.shown().to_owned(), cause })
    })
}

/// What is there.
struct State {
    missing: bool,
    /// Whether there are tables, and no record of what made them.
    unrecorded: bool,
    function: bool,
    /// Whether it says for which namespace it is.
    named: bool,
}

impl State {
    const fn is_usable(&self) -> bool {
        !self.missing && self.function
    }

    const fn is_whole(&self) -> bool {
        self.is_usable() && self.named
    }
}

async fn state<O: Persist>(
    options: &PostgresOptions,
    function: &Function,
    connection: &mut PgConnection,
) -> Result<State, Refused> {
    let known: HashSet<i64> = versions::<O>().iter().map(|version| version.version).collect();
    let made = applied(connection).await?;
    if let Some(version) = made.difference(&known).max() {
        let path = format!("{}, schema {},", options.shown(), options.in_schema()).into();
        return Err(Refused::Open(OpenError::Newer { path, version: *version }));
    }
    let mut unrecorded = false;
    let kept: Option<String> = match made.is_empty() {
        true => {
            may_use(options, connection).await?;
            // Another process may have made everything between the two looks.
            unrecorded = sqlx::query_scalar(HAS_LEDGER).fetch_one(&mut *connection).await?
                && applied(connection).await?.is_empty();
            None
        }
        false => sqlx::query_scalar(NAMESPACE).fetch_optional(&mut *connection).await?,
    };
    if let Some(kept) = kept.as_ref().filter(|kept| *kept != options.namespace.as_str()) {
        return Err(Refused::Open(OpenError::Namespace {
            server: options.shown().to_owned(),
            schema: options.in_schema().to_owned(),
            kept: Namespace::new(kept.as_str()).unwrap_or_default(),
            wanted: options.namespace.clone(),
        }));
    }
    let has = sqlx::query_scalar(HAS_FUNCTIONS).bind(function.names()).fetch_one(connection).await?;
    Ok(State { missing: made.len() < known.len(), unrecorded, function: has, named: kept.is_some() })
}

/// Without that right nothing in a schema can be seen: it looks as if it were empty.
async fn may_use(options: &PostgresOptions, connection: &mut PgConnection) -> Result<(), Refused> {
    let may: Option<bool> = sqlx::query_scalar(MAY_USE).fetch_one(connection).await?;
    if may != Some(false) {
        return Ok(());
    }
    let cause = format!(
        "the role may not use the schema {}. Run as its owner: {}; {}",
        options.in_schema(),
        options.grant("permission denied for schema"),
        options.grant("permission denied for table")
    );
    Err(Refused::Open(OpenError::Server { server: options.shown().to_owned(), cause }))
}

/// Whether all changes of schema that this program knows have been made, and no other.
pub(super) async fn is_current<O: Persist>(
    options: &PostgresOptions,
    connection: &mut PgConnection,
) -> Result<(), OpenError> {
    match state::<O>(options, &Function::of::<O>(), connection).await {
        Ok(state) if !state.missing => Ok(()),
        Ok(state) if state.unrecorded => Err(unrecorded(options).of(options)),
        Ok(_) => Err(OpenError::Server {
            server: options.shown().to_owned(),
            cause: format!(
                "the schema {} has no such database, or one of an older program: open it once",
                options.in_schema()
            ),
        }),
        Err(refused) => Err(refused.of(options)),
    }
}

/// The versions that are recorded.
async fn applied(connection: &mut PgConnection) -> Result<HashSet<i64>, sqlx::Error> {
    let recorded: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(RECORD)
        .fetch_one(&mut *connection)
        .await?;
    if !recorded {
        return Ok(HashSet::new());
    }
    let versions = sqlx::query_scalar("SELECT version FROM _sqlx_migrations").fetch_all(connection);
    Ok(versions.await?.into_iter().collect())
}

fn versions<O: Persist>() -> Vec<sqlx::migrate::Migration> {
    let mut parts: Vec<&Migration> = std::iter::once(&LEDGER).chain(O::POSTGRES_MIGRATIONS).collect();
    parts.sort_by_key(|part| part.version); // stable: parts stay in the order of the list
    let versions = parts.chunk_by(|one, other| one.version == other.version);
    let whole = |parts: &[&Migration]| {
        let text = parts.iter().map(|part| part.sql).collect::<Vec<_>>().join("\n;\n");
        let description = Cow::Borrowed(parts[0].description);
        let text = AssertSqlSafe(text).into_sql_str();
        sqlx::migrate::Migration::new(parts[0].version, description, MigrationType::Simple, text, false)
    };
    versions.map(whole).collect()
}

/// Makes what is missing: all of it, or nothing.
async fn make<O: Persist>(
    options: &PostgresOptions,
    function: &Function,
    connection: &mut PgConnection,
) -> Result<(), Refused> {
    // A connection of its own, not one of a pool: what is dropped in the middle is gone with it.
    let mut whole = connection.begin().await?;
    sqlx::raw_sql(MIGRATES).execute(&mut *whole).await?;
    // Another one may have done it meanwhile.
    let state = state::<O>(options, function, &mut whole).await?;
    if state.unrecorded {
        return Err(unrecorded(options));
    }
    if state.missing {
        create_schema(options, &mut whole).await?;
        sqlx::raw_sql(AssertSqlSafe(still(false))).execute(&mut *whole).await?;
        let mut migrator = Migrator::with_migrations(versions::<O>());
        migrator.set_locking(false);
        whole.ensure_migrations_table(RECORD).await.map_err(|e| migration(options, e))?;
        // What is derived is so behind this, and takes as long as it takes.
        for (deriving, _) in derive::all::<O>() {
            let version = deriving.version;
            let before = migrator.run_direct(Some(version - 1), &mut *whole, false).await;
            before.map_err(|e| migration(options, e))?;
            let record = migrator.run_direct(Some(version), &mut *whole, true).await;
            record.map_err(|e| migration(options, e))?;
        }
        migrator.run_direct(None, &mut *whole, false).await.map_err(|e| migration(options, e))?;
        objects::keep(&mut whole).await?;
    }
    if !state.function {
        sqlx::raw_sql(AssertSqlSafe(function.text.clone())).execute(&mut *whole).await?;
    }
    if !state.named {
        sqlx::query(ADOPT).bind(options.namespace.as_str()).execute(&mut *whole).await?;
    }
    whole.commit().await?;
    Ok(())
}

async fn create_schema(options: &PostgresOptions, connection: &mut PgConnection) -> Result<(), Refused> {
    let (create, may, single, all): (Option<String>, bool, String, String) =
        sqlx::query_as(SCHEMA).fetch_one(&mut *connection).await?;
    let Some(create) = create else { return Ok(()) };
    if !may {
        let cause = format!(
            "its schema {} is missing, and this role may not create it. Run as the owner of the database: {single}; or, for any \
             number of namespaces: {all}",
            options.in_schema()
        );
        return Err(Refused::Open(OpenError::Server { server: options.shown().to_owned(), cause }));
    }
    sqlx::raw_sql(AssertSqlSafe(create)).execute(connection).await?;
    Ok(())
}

/// Tables are there, and what says that they were made is not.
fn unrecorded(options: &PostgresOptions) -> Refused {
    let schema = options.in_schema();
    let cause = format!(
        "the schema {schema} has tables, and {RECORD} does not say which migrations made them: that table was dropped or emptied by \
         hand. Restore it from a backup (pg_restore --schema={schema} --table={RECORD}); if the tables are another program's, name \
         another schema (?schema=NAME in the address)"
    );
    Refused::Open(OpenError::Server { server: options.shown().to_owned(), cause })
}

fn migration(options: &PostgresOptions, error: MigrateError) -> Refused {
    match error {
        // A table, a column or a function of that name is there.
        MigrateError::ExecuteMigration(error, _) if Fault::is_there_already(&error) => unrecorded(options),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        error => sqlx::Error::Migrate(Box::new(error)).into(),
    }
}
