//! The future of an event on its way into the outbox.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::oneshot;

use crate::error::{Cause, Code, Error};
use crate::operation::Operation;
use crate::reply::{Ack, Reply, Via};
use crate::request::Request;

/// The future of [`OutboxService`](super::OutboxService). Dropping it takes back nothing that was handed over.
pub struct OutboxFuture<O>(State<O>);

enum State<O> {
    Refused(Error<O>),
    Writing { rx: oneshot::Receiver<Result<(), Cause>>, request: Request<O> },
    Done,
}

impl<O> OutboxFuture<O> {
    pub(super) const fn refused(error: Error<O>) -> Self {
        Self(State::Refused(error))
    }

    pub(super) const fn writing(rx: oneshot::Receiver<Result<(), Cause>>, request: Request<O>) -> Self {
        Self(State::Writing { rx, request })
    }
}

// Nothing in it is pinned: the receiver is `Unpin`.
impl<O> Unpin for OutboxFuture<O> {}

impl<O> fmt::Debug for OutboxFuture<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxFuture").finish_non_exhaustive()
    }
}

impl<O: Operation> Future for OutboxFuture<O> {
    type Output = Result<Reply<O::Answer>, Error<O>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = &mut self.get_mut().0;
        let kept = match me {
            State::Writing { rx, .. } => ready!(Pin::new(rx).poll(cx)).unwrap_or_else(|_| Err(vanished())),
            State::Refused(_) | State::Done => Ok(()),
        };
        match std::mem::replace(me, State::Done) {
            State::Writing { request, .. } => {
                let empty = request.op.spec().empty_answer.as_bytes();
                let answer = kept.and_then(|()| {
                    // What is kept and has no answer to give is kept all the same: that is no refusal.
                    O::decode_answer(request.op.index(), empty).map_err(|e| Cause::new(Code::UNANSWERED, e.0))
                });
                Poll::Ready(match answer {
                    Ok(answer) => Ok(Reply { via: Via::OUTBOX, ack: Ack::Stored, answer, omitted: 0 }),
                    Err(cause) => Err(Error::new(cause, request)),
                })
            }
            State::Refused(error) => Poll::Ready(Err(error)),
            State::Done => panic!("`OutboxFuture` polled after it was ready"),
        }
    }
}

/// The holder took it and ended without a word: perhaps after the commit.
pub(super) fn vanished() -> Cause {
    Cause::new(Code::UNANSWERED, "the outbox was closed before it answered")
}
