//! Who else has a database open.

use std::future::{Future, ready};

use crate::error::Cause;

/// What a service is told when it is written down in its database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enrolled {
    /// When that was, in unix milliseconds; 0 if this store writes nothing down.
    pub seen: i64,
    /// What only this database and its copies hold, if it is known.
    pub secret: Option<String>,
}

/// How a store tells itself from its copies: every instance of the database service writes itself down in the database that it
/// has open. An instance that is not found there serves another one, whatever id that bears.
///
/// The provided methods are right for a store of which there cannot be a copy under the same id, such as a database server.
pub trait Instances {
    /// The open file as the system of this machine knows it: two processes on one machine that say the same have the same
    /// file open. None where there is no file, or the system does not tell.
    fn file_id(&self) -> Option<String> {
        None
    }

    /// Writes down that this instance, which runs since `started`, has the database open. Cancel safe.
    ///
    /// # Errors
    /// Those of a write.
    fn enrol(&self, id: &str, started: i64) -> impl Future<Output = Result<Enrolled, Cause>> + Send {
        let _ = (id, started);
        ready(Ok(Enrolled::default()))
    }

    /// When an instance was last written down here, in unix milliseconds. Cancel safe.
    ///
    /// # Errors
    /// Those of a read.
    fn seen(&self, id: &str) -> impl Future<Output = Result<Option<i64>, Cause>> + Send {
        let _ = id;
        ready(Ok(None))
    }

    /// The instances that were written down here and have started since this time, in unix milliseconds. Cancel safe.
    ///
    /// # Errors
    /// Those of a read.
    fn started_since(&self, time: i64) -> impl Future<Output = Result<Vec<String>, Cause>> + Send {
        let _ = time;
        ready(Ok(Vec::new()))
    }

    /// The instances that were last written down here since this time, in unix milliseconds. Cancel safe.
    ///
    /// # Errors
    /// Those of a read.
    fn seen_since(&self, time: i64) -> impl Future<Output = Result<Vec<String>, Cause>> + Send {
        let _ = time;
        ready(Ok(Vec::new()))
    }
}

/// Nothing that could be open.
impl Instances for () {}
