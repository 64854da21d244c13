//! The future of a request on the database.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use crate::answer::Json;
use crate::error::{Cause, Code, Error};
use crate::operation::Operation;
use crate::reply::{Ack, Reply, Via};
use crate::request::Request;

type Read = Pin<Box<dyn Future<Output = Result<(Json, u64), Cause>> + Send>>;

/// The future of [`SqlService`](super::SqlService). Dropping it cancels no write.
pub struct SqlFuture<O>(State<O>);

enum State<O> {
    Refused(Error<O>),
    Writing { rx: oneshot::Receiver<Result<String, Cause>>, request: Request<O> },
    Reading { read: Read, request: Request<O> },
    Done,
}

impl<O> SqlFuture<O> {
    pub(super) const fn refused(error: Error<O>) -> Self {
        Self(State::Refused(error))
    }

    pub(super) const fn writing(rx: oneshot::Receiver<Result<String, Cause>>, request: Request<O>) -> Self {
        Self(State::Writing { rx, request })
    }

    pub(super) fn reading(read: Read, request: Request<O>) -> Self {
        Self(State::Reading { read, request })
    }
}

// Nothing in it is pinned: the receiver and the box are `Unpin`.
impl<O> Unpin for SqlFuture<O> {}

impl<O> fmt::Debug for SqlFuture<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlFuture").finish_non_exhaustive()
    }
}

impl<O: Operation> Future for SqlFuture<O> {
    type Output = Result<Reply<O::Answer>, Error<O>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = &mut self.get_mut().0;
        let json = match me {
            State::Writing { rx, .. } => match ready!(Pin::new(rx).poll(cx)) {
                Ok(result) => Some(result.map(|json| (Json::from(json), 0))),
                Err(_) => Some(Err(super::error::vanished())),
            },
            State::Reading { read, .. } => Some(ready!(read.as_mut().poll(cx))),
            State::Refused(_) | State::Done => None,
        };
        match (std::mem::replace(me, State::Done), json) {
            (State::Writing { request, .. } | State::Reading { request, .. }, Some(json)) => {
                let answer = json.and_then(|(json, omitted)| Ok((answer(&request, json)?, omitted)));
                Poll::Ready(match answer {
                    Ok((answer, omitted)) => Ok(Reply { via: Via::DB, ack: Ack::Committed, answer, omitted }),
                    Err(cause) => Err(Error::new(cause, request)),
                })
            }
            (State::Refused(error), _) => Poll::Ready(Err(error)),
            _ => panic!("`SqlFuture` polled after it was ready"),
        }
    }
}

/// The answer from its JSON: read, unless it is forwarded. One that has not the form that the operation promises is the
/// fault of the operation's text: the database has served, and would serve the same on any path.
fn answer<O: Operation>(request: &Request<O>, json: Json) -> Result<O::Answer, Cause> {
    let (index, spec) = (request.op.index(), request.op.spec());
    let refused = |code, why: &str| {
        let happened = if spec.writes() { "it was applied, and " } else { "" };
        Cause::new(code, format!("{}: {happened}{why}", spec.name))
    };
    let form = |e: &dyn std::fmt::Display| {
        let whose = if spec.writes() { "operation" } else { "query" };
        refused(Code::REFUSED, &format!("{e}; the {whose}'s ANSWER must have its form"))
    };
    if json.as_str() == "null" {
        let why = "there is nothing to answer with (an operation for which that is no error answers with an `Option`)";
        return O::decode_answer(index, b"null").map_err(|_| refused(Code::NOT_FOUND, why));
    }
    if request.received().is_some() {
        let json = json.into_raw().map_err(|e| form(&e))?;
        return O::forward_answer(index, json).map_err(|e| form(&e.0));
    }
    O::decode_answer(index, json.as_str().as_bytes()).map_err(|e| form(&e.0))
}
