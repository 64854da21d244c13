//! How a database on PostgreSQL is opened.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::address::Address;
use super::fault::Fault;
use super::servers::Servers;
use super::{passwords, schema};
use crate::namespace::Namespace;
use crate::operation::Persist;
use crate::setters::setters;
use crate::sql::address::shown;
use crate::sql::{OpenError, Retention};
use crate::store::options::{StoreOptions, store_setters};

/// How to open a database on PostgreSQL, 15 or later: a builder.
#[derive(Clone)]
pub struct PostgresOptions {
    servers: Servers,
    /// Another one than that of the namespace.
    schema: Option<String>,
    pub(crate) namespace: Namespace,
    shown: String,
    /// The id of the database that was opened: no other one is written to or read from.
    pub(super) expected: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) lock_timeout: Duration,
    pub(crate) repeat_timeout: Duration,
    pub(crate) readers: u32,
    pub(crate) read_alone: bool,
    pub(crate) store: StoreOptions,
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("server", &self.shown)
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// The usual options for an address: `postgres://USER@HOST:PORT/DATABASE`, with `?sslmode=verify-full&sslrootcert=FILE`
    /// for TLS, and `?schema=NAME` for another [schema](Self::schema) than the usual one. Several hosts, separated by commas, are
    /// a cluster: they are tried in their order, and those that only read are passed over. A password that it does not hold is
    /// looked for in the file that `PGPASSFILE` names, or in `~/.pgpass`.
    ///
    /// # Errors
    /// When the address is not PostgreSQL's, or a parameter of it would not count: one that is not known, is there twice, or has a
    /// value that will not do.
    pub fn new(url: &str) -> Result<Self, OpenError> {
        if !is_address(url) {
            return Err(OpenError::Address(shown(url), "expected postgres://HOST/DATABASE".to_owned()));
        }
        let options = Self {
            servers: Servers::parse(url, |why| OpenError::Address(shown(url), why))?,
            schema: Address::of(url).parameter("schema").map(str::to_owned),
            namespace: Namespace::none(),
            shown: shown(url),
            expected: None,
            connect_timeout: Duration::from_secs(3),
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(3),
            repeat_timeout: Duration::from_secs(5),
            readers: 2,
            read_alone: false,
            store: StoreOptions::default(),
        };
        options.check().map(|()| options)
    }

    setters! {
        /// The namespace whose database it is, which has a [schema](Self::schema) of its own. One that was made for another
        /// namespace is refused. Default: none.
        namespace: Namespace,
        /// How long connecting to one server may take. After that nothing was sent: class `NotSent`. Default: 3 s.
        connect_timeout: Duration,
        /// How long the server may take to answer. After that it is not known whether it has done what it was to do: class
        /// `Unknown`. The server itself gives up a little sooner. Default: 10 s.
        statement_timeout: Duration,
        /// How long is waited for a lock that another connection holds, before an operation fails as `busy`. Default: 3 s.
        lock_timeout: Duration,
        /// For how long the writer repeats a batch whose fate is unknown, on new connections. The ledger makes that harmless. Default: 5 s.
        repeat_timeout: Duration,
        /// The largest number of connections for reading. They are opened on demand, and closed when idle. Default: 2.
        readers: u32,
        /// Whether it is opened where no server takes writes, and there is a standby: queries are answered, writes are refused
        /// until there is a primary. Default: no.
        read_alone: bool,
    }

    store_setters! {}

    /// In this schema. If nothing is said, it is [that of the operations](Persist::schema) and, in a namespace, its name:
    /// `todo`, and `todo_lounge` in the namespace `lounge`. A name that a schema cannot have is written otherwise, with a hash at its
    /// end, so that no two namespaces have one schema.
    #[must_use]
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = Some(name.into());
        self
    }

    /// With the password that is in this file, without the end of its line. One that others may read is warned of.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn password_file(mut self, path: &Path) -> Result<Self, OpenError> {
        if passwords::is_open(path) {
            tracing::warn!("others may read the password in {0}: chmod 600 {0}", path.display());
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| OpenError::File { path: path.to_owned(), error })?;
        self.servers = self.servers.password(text.trim_end_matches(['\r', '\n']));
        Ok(self)
    }

    /// The address without its password.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What a person is to be told who reads: that no server takes writes, and from which standby it was read last with these
    /// options or a clone of them. `None` if one takes writes, or none was reached.
    #[must_use]
    pub fn reads_alone(&self) -> Option<String> {
        self.servers.reads_alone()
    }

    /// Whether an address is PostgreSQL's.
    #[must_use]
    pub fn is_address(url: &str) -> bool {
        is_address(url)
    }

    pub(super) const fn servers(&self) -> &Servers {
        &self.servers
    }

    /// The same for these operations: in the schema that they have in its namespace, if none is named.
    ///
    /// # Errors
    /// When the name of the schema will not do.
    pub(crate) fn of<O: Persist>(&self) -> Result<Self, OpenError> {
        let (set, mut options) = (O::schema(), self.clone());
        if set.len() > schema::LONGEST_OF_SET {
            let why = format!("the schema {set:?} of the operations is too long");
            return Err(OpenError::Address(self.shown.clone(), why));
        }
        options.schema.get_or_insert_with(|| schema::name(&set, &self.namespace));
        options.check().map(|()| options)
    }

    /// The same for the database of this id alone.
    pub(super) fn expect_database(self, id: &str) -> Self {
        Self { expected: Some(id.to_owned()), ..self }
    }

    /// The same, with the usual schema.
    pub(super) fn without_schema(self) -> Self {
        Self { schema: None, ..self }
    }

    /// The schema; empty before it is known of which operations.
    pub(super) fn in_schema(&self) -> &str {
        self.schema.as_deref().unwrap_or_default()
    }

    /// Whether a schema is named.
    #[must_use]
    pub const fn names_schema(&self) -> bool {
        self.schema.is_some()
    }

    /// Whether the name of the schema will do, if there is one.
    fn check(&self) -> Result<(), OpenError> {
        let Some(schema) = &self.schema else { return Ok(()) };
        let mut letters = schema.bytes();
        let first = letters.next().is_some_and(|c| c.is_ascii_lowercase() || c == b'_');
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        if first && letters.all(plain) && schema.len() <= schema::LONGEST && !schema.starts_with("pg_") {
            return Ok(());
        }
        let why = format!("the schema {schema:?}: a name has a-z, 0-9 and _, at most 63 of them");
        Err(OpenError::Address(self.shown.clone(), why))
    }

    pub(super) fn failed(&self, fault: Fault) -> OpenError {
        OpenError::Server { server: self.shown.clone(), cause: self.granting(fault).at_start() }
    }
}

