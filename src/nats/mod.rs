//! The path over NATS: [`NatsService`], the client side of the database service.
//!
//! ```no_run
//! use eitherway::nats::{NatsOptions, NatsService};
//! use eitherway::operation::Kind;
//! # use rosey::op::Op;
//!
//! # async fn example() -> Result<(), eitherway::nats::ConnectError> {
//! let nats = NatsService::<Op>::connect(NatsOptions::new("nats://127.0.0.1:4222")).await?;
//! // It connects in the background; until a service is recognised, every request is refused at once.
//! nats.health().wait_for(|health| health.takes(Kind::Event)).await.ok();
//! # Ok(())
//! # }
//! ```

pub(crate) mod address;
pub(crate) mod barrier;
pub(crate) mod bundle;
pub(crate) mod connect;
mod connection;
pub(crate) mod connection_log;
mod diagnosis;
pub(crate) mod failure;
mod foreign_replies;
mod future;
mod health;
mod identity;
mod inbox;
pub(crate) mod keys;
pub(crate) mod names;
mod pending;
mod ping_timeout;
mod probe;
mod reconnect;
mod status;
pub(crate) mod stored;
pub(crate) mod tokens;
#[cfg(feature = "sqlite")]
pub(crate) mod unreadable;
mod untrusted;
pub(crate) mod wire;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_nats::Client;
use async_nats::connection::State;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::Service;

pub use address::redact;
use bundle::{FEW, LARGE, Outgoing, Queued};
pub use connect::{ConnectError, NatsOptions, is_subject};
#[cfg(feature = "sqlite")]
pub(crate) use failure::refuses_us;
pub use future::NatsFuture;
use future::Sent;
use health::Route;
pub use inbox::InboxCounts;
use inbox::{Asked, ReplyFrom};
use names::Names;
use pending::PendingReply;
pub use status::{Mode, Recognition, Status};

use crate::error::{Cause, Code, Error};
use crate::namespace::Namespace;
use crate::operation::{Kind, Operation};
use crate::reply::{Reply, Via};
use crate::request::Request;
use crate::stack::{Bus, LateAnswers};

/// Sends operations to the database service and waits for its answer.
///
/// **What counts as an answer.** A request is settled only by a reply of our service (header `Eitherway-Reply`),
/// or by the server's "no responders". An event to a service that works on a stream is settled by that
/// stream's acknowledgement ([`Ack::Stored`](crate::Ack::Stored)), and by no other stream's. Any other reply
/// (from a foreign stream over our subjects, or another kind of service) is counted and logged once per
/// subject, and the request keeps waiting.
///
/// **Duplicates.** A message that a stream drops as a duplicate counts as stored only where its key
/// identifies exactly this operation: id, name and payload. A service that does not know such keys gets the id
/// itself; a duplicate then settles nothing (class `Unknown`), so that the other path decides.
///
/// **Immediate refusal** (class `NotSent`, nothing was sent) happens while the connection is down, while
/// neither the service nor, for events, its stream has been recognised, when the server denies the subject,
/// and when the client's queue is full. `poll_ready` therefore always returns ready.
///
/// **No time-out of its own**: wrap it in a [`Timeout`](eitherway_layers::Timeout). A connection that breaks
/// releases every waiting request at once with class `Unknown`. A service that stops answering its ping
/// releases the requests that wait for it, but not the events that wait for the stream: the stream accepts
/// events while no service runs.
///
/// Dropping a future stops the waiting for its reply; the operation may still take effect. Clones share one
/// connection and one reply inbox.
pub struct NatsService<O> {
    shared: Arc<Shared>,
    operation: PhantomData<fn(O)>,
}

struct Shared {
    outgoing: Arc<Outgoing>,
    /// How far in the future an operation may claim to have happened.
    future_tolerance: Duration,
    /// How far in the past an operation may claim to have happened.
    past_tolerance: Duration,
    /// Dropped with the last clone, which ends the tasks that maintain inbox and health.
    _running: DropGuard,
}

impl<O> Clone for NatsService<O> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), operation: PhantomData }
    }
}

impl<O> fmt::Debug for NatsService<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsService").field("status", &*self.shared.health.status().borrow()).finish()
    }
}

impl<O: Operation> NatsService<O> {
    /// Starts connecting and returns at once, whether or not a server is reachable. The client retries
    /// indefinitely; until it has recognised our service, requests are refused.
    ///
    /// # Errors
    /// When the address or the credentials cannot be read, or the namespace overlaps another one.
    pub async fn connect(options: NatsOptions) -> Result<Self, ConnectError> {
        let ended = CancellationToken::new();
        let names = Arc::new(Names::new::<O>(&options.namespace)?);
        let (future_tolerance, past_tolerance) = (options.future_tolerance, options.past_tolerance);
        let outgoing = connect::start(options, &names, ended.clone()).await?;
        let shared =
            Arc::new(Shared { outgoing, future_tolerance, past_tolerance, _running: ended.drop_guard() });
        Ok(Self { shared, operation: PhantomData })
    }

