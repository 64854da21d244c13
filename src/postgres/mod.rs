//! The path on PostgreSQL: [`SqlService`] over a server, for more than one machine.
//!
//! A batch is one call of a function, which is made from constants when the database is opened and named by their hash, so that
//! several versions of a program work side by side. It writes the ledger in the order of ids, takes locks on the
//! [keys](crate::operation::Keys) of what is new, and runs the operations' statements over that. A batch with operations that are
//! applied by functions is a transaction: that call first, then those functions.

mod address;
mod apply;
mod audit;
mod batch;
mod derive;
mod fault;
mod fold;
mod folder;
mod function;
mod letters;
mod link;
mod migrate;
mod objects;
mod options;
mod passwords;
mod reader;
mod readers;
mod rights;
mod schema;
mod schemas;
mod servers;
mod sweep;
mod verify;
mod versions;
mod writer;

use std::sync::Arc;

use tokio::sync::watch;

use self::link::TargetSession;
use crate::error::Cause;
use crate::operation::Persist;
use crate::sql::{OpenError, Parts, SqlService};
use crate::store::fold::Folds;
use crate::store::options::StoreOptions;

pub use options::PostgresOptions;
pub use schemas::PostgresSchemas;
pub use verify::verify;

impl<O: Persist> SqlService<O> {
    /// Opens a database on PostgreSQL: creates schema, tables and function where they are missing, under a lock (two processes
    /// may start at once), and starts the writer.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses the role; when something is missing that the role may not create; when the
    /// database is newer than this program; when a statement of an operation cannot be prepared, or may not be what it is.
    pub async fn open_postgres(options: &PostgresOptions) -> Result<Self, OpenError> {
        let options = &options.of::<O>()?;
        let function = function::Function::of::<O>();
        let (opened, connected) = match link::connect(options, TargetSession::Writing).await {
            Ok(mut connected) => {
                let opened = migrate::open::<O>(options, &function, &mut connected.connection).await?;
                (opened, Some(connected))
            }
            Err(fault) if options.read_alone && fault.has_only_readers() => {
                let spare = link::connect(options, TargetSession::Reading).await;
                let mut spare = spare.map_err(|fault| options.failed(fault))?;
                (migrate::open_alone::<O>(options, &mut spare.connection).await?, None)
            }
            Err(fault) => return Err(options.failed(fault)),
        };
        let options = &options.clone().expect_database(&opened.database);
        let writes = connected.is_some();
        let (trouble, troubles) = watch::channel(None);
        let reader = reader::PostgresReader::new::<O>(options, troubles);
        let writer = writer::PostgresWriter::new::<O>(options, connected, &function, trouble);
        let parts = Parts {
            database: opened.database,
            shown: format!("{}, schema {}", options.shown(), options.in_schema()),
            options: match writes {
                true => options.store.clone(),
                false => StoreOptions { retention: None, folding: None, ..options.store.clone() },
            },
        };
        let folder = folder::PostgresFolder::new(options, &function);
        let folds = Folds::new(&fold::of_kinds::<O>(), Arc::new(folder));
        Ok(Self::begin(parts, Arc::new(reader), Arc::default(), writer, Some(folds)).await)
    }
}

/// A connection for what is done beside the store.
pub(crate) async fn connect(options: &PostgresOptions) -> Result<sqlx::postgres::PgConnection, Cause> {
    let connected = link::connect(options, TargetSession::Reading).await;
    connected.map(|connected| connected.connection).map_err(|fault| fault.cause())
}

/// What an error of such a connection means.
pub(crate) fn cause(error: sqlx::Error) -> Cause {
    fault::Fault::from(error).cause()
}
