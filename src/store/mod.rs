//! What a database is to the rest of this crate: the trait [`Store`]. The database service, the guard of the direct path
//! and the runtime know only this trait; SQLite behind it is in `sql`.
//!
//! ```
//! use eitherway::operation::Operation;
//! use eitherway::store::Store;
//!
//! async fn is_alive<O: Operation>(store: &impl Store<O>) -> bool {
//!     store.ping().await.is_ok()
//! }
//! ```

#[cfg(feature = "sqlite")]
pub(crate) mod call;
pub(crate) mod dead_letter;
#[cfg(feature = "sqlite")]
pub(crate) mod duplicates;
#[cfg(feature = "sqlite")]
pub(crate) mod fold;
mod instances;
#[cfg(feature = "sqlite")]
pub(crate) mod keeper;
#[cfg(feature = "sqlite")]
pub(crate) mod options;
#[cfg(feature = "sqlite")]
pub(crate) mod patience;
#[cfg(feature = "sqlite")]
pub(crate) mod pulse;
#[cfg(feature = "sqlite")]
pub(crate) mod queue;
#[cfg(feature = "sqlite")]
pub(crate) mod reader;
#[cfg(feature = "sqlite")]
pub(crate) mod record;
#[cfg(feature = "sqlite")]
pub(crate) mod retention;
#[cfg(feature = "sqlite")]
mod spans;
mod stores;
#[cfg(feature = "sqlite")]
pub(crate) mod text;
#[cfg(feature = "sqlite")]
pub(crate) mod uses;
#[cfg(feature = "sqlite")]
pub(crate) mod writer;

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tower::Service;

pub use dead_letter::DeadLetter;
pub use instances::{Enrolled, Instances};
#[cfg(feature = "sqlite")]
pub use retention::{Purged, Retention};
pub use stores::Stores;

use crate::error::{Cause, Error};
use crate::operation::Operation;
use crate::reply::Reply;
use crate::request::{Head, Request};

/// What is wrong with a database, each in a sentence as long as it is so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Concerns {
    /// Its log grows without bound.
    pub log: Option<String>,
    /// It cannot be written.
    pub disk: Option<String>,
    /// What was appended cannot be folded.
    pub folds: Option<String>,
}

/// A database that applies operations, each exactly once.
///
/// It is a `tower::Service` that is called with requests, and little more. Clones are the same store.
///
/// **`call`** applies the request and answers after the commit:
/// - An id takes effect once. The same request again gets the same answer; the same id with another operation or payload
///   is refused (`id_reused`). That holds over restarts, and for calls that run at the same time.
/// - Requests are handed over in the order of the calls, before `call` returns.
/// - [`Request::received`] says since when the request waits and how long its answer may be; both are kept to. The answer is
///   forwarded to a peer, so that a store that has it as JSON gives it as [`Operation::forward_answer`] makes it.
/// - An error carries the request, and its class says what may be done: see [`Error`]. Whatever the operation itself is not
///   the cause of is of class `Backend`, and is tried again.
/// - **Cancel safety**: dropping the future stops the waiting. What was handed over takes effect all the same.
///
/// **`poll_ready`** is always ready, or waits for room; an error of it is final.
///
/// A store without the provided methods is complete. They are for what a store may know beyond its operations.
pub trait Store<O: Operation>:
    Service<Request<O>, Response = Reply<O::Answer>, Error = Error<O>, Future: Send>
    + Instances
    + Clone
    + Send
    + Sync
    + 'static
{
    /// The id of this database, given at its creation and never to another one: what decides whether two paths lead to the
    /// same database.
    fn id(&self) -> &str;

    /// A sign of life of whatever applies the operations. Cancel safe.
    ///
    /// # Errors
    /// Of class `Backend`: it is not well now.
    fn ping(&self) -> impl Future<Output = Result<(), Cause>> + Send;

    /// Keeps something that could not be understood or applied, for a person to look at; complete after the commit. Answers
    /// whether it was not kept before. That is looked up only if `again` says that it may have been; otherwise the answer is
    /// `true`.
    ///
    /// Dropping the future leaves open whether it is kept.
    ///
    /// # Errors
    /// Those of a write: whether it is kept is not known, and it is offered with `again`.
    fn dead_letter(
        &self,
        letter: DeadLetter,
        again: bool,
    ) -> impl Future<Output = Result<bool, Cause>> + Send;

    /// How often the operation of this index (see [`Operation::SPECS`]) came again and had no second effect, since this store
    /// was opened.
    fn duplicates(&self, index: usize) -> u64;

    /// Commits what was handed over, refuses what comes then, and lets go of the database, within a limit of its own. Calling
    /// it again does nothing. Dropping the future leaves the rest to the last clone.
    fn close(&self) -> impl Future<Output = ()> + Send;

    /// Where the database is, for people.
    fn shown(&self) -> &str {
        self.id()
    }

    /// Why every operation is refused at present, as a sentence: that its file was replaced, for one. None while it serves.
    fn trouble(&self) -> watch::Receiver<Option<String>> {
        watch::channel(None).1
    }

    /// What is wrong with the database while it may still serve.
    fn concerns(&self) -> watch::Receiver<Concerns> {
        watch::channel(Concerns::default()).1
    }

    /// How far in the future an operation may claim to have happened.
    fn future_tolerance(&self) -> Duration {
        Head::AHEAD
    }

    /// Told of the time of another machine or process, in unix milliseconds; `elsewhere`: it has another clock than this one.
    /// For a store that removes what is old, and must not do so by one wrong clock.
    fn observe_time(&self, at: i64, elsewhere: bool) {
        let _ = (at, elsewhere);
    }

    /// What an operator has to know of the clock, as far as this store goes by it.
    fn clock_skew(&self) -> Option<String> {
        None
    }
}
