//! The database that `--database-url` names: a file, or a schema on a server.

use std::io::ErrorKind;

use super::advice::{self, DatabaseTool};
use super::console;
use crate::op::Op;
use eitherway::Cause;
use eitherway::postgres::{self, PostgresOptions};
use eitherway::sql::{self, DeadLetters, OpenError, SqlService, SqliteOptions, Verdict, take_over};

/// Where a database is, and how it is opened.
#[derive(Clone, Debug)]
pub(super) enum DatabaseOptions {
    Sqlite(SqliteOptions),
    Postgres(Box<PostgresOptions>),
}

impl DatabaseOptions {
    /// Opens it.
    pub(super) async fn open(&self) -> Result<SqlService<Op>, OpenError> {
        match self {
            Self::Sqlite(options) => SqlService::open(options).await,
            Self::Postgres(options) => {
                let opened = SqlService::open_postgres(options).await?;
                say_of(options);
                Ok(opened)
            }
        }
    }

    /// Only if it is there.
    pub(super) fn existing(self) -> Self {
        match self {
            Self::Sqlite(options) => Self::Sqlite(options.create(false)),
            Self::Postgres(options) => Self::Postgres(Box::new(options.create(false))),
        }
    }

    /// Works out again what it must hold.
    pub(super) async fn verify(
        &self,
        progress: impl FnMut(&'static str) + Send,
    ) -> Result<Verdict, OpenError> {
        match self {
            Self::Sqlite(options) => sql::verify::<Op>(options, progress).await,
            Self::Postgres(options) => {
                let verdict = postgres::verify::<Op>(options, progress).await?;
                say_of(options);
                Ok(verdict)
            }
        }
    }

    /// How advice calls what it is worked on with.
    pub(super) const fn words(&self) -> &'static DatabaseTool {
        match self {
            Self::Sqlite(_) => &advice::SQLITE,
            Self::Postgres(_) => &advice::POSTGRES,
        }
    }

    /// Its dead letters.
    pub(super) async fn letters(&self) -> Result<DeadLetters, Cause> {
        match self {
            Self::Sqlite(options) => DeadLetters::open(options).await,
            Self::Postgres(options) => DeadLetters::open_postgres::<Op>(options).await,
        }
    }

    /// Whether it is a file that is not there.
    pub(super) fn lacks_file(&self) -> bool {
        matches!(self, Self::Sqlite(options) if !options.path().is_file())
    }

    /// Whether it is a file that is not there, or has nothing in it.
    pub(super) fn is_empty_file(&self) -> bool {
        let Self::Sqlite(options) = self else { return false };
        let file = std::fs::metadata(options.path());
        file.map_or_else(|e| e.kind() == ErrorKind::NotFound, |file| file.is_file() && file.len() == 0)
    }

    /// Whether both are the same file. Two schemas of a server say themselves whose they are.
    pub(super) fn is_file_of(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Sqlite(one), Self::Sqlite(other)) if one.path() == other.path())
    }

    /// Whether a file would be created, or taken over from another program: not by a service that must not start.
    pub(super) async fn is_to_come(&self) -> bool {
        match self {
            Self::Sqlite(options) => take_over::is_to_come(options).await,
            Self::Postgres(_) => false,
        }
    }

    /// The file or the server, for people.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Sqlite(options) => options.path().display().to_string(),
            Self::Postgres(options) => options.shown().to_owned(),
        }
    }
}

/// Says that it is a standby that was read, if it was. The log of a command that asks is off.
fn say_of(options: &PostgresOptions) {
    if let Some(reads) = options.reads_alone() {
        console::say(reads);
    }
}
