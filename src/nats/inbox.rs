//! The reply inbox: one wildcard subscription, a slab of waiters.
//!
//! The client's own request takes the first reply, whoever sent it, and keeps an entry for every unanswered one.
//! This inbox knows whose replies count, forgets a waiter with its future, and can release all of them at once.

use std::collections::HashSet;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::{Message, StatusCode, Subject};
use slab::Slab;
use tokio::sync::oneshot;

use super::wire;

/// What ends the waiting for a reply.
#[derive(Debug)]
pub(super) enum Settled {
    /// Our service answered.
    Answer(Message),
    /// The server says that nobody listens.
    NobodyThere,
    /// The connection or the service was lost while waiting.
    Lost,
}

/// What a reply inbox has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InboxCounts {
    /// Requests waiting for a reply now.
    pub waiting: usize,
    /// Replies that came when nobody waited any more.
    pub late: u64,
    /// Replies of somebody else than our service.
    pub foreign: u64,
}

#[derive(Debug)]
pub(super) struct Inbox {
    /// `_INBOX.x.`; a waiter's subject is this, its key and its turn.
    prefix: String,
    waiters: Mutex<Slab<Waiter>>,
    turn: AtomicU64,
    late: AtomicU64,
    foreign: AtomicU64,
    /// Subjects on which somebody else answered: named once each.
    named: Mutex<HashSet<String>>,
}

#[derive(Debug)]
struct Waiter {
    /// Keys are used again; a turn is not.
    turn: u64,
    asked: Subject,
    tx: oneshot::Sender<Settled>,
}

/// A place in the inbox. Dropping it gives up waiting.
#[derive(Debug)]
pub(super) struct Ticket {
    inbox: Arc<Inbox>,
    key: usize,
    turn: u64,
    pub(super) rx: oneshot::Receiver<Settled>,
}

impl Inbox {
    pub(super) fn new(inbox: &str) -> Self {
        Self {
            prefix: format!("{inbox}."),
            waiters: Mutex::default(),
            turn: AtomicU64::new(0),
            late: AtomicU64::new(0),
            foreign: AtomicU64::new(0),
            named: Mutex::default(),
        }
    }

    /// The subject of the subscription.
    pub(super) fn subject(&self) -> String {
        format!("{}*", self.prefix)
    }

    /// A place for the reply to a request on the subject `asked`.
    pub(super) fn wait(self: &Arc<Self>, asked: Subject) -> Ticket {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (tx, rx) = oneshot::channel();
        let key = self.lock().insert(Waiter { turn, asked, tx });
        Ticket { inbox: Arc::clone(self), key, turn, rx }
    }

    /// Gives a message to whoever waits for it, if it counts as an answer.
    pub(super) fn settle(&self, message: Message) {
        let Some((key, turn)) = self.parse(message.subject.as_str()) else { return };
        let mut waiters = self.lock();
        let Some(waiter) = waiters.get(key).filter(|w| w.turn == turn) else {
            self.late.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let settled = if message.status == Some(StatusCode::NO_RESPONDERS) {
            Settled::NobodyThere
        } else if wire::is_ours(&message) {
            Settled::Answer(message)
        } else {
            let asked = waiter.asked.clone();
            drop(waiters);
            self.foreign(&asked, &message);
            return;
        };
        // A waiter that is gone has dropped its receiver: nobody to tell.
        let _ = waiters.remove(key).tx.send(settled);
    }

    /// Ends all waiting.
    pub(super) fn release_all(&self) -> usize {
        let waiters = std::mem::take(&mut *self.lock());
        let count = waiters.len();
        for (_, waiter) in waiters {
            let _ = waiter.tx.send(Settled::Lost);
        }
        count
    }

    pub(super) fn counts(&self) -> InboxCounts {
        InboxCounts {
            waiting: self.lock().len(),
            late: self.late.load(Ordering::Relaxed),
            foreign: self.foreign.load(Ordering::Relaxed),
        }
    }

    fn foreign(&self, asked: &Subject, message: &Message) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
        let first = self.named.lock().unwrap_or_else(PoisonError::into_inner).insert(asked.to_string());
        if first {
            let who = match wire::stream_of(&message.payload) {
                Some(stream) => format!("the stream {stream:?}"),
                None => "somebody who is not our database service".to_owned(),
            };
            tracing::warn!(
                subject = asked.as_str(),
                "{who} answers on this subject; such answers are not counted"
            );
        }
    }

    fn parse(&self, subject: &str) -> Option<(usize, u64)> {
        let (key, turn) = subject.strip_prefix(self.prefix.as_str())?.split_once('-')?;
        Some((key.parse().ok()?, turn.parse().ok()?))
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Waiter>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// The subject to reply to.
    pub(super) fn subject(&self) -> String {
        let mut subject = String::with_capacity(self.inbox.prefix.len() + 24);
        subject.push_str(&self.inbox.prefix);
        // Writing into a `String` does not fail.
        let _ = write!(subject, "{}-{}", self.key, self.turn);
        subject
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut waiters = self.inbox.lock();
        if waiters.get(self.key).is_some_and(|w| w.turn == self.turn) {
            waiters.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: String, ours: bool, payload: &'static str) -> Message {
        let headers = ours.then(|| {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert(wire::REPLY, "1");
            headers
        });
        Message {
            subject: subject.into(),
            reply: None,
            payload: payload.into(),
            headers,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn a_dropped_call_leaves_nothing_behind_and_its_late_reply_is_counted() {
        let inbox = Arc::new(Inbox::new("_INBOX.x"));
        let ticket = inbox.wait("a".into());
        let subject = ticket.subject();
        drop(ticket);
        assert_eq!(inbox.counts().waiting, 0);
        let second = inbox.wait("a".into());
        inbox.settle(message(subject, true, "{}"));
        assert_eq!(inbox.counts(), InboxCounts { waiting: 1, late: 1, foreign: 0 });
        drop(second);
    }

    #[test]
    fn only_a_reply_of_our_service_settles_a_call() {
        let inbox = Arc::new(Inbox::new("_INBOX.x"));
        let mut ticket = inbox.wait("a".into());
        inbox.settle(message(ticket.subject(), false, r#"{"stream":"OTHER","seq":1}"#));
        inbox.settle(message(ticket.subject(), false, "{}"));
        assert!(ticket.rx.try_recv().is_err());
        assert_eq!(inbox.counts().foreign, 2);
        inbox.settle(message(ticket.subject(), true, "{}"));
        assert!(matches!(ticket.rx.try_recv(), Ok(Settled::Answer(_))));
    }

    #[test]
    fn a_lost_connection_releases_every_waiter_at_once() {
        let inbox = Arc::new(Inbox::new("_INBOX.x"));
        let mut tickets: Vec<_> = (0..500).map(|_| inbox.wait("a".into())).collect();
        assert_eq!(inbox.release_all(), 500);
        assert!(tickets.iter_mut().all(|t| matches!(t.rx.try_recv(), Ok(Settled::Lost))));
        assert_eq!(inbox.counts().waiting, 0);
    }
}
