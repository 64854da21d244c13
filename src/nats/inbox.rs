//! The reply inbox: one wildcard subscription and a slab of waiters.
//!
//! The client library's own `request` accepts the first reply, whatever its sender, and keeps an entry for
//! every request without a reply. This inbox checks who replies, removes a waiter when its future is dropped,
//! and can release all waiters at once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::{Message, StatusCode, Subject};
use parking_lot::Mutex;
use serde::Serialize;
use slab::Slab;
use tokio::sync::{oneshot, watch};

use super::foreign_replies::ForeignReplies;
use super::stored::PubAck;
use super::tokens::Tokens;
use super::wire;
use crate::request::OpId;
use crate::stack::LateAnswers;

/// Whose reply a waiter expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyFrom {
    /// A reply of our service only.
    Service,
    /// A reply of our stream, or of our service, which has then committed what the stream would have stored.
    Stream,
    /// Any reply: used for requests to the server itself.
    Any,
}

/// How the wait for a reply ends.
#[derive(Debug)]
pub(super) enum Completion {
    /// The expected party answered.
    Answer(Message),
    /// The acknowledgement of our stream: the message is stored, or the reason why it is not.
    Stored(PubAck),
    /// The server denies publishing to this subject.
    Denied(Subject),
    /// The server reports that the subject has no responders.
    NobodyThere,
    /// The connection or the service was lost while waiting.
    Lost,
}

/// The counters of a reply inbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InboxCounts {
    /// Requests that are waiting for a reply now.
    pub waiting: usize,
    /// Replies that arrived after their waiter had gone, because the other path had served the request.
    pub late: u64,
    /// Replies from a sender other than our service or stream, and replies to another operation.
    pub foreign: u64,
    /// How often replies arrived faster than they were read, and some were lost. Requests whose reply is lost
    /// fall back to the other path.
    pub overruns: u64,
}

/// Ends the reply subject of an event.
pub(super) const EVENT: &str = "-e";

#[derive(Debug)]
pub(super) struct Inbox {
    /// `_INBOX.x.`; a waiter's subject is this prefix, its key and its token.
    prefix: String,
    /// The stream whose acknowledgements count.
    stream: String,
    waiters: Mutex<Slab<Waiter>>,
    tokens: Tokens,
    late: AtomicU64,
    /// Which of them were answers.
    late_answers: watch::Sender<LateAnswers>,
    foreign: AtomicU64,
    overruns: AtomicU64,
    /// Subjects on which another sender has answered. Each is logged once.
    named: Mutex<HashSet<String>>,
    others: ForeignReplies,
}

#[derive(Debug)]
struct Waiter {
    /// Slab keys are reused, and can be guessed; tokens are not, and cannot.
    token: u64,
    asked: Subject,
    expects: ReplyFrom,
    operation: Option<Asked>,
    tx: oneshot::Sender<Completion>,
}

/// The operation that a waiter has sent.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) id: OpId,
    /// Whether the service names the operation that it answers. One that is older does not.
    pub(super) named: bool,
    /// Whether it is an event.
    pub(super) event: bool,
}

impl Asked {
    /// Whether this is an answer to this operation, and not to another one that was sent with the same reply subject.
    fn is_answered_by(&self, answer: &Message) -> bool {
        wire::answered(answer).map_or(!self.named, |id| id.is_some_and(|id| id == self.id))
    }
}

impl Inbox {
    pub(super) fn new(inbox: &str, stream: String) -> Self {
        Self {
            prefix: format!("{inbox}."),
            stream,
            waiters: Mutex::default(),
            tokens: Tokens::default(),
            late: AtomicU64::new(0),
            late_answers: watch::Sender::new(LateAnswers::default()),
            foreign: AtomicU64::new(0),
            overruns: AtomicU64::new(0),
            named: Mutex::default(),
            others: ForeignReplies::default(),
        }
    }

    /// The subject of the subscription.
    pub(super) fn subject(&self) -> String {
        format!("{}*", self.prefix)
    }

    /// Takes a slot: its key, its token, and how the wait ends.
    pub(super) fn register(
        &self,
        asked: Subject,
        expects: ReplyFrom,
        operation: Option<Asked>,
    ) -> (usize, u64, oneshot::Receiver<Completion>) {
        let token = self.tokens.next();
        let (tx, rx) = oneshot::channel();
        let key = self.waiters.lock().insert(Waiter { token, asked, expects, operation, tx });
        (key, token, rx)
    }

    /// Frees the slot of a wait that is over, if it is not freed already.
    pub(super) fn forget(&self, key: usize, token: u64) {
        let mut waiters = self.waiters.lock();
        if waiters.get(key).is_some_and(|waiter| waiter.token == token) {
            waiters.remove(key);
        }
    }

