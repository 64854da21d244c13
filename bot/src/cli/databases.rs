//! The databases of several namespaces: those that are named, the files of a directory, or the schemas of a server.

use std::path::Path;

use super::args::{DatabaseArgs, ServeArgs};
use super::database_options::DatabaseOptions;
use super::exit::{Exit, Failure};
use crate::op::Op;
use eitherway::Namespace;
use eitherway::postgres::PostgresSchemas;
use eitherway::sql::{SqlService, SqliteFiles};
use eitherway::store::Stores;

/// Connections that only read, of each of several namespaces: to a file each is a thread and two descriptors, to a server
/// one of those that it has for all.
const READERS: u32 = 2;
pub(super) const READERS_OF_SERVER: u32 = 1;

/// A database for each of several namespaces.
pub(super) enum Databases {
    Named(Vec<(Namespace, DatabaseOptions)>),
    Files(SqliteFiles),
    Schemas(PostgresSchemas),
}

/// How the database of one of several is opened.
pub(super) fn place(
    args: &ServeArgs,
    database: &str,
    namespace: &Namespace,
) -> Result<DatabaseOptions, Failure> {
    let (database_url, namespace) = (Some(database.to_owned()), namespace.clone());
    let database = DatabaseArgs { database_url, namespace, ..args.database.clone() };
    Ok(match database.with_retention(&args.keep).named_or_usual()? {
        DatabaseOptions::Sqlite(options) => DatabaseOptions::Sqlite(options.readers(READERS)),
        DatabaseOptions::Postgres(options) => {
            DatabaseOptions::Postgres(Box::new(options.readers(READERS_OF_SERVER)))
        }
    })
}

impl Databases {
    /// Every file of a directory.
    pub(super) fn of_folder(args: &ServeArgs, dir: &Path, create: bool) -> Result<Self, Failure> {
        // Whose path does not count.
        let like = dir.join("NAME.db").display().to_string();
        let DatabaseOptions::Sqlite(like) = place(args, &like, &Namespace::none())? else {
            return Err(Failure::new(Exit::Usage, "--namespaces-dir: name a directory"));
        };
        let files = SqliteFiles::folder(dir, like, create);
        let failed = |e| Failure::new(Exit::Usage, format!("--namespaces-dir: {}: {e}", dir.display()));
        files.map(Self::Files).map_err(failed)
    }

    /// Every schema of a database on a server.
    pub(super) fn of_server(args: &ServeArgs, url: &str, create: bool) -> Result<Self, Failure> {
        match place(args, url, &Namespace::none())? {
            DatabaseOptions::Postgres(like) => Ok(Self::Schemas(PostgresSchemas::new(*like, create))),
            DatabaseOptions::Sqlite(_) => Err(Failure::new(Exit::Usage, "--namespaces-url: name a server")),
        }
    }

    /// Whether some are on a server, which has this many connections for all.
    pub(super) fn has_server(&self) -> bool {
        match self {
            Self::Named(places) => {
                places.iter().any(|(_, place)| matches!(place, DatabaseOptions::Postgres(_)))
            }
            Self::Files(_) => false,
            Self::Schemas(_) => true,
        }
    }

    fn named(places: &[(Namespace, DatabaseOptions)], namespace: &Namespace) -> Option<DatabaseOptions> {
        places.iter().find(|(name, _)| name == namespace).map(|(_, place)| place.clone())
    }
}

impl Stores<Op> for Databases {
    type Store = SqlService<Op>;

    async fn list(&self) -> Result<Vec<Namespace>, String> {
        match self {
            Self::Named(places) => Ok(places.iter().map(|(name, _)| name.clone()).collect()),
            Self::Files(files) => Stores::<Op>::list(files).await,
            Self::Schemas(schemas) => Stores::<Op>::list(schemas).await,
        }
    }

    async fn open(&self, namespace: &Namespace) -> Result<SqlService<Op>, String> {
        match self {
            Self::Named(places) => match Self::named(places, namespace) {
                Some(place) => place.open().await.map_err(|e| e.to_string()),
                None => Err("no database is named for it".to_owned()),
            },
            Self::Files(files) => files.open(namespace).await,
            Self::Schemas(schemas) => schemas.open(namespace).await,
        }
    }

    async fn is_to_come(&self, namespace: &Namespace) -> bool {
        match self {
            Self::Named(places) => match Self::named(places, namespace) {
                Some(place) => place.is_to_come().await,
                None => false,
            },
            Self::Files(files) => Stores::<Op>::is_to_come(files, namespace).await,
            Self::Schemas(schemas) => Stores::<Op>::is_to_come(schemas, namespace).await,
        }
    }

    fn creates(&self) -> bool {
        match self {
            Self::Named(_) => false,
            Self::Files(files) => Stores::<Op>::creates(files),
            Self::Schemas(schemas) => Stores::<Op>::creates(schemas),
        }
    }
}
