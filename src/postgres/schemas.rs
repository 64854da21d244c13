//! The schemas of many namespaces in one database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;
use tokio::time;

use super::fault::Fault;
use super::link::TargetSession;
use super::options::PostgresOptions;
use super::{link, schema};
use crate::namespace::Namespace;
use crate::operation::Persist;
use crate::sql::SqlService;
use crate::store::Stores;

/// So many schemas are named that are no namespaces, at most.
const NAMED: usize = 100;

/// The schemas that may be a namespace's: whose name begins with `$1`, with facts that this role may read (true), or with nothing in them
/// at all.
const LIST: &str = "
    SELECT n.oid::bigint, n.nspname::text, c.oid IS NOT NULL
    FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = 'meta'
    WHERE starts_with(n.nspname, $1) AND n.nspname ~ '^[a-z0-9_]+$' AND has_schema_privilege(n.oid, 'USAGE')
        AND CASE WHEN c.oid IS NULL THEN NOT EXISTS (SELECT FROM pg_class o WHERE o.relnamespace = n.oid)
            ELSE has_table_privilege(c.oid, 'SELECT') END
    ORDER BY n.nspname";

const IS_THERE: &str = "SELECT to_regnamespace($1) IS NOT NULL";

/// The schemas of one database on PostgreSQL, one for each namespace.
///
/// Every schema that is called as that of a namespace, and says in its facts that it is its, is one; so is one that is
/// empty, or older than these facts, if its name has no hash. Looking which there are takes one connection; each
/// open namespace takes another one for writing, and up to [`PostgresOptions::readers`] for reading.
#[derive(Clone, Debug)]
pub struct PostgresSchemas(Arc<Schemas>);

#[derive(Debug)]
struct Schemas {
    like: PostgresOptions,
    create: bool,
    look: Mutex<Discovery>,
}

/// What looking needs, and what it knows.
#[derive(Debug, Default)]
struct Discovery {
    connection: Option<PgConnection>,
    /// The namespace that each schema says it is for, by the number that it keeps as long as it is there.
    known: BTreeMap<i64, Option<Namespace>>,
    /// What was said to be no namespace.
    said: BTreeSet<String>,
}

impl PostgresSchemas {
    /// Those of this database, each opened with options like these, whose schema and namespace do not count. With
    /// `create`, a name that is asked for becomes a new schema, for which the role needs `CREATE` on the database.
    #[must_use]
    pub fn new(like: PostgresOptions, create: bool) -> Self {
        Self(Arc::new(Schemas { like, create, look: Mutex::default() }))
    }

    /// How the schema of a namespace is opened.
    fn options<O: Persist>(&self, namespace: &Namespace) -> Result<PostgresOptions, String> {
        self.0.like.clone().namespace(namespace.clone()).without_schema().of::<O>().map_err(|e| e.to_string())
    }

    /// Whether there is a schema of this name.
    async fn has(&self, schema: &str) -> Result<bool, String> {
        let mut look = self.0.look.lock().await;
        self.ask(&mut look, async |connection, _| {
            sqlx::query_scalar(IS_THERE).bind(schema).fetch_one(connection).await
        })
        .await
    }

    /// Asks over the connection for looking, which is made again where that fails.
    async fn ask<T>(
        &self,
        look: &mut Discovery,
        what: impl AsyncFnOnce(&mut PgConnection, &mut Discovery) -> Result<T, sqlx::Error>,
    ) -> Result<T, String> {
        let like = &self.0.like;
        // A caller that drops this future in the middle drops the connection as well.
        let mut connection = match look.connection.take() {
            Some(connection) => connection,
            None => {
                let connected = link::connect(like, TargetSession::Reading).await;
                connected.map_err(|fault| like.failed(fault).to_string())?.connection
            }
        };
        let answer = time::timeout(like.statement_timeout, what(&mut connection, look)).await;
        let answer = answer.map_or(Err(Fault::Silent), |answer| answer.map_err(Fault::Server));
        if answer.is_ok() {
            look.connection = Some(connection);
        }
        answer.map_err(|fault| like.failed(fault).to_string())
    }
}

impl Discovery {
    /// The namespace that a schema of this name is for, and says so.
    async fn namespace(
        &mut self,
        set: &str,
        (number, name, has_facts): (i64, &str, bool),
        connection: &mut PgConnection,
    ) -> Result<Option<Namespace>, sqlx::Error> {
        if !has_facts {
            return Ok(schema::namespace(set, name));
        }
        let kept = match self.known.get(&number) {
            Some(kept) => kept.clone(),
            None => {
                let facts =
                    AssertSqlSafe(format!("SELECT value::text FROM \"{name}\".meta WHERE key = 'namespace'"));
                match sqlx::query_scalar::<_, String>(facts).fetch_optional(connection).await {
                    // It may be adopted yet.
                    Ok(None) => return Ok(schema::namespace(set, name)),
                    Ok(Some(kept)) => self.known.entry(number).or_insert(Namespace::new(kept).ok()).clone(),
                    // Another program's.
                    Err(e) if e.as_database_error().is_some() => {
                        self.known.entry(number).or_insert(None).clone()
                    }
                    Err(e) => return Err(e),
                }
            }
        };
        let namespace = kept.filter(|namespace| schema::name(set, namespace) == name);
        if namespace.is_none() && self.said.len() < NAMED && self.said.insert(name.to_owned()) {
            tracing::warn!("the schema {name} is no namespace: it is not what it is called");
        }
        Ok(namespace)
    }
}

impl<O: Persist> Stores<O> for PostgresSchemas {
    type Store = SqlService<O>;

    async fn list(&self) -> Result<Vec<Namespace>, String> {
        let set = O::schema();
        let mut look = self.0.look.lock().await;
        self.ask(&mut look, async |connection, look| {
            let schemas: Vec<(i64, String, bool)> =
                sqlx::query_as(LIST).bind(format!("{set}_")).fetch_all(&mut *connection).await?;
            look.known.retain(|number, _| schemas.iter().any(|(known, ..)| known == number));
            let mut namespaces = Vec::with_capacity(schemas.len());
            for (number, name, has_facts) in &schemas {
                namespaces.extend(look.namespace(&set, (*number, name, *has_facts), connection).await?);
            }
            Ok(namespaces)
        })
        .await
    }

    async fn open(&self, namespace: &Namespace) -> Result<SqlService<O>, String> {
        let options = self.options::<O>(namespace)?;
        if !self.0.create && !self.has(options.in_schema()).await? {
            return Err(format!("there is no schema {} on {}", options.in_schema(), options.shown()));
        }
        SqlService::open_postgres(&options.create(true)).await.map_err(|e| e.to_string())
    }

    async fn is_to_come(&self, namespace: &Namespace) -> bool {
        match self.options::<O>(namespace) {
            Ok(options) => self.has(options.in_schema()).await.is_ok_and(|is_there| !is_there),
            Err(_) => false,
        }
    }

    fn creates(&self) -> bool {
        self.0.create
    }
}