    /// Delivers a message to its waiter, if it counts as an answer.
    pub(super) fn complete(&self, message: Message) {
        let Some((key, token, event)) = self.parse(message.subject.as_str()) else { return };
        let mut waiters = self.waiters.lock();
        let Some(waiter) = waiters.get(key).filter(|w| w.token == token) else {
            self.late.fetch_add(1, Ordering::Relaxed);
            drop(waiters);
            self.too_late(&message, event);
            self.others.note(&message);
            return;
        };
        let settled = if message.status == Some(StatusCode::NO_RESPONDERS) {
            Completion::NobodyThere
        } else if waiter.expects == ReplyFrom::Any
            || (wire::is_ours(&message)
                && waiter.operation.as_ref().is_none_or(|asked| asked.is_answered_by(&message)))
        {
            Completion::Answer(message)
        } else if let Some(ack) = self.our_stream(waiter.expects, &message) {
            Completion::Stored(ack)
        } else {
            let asked = waiter.asked.clone();
            drop(waiters);
            self.others.note(&message);
            self.foreign(&asked, &message);
            return;
        };
        // The receiver may be gone already.
        let _ = waiters.remove(key).tx.send(settled);
    }

    /// An answer that came too late shows all the same that the path answers.
    fn too_late(&self, message: &Message, event: bool) {
        let expects = if event { ReplyFrom::Stream } else { ReplyFrom::Service };
        let answers = wire::is_ours(message) || self.our_stream(expects, message).is_some();
        if answers && message.status != Some(StatusCode::NO_RESPONDERS) {
            self.late_answers.send_modify(|late| if event { late.events += 1 } else { late.requests += 1 });
        }
    }

    pub(super) fn late_answers(&self) -> watch::Receiver<LateAnswers> {
        self.late_answers.subscribe()
    }

    /// The acknowledgement of our stream, if the message is one and the waiter expects it.
    fn our_stream(&self, expects: ReplyFrom, message: &Message) -> Option<PubAck> {
        if expects != ReplyFrom::Stream {
            return None;
        }
        PubAck::read(&message.payload).filter(|ack| ack.stream == self.stream)
    }

    /// Releases all waiters.
    pub(super) fn release_all(&self) -> usize {
        let waiters = std::mem::take(&mut *self.waiters.lock());
        let count = waiters.len();
        for (_, waiter) in waiters {
            let _ = waiter.tx.send(Completion::Lost);
        }
        count
    }

    /// Releases the waiters that expect this kind of reply.
    pub(super) fn release(&self, expects: ReplyFrom) {
        self.end(|waiter| waiter.expects == expects, |_| Completion::Lost);
    }

    /// Releases the waiters whose request the server has denied: those that asked on this subject, and the
    /// one whose own inbox subject it is.
    pub(super) fn deny(&self, subject: &str) {
        let own = self.parse(subject).map(|(_, token, _)| token);
        let denied = |waiter: &Waiter| Some(waiter.token) == own || waiter.asked.as_str() == subject;
        self.end(denied, Completion::Denied);
    }

    fn end(&self, which: impl Fn(&Waiter) -> bool, how: impl Fn(Subject) -> Completion) {
        let mut waiters = self.waiters.lock();
        let keys: Vec<usize> =
            waiters.iter().filter(|(_, waiter)| which(waiter)).map(|(key, _)| key).collect();
        for key in keys {
            let Waiter { asked, tx, .. } = waiters.remove(key);
            let _ = tx.send(how(asked));
        }
    }

    /// The prefix of all subjects of this inbox.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn counts(&self) -> InboxCounts {
        InboxCounts {
            waiting: self.waiters.lock().len(),
            late: self.late.load(Ordering::Relaxed),
            foreign: self.foreign.load(Ordering::Relaxed),
            overruns: self.overruns.load(Ordering::Relaxed),
        }
    }

    /// Whether a sender that is neither our service nor a stream has answered repeatedly.
    pub(super) fn someone_else_answers(&self) -> bool {
        self.others.are_there()
    }

    /// The subjects on which other senders answer, as far as they are known.
    pub(super) fn answered_by_someone_else(&self) -> Vec<String> {
        self.named.lock().iter().cloned().collect()
    }

    /// Counts that replies arrived faster than they were read.
    pub(super) fn overrun(&self) {
        self.overruns.fetch_add(1, Ordering::Relaxed);
    }

    fn foreign(&self, asked: &Subject, message: &Message) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
        let first = self.named.lock().insert(asked.to_string());
        if first {
            let who = match PubAck::read(&message.payload) {
                Some(ack) => format!("the stream {:?}", ack.stream),
                None if wire::is_ours(message) => "our database service, to another operation,".to_owned(),
                None => "a service that is not our database service".to_owned(),
            };
            tracing::warn!(
                subject = asked.as_str(),
                "{who} answers on this subject; its answers are ignored"
            );
        }
    }

    /// Key and token of a waiter, and whether it waits for the answer to an event.
    fn parse(&self, subject: &str) -> Option<(usize, u64, bool)> {
        let (key, token) = subject.strip_prefix(self.prefix.as_str())?.split_once('-')?;
        let (token, event) = token.strip_suffix(EVENT).map_or((token, false), |token| (token, true));
        Some((key.parse().ok()?, u64::from_str_radix(token, 16).ok()?, event))
    }
}

#[cfg(test)]
mod tests;
