//! The path over NATS: [`NatsService`], the client side of the database service.

mod connect;
mod future;
mod inbox;
mod status;
pub mod wire;

use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use async_nats::client::PublishErrorKind;
use async_nats::connection::State;
use async_nats::message::OutboundMessage;
use async_nats::{Client, Subject};
use futures_util::SinkExt;
use tokio::sync::watch;
use tokio::task::coop::unconstrained;
use tower::Service;

#[cfg(feature = "sqlite")]
pub(crate) use connect::refuses_us;
pub use connect::{ConnectError, NatsOptions, redact};
pub use future::NatsFuture;
pub use inbox::InboxCounts;
use inbox::{Inbox, Ticket};
use status::Health;
pub use status::{Recognition, Status};

use crate::error::{Cause, Code, Error};
use crate::operation::Operation;
use crate::reply::Reply;
use crate::request::Request;

/// Sends operations to the database service and waits for its answer.
///
/// **What counts as an answer.** A request is settled only by a reply of our service (header `Rosey-Reply`), or
/// by the server's word that nobody listens. Any other reply (a stream over our subjects, another kind of
/// service) is counted, named once in the log, and waited past.
///
/// **When it refuses at once** (class `NotSent`, nothing was sent): the connection is not up; no service has
/// been recognised; the server denies the subject; the client's queue is full. So it is always ready.
///
/// **It knows no time-out**: put a [`Timeout`](rosey_layers::Timeout) around it. A connection that breaks, and
/// a service that stops answering its ping, release every waiting request at once with class `Unknown`.
///
/// Dropping a future forgets its reply and leaves nothing behind; the operation may happen all the same.
/// Clones share one connection and one reply inbox.
pub struct NatsService<O> {
    shared: Arc<Shared>,
    operation: PhantomData<fn(O)>,
}

struct Shared {
    client: Client,
    inbox: Arc<Inbox>,
    health: Arc<Health>,
    /// Ends with the last clone, and with it the tasks that keep inbox and health.
    _running: watch::Sender<()>,
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
    /// Starts connecting and returns at once, whether or not a server is there: it goes on trying for ever. Until
    /// it has found our service, requests are refused.
    ///
    /// # Errors
    /// When the address or the credentials cannot be read.
    pub async fn connect(options: NatsOptions) -> Result<Self, ConnectError> {
        let (running, ended) = watch::channel(());
        let (client, inbox, health) = connect::start(options, O::SERVICE, ended).await?;
        let shared = Arc::new(Shared { client, inbox, health, _running: running });
        Ok(Self { shared, operation: PhantomData })
    }

    /// What is known of the connection and of the service, now and on every change.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared.health.status()
    }

    /// Waits until a database service has been recognised. Cancel safe.
    pub async fn recognised(&self) {
        // The sender lives in `shared`, which this call borrows.
        let _ = self.status().wait_for(Status::usable).await;
    }

    /// What the reply inbox has seen.
    #[must_use]
    pub fn inbox(&self) -> InboxCounts {
        self.shared.inbox.counts()
    }

    /// The connection, for other uses.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.shared.client
    }

    /// Hands the request to the connection.
    fn send(&self, request: &Request<O>) -> Result<Ticket, Cause> {
        let shared = &*self.shared;
        shared.health.usable()?;
        // Known before its event has come.
        if shared.client.connection_state() != State::Connected {
            return Err(Cause::new(Code::UNAVAILABLE, "not connected to NATS"));
        }
        request.head.check()?;
        let payload = wire::payload(&*request.op, request.head.occurred_at)?;
        // A sink must be ready before it takes something; asked here with a waker that wakes nobody, because a
        // full queue is refused, not waited for: behind it is a server that has stopped reading.
        // Outside tokio's cooperative budget: a task that has used it up would be told "not ready" by an empty queue.
        let mut client = shared.client.clone();
        let ready = std::pin::pin!(unconstrained(poll_fn(|cx| client.poll_ready_unpin(cx))));
        match ready.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Err(Cause::new(Code::UNAVAILABLE, "the NATS client is closed")),
            Poll::Pending => return Err(Cause::new(Code::UNAVAILABLE, "the NATS client's queue is full")),
        }
        let subject = Subject::from_static(request.op.spec().subject);
        let ticket = shared.inbox.wait(subject.clone());
        // Once more: who was lost before this ticket waited has released everybody already.
        shared.health.usable()?;
        let message = OutboundMessage {
            subject,
            reply: Some(ticket.subject().into()),
            payload: payload.into(),
            headers: Some(wire::head_to_headers(&request.head)),
        };
        client.start_send_unpin(message).map_err(|e| match e.kind() {
            PublishErrorKind::MaxPayloadExceeded => {
                Cause::new(Code::TOO_LARGE, "larger than the NATS server takes (max_payload)")
            }
            _ => Cause::new(Code::UNAVAILABLE, format!("the NATS client refused it: {e}")),
        })?;
        Ok(ticket)
    }
}

impl<O: Operation> Service<Request<O>> for NatsService<O> {
    type Response = Reply<O::Answer>;
    type Error = Error<O>;
    type Future = NatsFuture<O>;

    /// Always ready: what cannot be sent is refused by `call`.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<O>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<O>) -> NatsFuture<O> {
        match self.send(&request) {
            Ok(ticket) => NatsFuture::waiting(ticket, Arc::clone(&self.shared.health), request),
            Err(cause) => NatsFuture::refused(Error::new(cause, request)),
        }
    }
}
