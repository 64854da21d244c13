//! The future of a request over NATS.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_nats::Message;

use super::bundle::BundledReply;
use super::bundle::answers::Fate;
use super::health::{self, Health, Route};
use super::inbox::Completion;
use super::pending::PendingReply;
use super::{Company, Shared, wire};
use crate::error::{Cause, Code, Error};
use crate::operation::Operation;
use crate::reply::{Ack, Reply, Via};
use crate::request::Request;

/// The future of [`NatsService`](super::NatsService). Dropping it stops the waiting and removes the waiter
/// from the inbox.
#[derive(Debug)]
pub struct NatsFuture<O>(State<O>);

#[derive(Debug)]
enum State<O> {
    Refused(Error<O>),
    Waiting { pending: PendingReply, sent: Sent, shared: Arc<Shared>, request: Request<O> },
    Done,
}

/// How a request was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) way: Route,
    /// Whether the stream's key identifies this operation alone: see [`key`](super::keys::key).
    pub(super) keyed: bool,
}

impl<O> NatsFuture<O> {
    pub(super) const fn refused(error: Error<O>) -> Self {
        Self(State::Refused(error))
    }

    pub(super) const fn waiting(
        pending: PendingReply,
        sent: Sent,
        shared: Arc<Shared>,
        request: Request<O>,
    ) -> Self {
        Self(State::Waiting { pending, sent, shared, request })
    }
}

// No field is structurally pinned: a pending reply is `Unpin`.
impl<O> Unpin for NatsFuture<O> {}

impl<O: Operation> Future for NatsFuture<O> {
    type Output = Result<Reply<O::Answer>, Error<O>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = &mut self.get_mut().0;
        let settled = loop {
            let State::Waiting { pending, sent, shared, request } = me else { break None };
            match ready!(Pin::new(&mut *pending).poll(cx)) {
                // Nothing of its bundle was done: the same request travels alone.
                Completion::Unbundled(why) => {
                    shared.health.not_bundled(why);
                    match shared.send(request, Company::None) {
                        Ok((alone, how)) => (*pending, *sent) = (alone, how),
                        Err(cause) => break Some(Completion::Refused(cause)),
                    }
                }
                settled => break Some(settled),
            }
        };
        match (std::mem::replace(me, State::Done), settled) {
            (State::Waiting { sent: Sent { way, keyed }, shared, request, .. }, Some(settled)) => {
                let health = &*shared.health;
                let result = match settled {
                    Completion::Bundled(settled) => fate::<O>(health, request.op.index(), settled),
                    Completion::Refused(cause) => Err(cause),
                    Completion::Answer(message) => answer::<O>(health, request.op.index(), &message),
                    // Another operation may have used this id before. The other path can tell, because the
                    // ledger compares payloads.
                    Completion::Stored(ack) if ack.duplicate && !keyed => Err(Cause::new(
                        Code::UNANSWERED,
                        format!(
                            "the stream has something under this id already, at its place {}; whether it is the same \
                             operation cannot be told from here",
                            ack.seq
                        ),
                    )),
                    Completion::Stored(ack) => {
                        ack.stored().and_then(|place| stored::<O>(health, request.op.index(), place))
                    }
                    Completion::Denied(subject) => Err(health::denied(&subject)),
                    Completion::NobodyThere => {
                        health.no_responders(way);
                        Err(Cause::new(
                            Code::UNAVAILABLE,
                            match way {
                                Route::Service => "no database service listens on NATS",
                                Route::Stream => "no stream on NATS takes events",
                            },
                        ))
                    }
                    Completion::Lost | Completion::Unbundled(_) => Err(Cause::new(
                        Code::UNANSWERED,
                        "the connection or the service was lost before it answered",
                    )),
                };
                Poll::Ready(result.map_err(|cause| Error::new(cause, request)))
            }
            (State::Refused(error), _) => Poll::Ready(Err(error)),
            (State::Done | State::Waiting { .. }, _) => panic!("`NatsFuture` polled after it was ready"),
        }
    }
}

fn answer<O: Operation>(health: &Health, index: usize, message: &Message) -> Result<Reply<O::Answer>, Cause> {
    if let Some(refusal) = wire::refusal(message) {
        return Err(refusal);
    }
    if !health.served_by(wire::database(message)) {
        return Err(another_database());
    }
    let answer = O::decode_answer(index, &message.payload).map_err(|e| Cause::new(Code::UNREADABLE, e.0))?;
    Ok(Reply { via: Via::NATS, ack: Ack::Committed, answer, omitted: wire::omitted(message) })
}

/// What became of it in a bundle.
fn fate<O: Operation>(health: &Health, index: usize, reply: BundledReply) -> Result<Reply<O::Answer>, Cause> {
    let BundledReply { database, fate } = reply;
    if let Fate::Refused(cause) = fate {
        return Err(cause);
    }
    if !health.served_by(database.as_deref()) {
        return Err(another_database());
    }
    let (body, omitted) = match &fate {
        Fate::Answered { body, omitted } => (&body[..], *omitted),
        _ => (O::SPECS[index].empty_answer.as_bytes(), 0),
    };
    let answer = O::decode_answer(index, body).map_err(|e| Cause::new(Code::UNREADABLE, e.0))?;
    Ok(Reply { via: Via::NATS, ack: Ack::Committed, answer, omitted })
}

fn another_database() -> Cause {
    Cause::new(Code::UNANSWERED, "a service on another database answered")
}

/// An event in the stream is going to be applied. The caller gets the empty answer of its operation.
fn stored<O: Operation>(health: &Health, index: usize, place: u64) -> Result<Reply<O::Answer>, Cause> {
    health.note_stored(place);
    let empty = O::SPECS[index].empty_answer.as_bytes();
    let answer = O::decode_answer(index, empty).map_err(|e| Cause::new(Code::UNANSWERED, e.0))?;
    Ok(Reply { via: Via::NATS, ack: Ack::Stored, answer, omitted: 0 })
}