    /// The namespace in which the service is asked.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.shared.names.namespace
    }

    /// How this path is, now and on every change: what it takes, why not, and which database it leads to.
    #[must_use]
    pub fn health(&self) -> watch::Receiver<crate::Health> {
        self.shared.health.watch_health()
    }

    /// The state of the connection and of the service in detail, from which [`health`](Self::health) follows; now and on every
    /// change.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared.health.status()
    }

    /// Waits until a database service has been recognised, and its stream if it works on one. Cancel safe.
    pub async fn recognised(&self) {
        // The sender lives in `shared`, which this call borrows, so the channel cannot be closed.
        let _ = self.status().wait_for(Status::usable).await;
    }

    /// Waits until requests of this kind can be sent: events may go to the stream while no service runs.
    /// Cancel safe.
    pub async fn takes(&self, kind: Kind) {
        // As above.
        let _ = self.status().wait_for(|status| status.takes(kind)).await;
    }

    /// The answers that came when their request was not waited for any more, now and on every change.
    #[must_use]
    pub fn late_answers(&self) -> watch::Receiver<LateAnswers> {
        self.shared.inbox.late_answers()
    }

    /// The counters of the reply inbox.
    #[must_use]
    pub fn inbox(&self) -> InboxCounts {
        self.shared.inbox.counts()
    }

    /// The underlying NATS client, for other uses.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.shared.client
    }
}

impl std::ops::Deref for Shared {
    type Target = Outgoing;

    fn deref(&self) -> &Outgoing {
        &self.outgoing
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// Sends the request, alone or with others.
    fn send<O: Operation>(
        &self,
        request: &Request<O>,
        company: Company,
    ) -> Result<(PendingReply, Sent), Cause> {
        let spec = request.op.spec();
        let kind = spec.kind;
        let way = self.health.way(kind)?;
        // The client's state changes before the event about it arrives.
        if self.client.connection_state() != State::Connected {
            return Err(self.health.disconnected());
        }
        let subject = self.names.subject(request.op.index());
        if self.health.denies(subject) {
            return Err(health::denied(subject));
        }
        request.head.check_deadline()?;
        request.head.check(self.future_tolerance, self.past_tolerance)?;
        let payload = request.op.payload()?;
        let sent = Sent { way, keyed: way == Route::Stream && self.health.keyed() };
        let pending = self.inbox.wait_for_operation(
            subject.clone(),
            match way {
                Route::Service => ReplyFrom::Service,
                Route::Stream => ReplyFrom::Stream,
            },
            Asked {
                id: request.head.id.clone(),
                named: self.health.names_operations(),
                event: kind == Kind::Event,
            },
        );
        // Check again: if the service was lost before this wait was registered, its waiters have been
        // released already.
        if self.health.way(kind)? != way {
            return Err(Cause::new(Code::UNAVAILABLE, "the database service changes how it takes events"));
        }
        let joins = company == Company::Any
            && pending.waiting() > FEW
            && payload.len() <= LARGE
            && self.health.bundles(way).is_some()
            && !self.is_denied(way);
        let (subject, reply) = (subject.clone(), pending.subject());
        if joins {
            let (key, token) = pending.slot();
            let (head, payload) = (request.head.clone(), payload.into());
            self.enqueue(Queued { head, spec, subject, payload, way, key, token, reply })?;
        } else {
            self.alone(&request.head, spec, (subject, reply), payload, way)?;
        }
        Ok((pending, sent))
    }
}

/// With what a request may travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    /// With nothing else.
    None,
    /// With whatever waits beside it.
    Any,
}

impl<O: Operation> Bus<O> for NatsService<O> {
    fn via(&self) -> Via {
        Via::NATS
    }

    fn health(&self) -> watch::Receiver<crate::Health> {
        self.health()
    }

    fn late_answers(&self) -> Option<watch::Receiver<LateAnswers>> {
        Some(Self::late_answers(self))
    }
}

impl<O: Operation> Service<Request<O>> for NatsService<O> {
    type Response = Reply<O::Answer>;
    type Error = Error<O>;
    type Future = NatsFuture<O>;

    /// Always ready: `call` refuses what cannot be sent.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<O>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<O>) -> NatsFuture<O> {
        match self.shared.send(&request, Company::Any) {
            Ok((pending, sent)) => NatsFuture::waiting(pending, sent, Arc::clone(&self.shared), request),
            Err(cause) => NatsFuture::refused(Error::new(cause, request)),
        }
    }
}
