//! A reply that is waited for: of a request, a ping, a question to the server.

use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_nats::{Client, Subject};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::inbox::{Asked, Completion, EVENT, Inbox, ReplyFrom};

/// The future of a reply: how the wait for it ends. It has a slot in the inbox from its creation on; the slot is freed when
/// the reply is settled, or when this is dropped. Cancel safe.
#[derive(Debug)]
pub(super) struct PendingReply {
    inbox: Arc<Inbox>,
    key: usize,
    token: u64,
    event: bool,
    /// How many waited when this was registered, itself among them.
    waiting: usize,
    settled: oneshot::Receiver<Completion>,
}

impl Inbox {
    /// Registers a waiter for the reply to a request on the subject `asked`.
    pub(super) fn wait(self: &Arc<Self>, asked: Subject, expects: ReplyFrom) -> PendingReply {
        PendingReply::new(self, asked, expects, None)
    }

    /// As [`wait`](Self::wait), for an operation: an answer to another one does not settle it.
    pub(super) fn wait_for_operation(
        self: &Arc<Self>,
        asked: Subject,
        expects: ReplyFrom,
        operation: Asked,
    ) -> PendingReply {
        PendingReply::new(self, asked, expects, Some(operation))
    }
}

impl PendingReply {
    fn new(inbox: &Arc<Inbox>, asked: Subject, expects: ReplyFrom, operation: Option<Asked>) -> Self {
        let event = operation.as_ref().is_some_and(|asked| asked.event);
        let (key, token, settled, waiting) = inbox.register(asked, expects, operation);
        Self { inbox: Arc::clone(inbox), key, token, event, waiting, settled }
    }

    /// The reply to a question that is published with it; `None`, if it could not be published.
    pub(super) async fn to(
        client: &Client,
        inbox: &Arc<Inbox>,
        subject: Subject,
        expects: ReplyFrom,
        question: Bytes,
    ) -> Option<Completion> {
        let pending = inbox.wait(subject.clone(), expects);
        client.publish_with_reply(subject, pending.subject(), question).await.ok()?;
        Some(pending.await)
    }

    /// Key and token of the slot.
    pub(super) const fn slot(&self) -> (usize, u64) {
        (self.key, self.token)
    }

    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// The reply subject.
    pub(super) fn subject(&self) -> String {
        let prefix = self.inbox.prefix();
        let mut subject = String::with_capacity(prefix.len() + 24);
        subject.push_str(prefix);
        // Writing into a `String` does not fail.
        let _ = write!(subject, "{}-{:x}{}", self.key, self.token, if self.event { EVENT } else { "" });
        subject
    }
}

impl Future for PendingReply {
    type Output = Completion;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Completion> {
        Pin::new(&mut self.settled).poll(cx).map(|settled| settled.unwrap_or(Completion::Lost))
    }
}

impl Drop for PendingReply {
    fn drop(&mut self) {
        self.inbox.forget(self.key, self.token);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_wait_that_is_interrupted_loses_no_reply_and_one_that_is_given_up_leaves_no_slot() {
        let inbox = Arc::new(Inbox::new("_INBOX.x", "SHOP".to_owned()));
        let mut cx = Context::from_waker(Waker::noop());
        let mut pending = inbox.wait("a".into(), ReplyFrom::Service);
        assert!(Pin::new(&mut pending).poll(&mut cx).is_pending());
        inbox.deny("a");
        assert!(matches!(Pin::new(&mut pending).poll(&mut cx), Poll::Ready(Completion::Denied(_))));
        let mut given_up = inbox.wait("a".into(), ReplyFrom::Service);
        assert!(Pin::new(&mut given_up).poll(&mut cx).is_pending());
        assert_eq!(inbox.counts().waiting, 1);
        drop((pending, given_up));
        assert_eq!(inbox.counts().waiting, 0);
    }
}