impl FromStr for PostgresOptions {
    type Err = OpenError;

    fn from_str(url: &str) -> Result<Self, OpenError> {
        Self::new(url)
    }
}

fn is_address(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_shown_nowhere() {
        let options =
            PostgresOptions::new("postgres://bot:s3:cret@db/rosey?password=s3cret").expect("an address");
        assert_eq!(options.shown(), "postgres://bot@db/rosey");
        assert!(!format!("{options:?}").contains("cret"));
        let refused = PostgresOptions::new("mysql://bot:s3cret@db/rosey").expect_err("not ours");
        assert!(!refused.to_string().contains("s3cret"), "{refused}");
    }

    #[test]
    fn an_address_may_name_the_schema() {
        let url = "postgres://db/rosey?sslmode=disable&schema=channel_2";
        let options = PostgresOptions::new(url).expect("an address");
        assert_eq!(options.in_schema(), "channel_2");
        assert!(PostgresOptions::new("postgres://db/rosey?schema=a;b").is_err());
    }

    #[test]
    fn a_schema_is_a_plain_name() {
        let options = PostgresOptions::new("postgres://db/rosey").expect("an address");
        assert!(options.clone().schema("channel_7").check().is_ok());
        for name in ["", "7", "A", "a-b", "a\"b", "pg_x", &"a".repeat(64)] {
            assert!(options.clone().schema(name).check().is_err(), "{name}");
        }
    }
}
