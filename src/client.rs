//! The typed client: the callers' view of the stack.
//!
//! ```
//! use eitherway::{Class, Classify, Db, Stack};
//! # use rosey::op::{Op, UserJoined};
//!
//! # async fn example(db: Db<impl Stack<Op>>) -> Result<(), eitherway::Error<Op>> {
//! let reply = db.call(UserJoined { username: "alice".into() }).await;
//! match reply {
//!     Ok(reply) => println!("served by {}", reply.via.as_str()),
//!     // The error carries the request: sent again, it keeps its id.
//!     Err(error) if error.class() != Class::Rejected => {
//!         if let Some(request) = error.into_request() {
//!             db.send(request).await?;
//!         }
//!     }
//!     Err(error) => return Err(error),
//! }
//! # Ok(())
//! # }
//! ```

use tower::{Service, ServiceExt};

use crate::error::{Cause, Code, Error};
use crate::operation::{Operation, OperationOf};
use crate::reply::Reply;
use crate::request::{Head, Request};

/// Any stack of layers over the paths: a service of requests whose error converts into [`Error`], whatever
/// its nesting.
pub trait Stack<O: Operation>:
    Service<Request<O>, Response = Reply<O::Answer>, Error: Into<Error<O>>, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<O: Operation, S> Stack<O> for S where
    S: Service<Request<O>, Response = Reply<O::Answer>, Error: Into<Error<O>>, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// A typed client over any stack: one method per operation, named after it.
///
/// Every call gives its operation a fresh id and the present time, unless [`at`](Self::at) or
/// [`with`](Self::with) say otherwise. An error carries the request, so that trying again keeps the id: pass
/// it to [`send`](Self::send).
///
/// Dropping the future of a call stops the waiting; it does not revoke what has been sent.
#[derive(Clone, Debug)]
pub struct Db<S> {
    stack: S,
    head: Option<Head>,
}

impl<S> Db<S> {
    /// A client over a stack.
    pub const fn new(stack: S) -> Self {
        Self { stack, head: None }
    }

    /// The stack underneath.
    pub const fn stack(&self) -> &S {
        &self.stack
    }

    /// The same client for **one** operation that happened at `occurred_at`, in unix milliseconds.
    #[must_use]
    pub fn at(&self, occurred_at: i64) -> Self
    where
        S: Clone,
    {
        self.with(Head::at(occurred_at))
    }

    /// The same client for **one** operation under this head. A second operation under the same head has the
    /// same id, and is refused as `id_reused`.
    #[must_use]
    pub fn with(&self, head: Head) -> Self
    where
        S: Clone,
    {
        Self { stack: self.stack.clone(), head: Some(head) }
    }

    /// Performs one operation.
    ///
    /// # Errors
    /// The error of the stack, with the request.
    pub async fn call<M>(&self, op: M) -> Result<Reply<M::Answer>, Error<M::Set>>
    where
        M: OperationOf,
        S: Stack<M::Set>,
    {
        let request = Request::with_head(self.head.clone().unwrap_or_else(Head::now), op);
        let reply = self.send(request.clone()).await?;
        let (via, ack, omitted) = (reply.via, reply.ack, reply.omitted);
        if omitted > 0 {
            let operation = M::SPEC.name;
            tracing::warn!(operation, "{omitted} older entries are not in the answer: it would be too long");
        }
        match M::answer(reply.answer) {
            Some(answer) => Ok(Reply { via, ack, answer, omitted }),
            None => {
                Err(Error::new(Cause::new(Code::UNANSWERED, "the answer is another operation's"), request))
            }
        }
    }

    /// Sends a request unchanged; a retry passes the request of the failed attempt.
    ///
    /// Waits until the [deadline](Head::deadline) at the longest, if the request has one. After it, services and stores drop a
    /// request that they have not applied yet.
    ///
    /// # Errors
    /// The error of the stack, with the request. At the deadline `Elapsed` (class `Unknown`); behind it `expired`.
    pub async fn send<O>(&self, request: Request<O>) -> Result<Reply<O::Answer>, Error<O>>
    where
        O: Operation,
        S: Stack<O>,
    {
        let kept = request.clone();
        let answer = self.stack.clone().oneshot(request);
        let Some(deadline) = kept.head.deadline else {
            return answer.await.map_err(|e| e.into().or_request(|| kept));
        };
        if let Err(expired) = deadline.check() {
            return Err(Error::new(expired, kept));
        }
        let time = deadline.remaining();
        // Waiting for room in the stack counts as well.
        match tokio::time::timeout(time, answer).await {
            Ok(result) => result.map_err(|e| e.into().or_request(|| kept)),
            Err(_) => Err(Error::new(Cause::Elapsed(time), kept)),
        }
    }
}
