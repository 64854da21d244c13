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

use super::bundle::{BundledReply, Slot};
use super::foreign_replies::ForeignReplies;
use super::stored::PubAck;
use super::tokens::Tokens;
use super::wire;
use crate::error::Cause;
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
    /// What the answer to a bundle says of this operation.
    Bundled(BundledReply),
    /// The bundle was not taken, and nothing of it done: it may be sent alone.
    Unbundled(Unbundled),
    /// It was not sent, or was refused together with its bundle.
    Refused(Cause),
}

/// Why a bundle was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unbundled {
    /// No service or stream listens for bundles.
    NoResponders,
    /// The service or the stream that it came to does not take it.
    Refused,
}

/// The counters of a reply inbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct InboxCounts {
    /// Requests that are waiting for a reply now.
    pub waiting: usize,
    /// Bundles that were sent, each of several requests.
    pub bundles: u64,
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
/// Begins that of a bundle.
const BUNDLE: char = 'b';

#[derive(Debug)]
pub(super) struct Inbox {
    /// `_INBOX.x.`; a waiter's subject is this prefix, its key and its token.
    prefix: String,
    /// The stream whose acknowledgements count.
    stream: String,
    pub(super) waiters: Mutex<Waiters>,
    tokens: Tokens,
    pub(super) bundles: AtomicU64,
    pub(super) late: AtomicU64,
    /// Which of them were answers.
    late_answers: watch::Sender<LateAnswers>,
    foreign: AtomicU64,
    overruns: AtomicU64,
    /// Subjects on which another sender has answered. Each is logged once.
    named: Mutex<HashSet<String>>,
    pub(super) others: ForeignReplies,
}

/// Who waits for a reply, and which of them wait together.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    pub(super) single: Slab<Waiter>,
    pub(super) bundles: Slab<Slot>,
}

#[derive(Debug)]
pub(super) struct Waiter {
    /// Slab keys are reused, and can be guessed; tokens are not, and cannot.
    pub(super) token: u64,
    pub(super) asked: Subject,
    expects: ReplyFrom,
    operation: Option<Asked>,
    /// The bundle in which it travels, if it does.
    pub(super) bundle: Option<usize>,
    pub(super) tx: oneshot::Sender<Completion>,
}

impl Waiters {
    /// Takes a waiter out, and its bundle with the last one of it.
    pub(super) fn take(&mut self, key: usize, token: u64) -> Option<Waiter> {
        self.single.get(key).filter(|waiter| waiter.token == token)?;
        let waiter = self.single.remove(key);
        if let Some(bundle) = waiter.bundle
            && let Some(slot) = self.bundles.get_mut(bundle)
        {
            slot.open -= 1;
            if slot.open == 0 {
                self.bundles.remove(bundle);
            }
        }
        Some(waiter)
    }
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
            bundles: AtomicU64::new(0),
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

    pub(super) fn token(&self) -> u64 {
        self.tokens.next()
    }

    /// Takes a slot: its key, its token, and how the wait ends; and how many wait.
    pub(super) fn register(
        &self,
        asked: Subject,
        expects: ReplyFrom,
        operation: Option<Asked>,
    ) -> (usize, u64, oneshot::Receiver<Completion>, usize) {
        let token = self.token();
        let (tx, rx) = oneshot::channel();
        let waiter = Waiter { token, asked, expects, operation, bundle: None, tx };
        let mut waiters = self.waiters.lock();
        let key = waiters.single.insert(waiter);
        (key, token, rx, waiters.single.len())
    }

    /// Frees the slot of a wait that is over, if it is not freed already.
    pub(super) fn forget(&self, key: usize, token: u64) {
        self.waiters.lock().take(key, token);
    }

    /// Delivers a message to its waiter, if it counts as an answer.
    pub(super) fn complete(&self, message: Message) {
        let Some(ReplySubject { bundle, key, token, event }) = self.parse(message.subject.as_str()) else {
            return;
        };
        if bundle {
            return self.complete_bundle(key, token, event, message);
        }
        let mut waiters = self.waiters.lock();
        let Some(waiter) = waiters.single.get(key).filter(|w| w.token == token) else {
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
        if let Some(waiter) = waiters.take(key, token) {
            drop(waiters);
            // The receiver may be gone already.
            let _ = waiter.tx.send(settled);
        }
    }

    /// An answer that came too late shows all the same that the path answers.
    pub(super) fn too_late(&self, message: &Message, event: bool) {
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
    pub(super) fn our_stream(&self, expects: ReplyFrom, message: &Message) -> Option<PubAck> {
        if expects != ReplyFrom::Stream {
            return None;
        }
        PubAck::read(&message.payload).filter(|ack| ack.stream == self.stream)
    }

    /// Releases all waiters.
    pub(super) fn release_all(&self) -> usize {
        let waiters = std::mem::take(&mut *self.waiters.lock());
        let count = waiters.single.len();
        for (_, waiter) in waiters.single {
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
        let own = self.parse(subject).map(|own| own.token);
        let denied = |waiter: &Waiter| Some(waiter.token) == own || waiter.asked.as_str() == subject;
        self.end(denied, |waiter| match waiter.bundle {
            Some(_) => Completion::Unbundled(Unbundled::Refused),
            None => Completion::Denied(waiter.asked.clone()),
        });
    }

    fn end(&self, which: impl Fn(&Waiter) -> bool, how: impl Fn(&Waiter) -> Completion) {
        let mut waiters = self.waiters.lock();
        let ended: Vec<_> = waiters.single.iter().filter(|(_, waiter)| which(waiter)).collect();
        let ended: Vec<_> = ended.into_iter().map(|(key, waiter)| (key, waiter.token)).collect();
        for (key, token) in ended {
            if let Some(waiter) = waiters.take(key, token) {
                let how = how(&waiter);
                let _ = waiter.tx.send(how);
            }
        }
    }

    /// The prefix of all subjects of this inbox.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(super) fn counts(&self) -> InboxCounts {
        InboxCounts {
            waiting: self.waiters.lock().single.len(),
            bundles: self.bundles.load(Ordering::Relaxed),
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

    pub(super) fn foreign(&self, asked: &Subject, message: &Message) {
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

    /// The reply subject of a bundle, of events or of others.
    pub(super) fn bundle_subject(&self, key: usize, token: u64, events: bool) -> String {
        format!("{}{BUNDLE}{key}-{token:x}{}", self.prefix, if events { EVENT } else { "" })
    }

    fn parse(&self, subject: &str) -> Option<ReplySubject> {
        let own = subject.strip_prefix(self.prefix.as_str())?;
        let (own, bundle) = own.strip_prefix(BUNDLE).map_or((own, false), |own| (own, true));
        let (key, token) = own.split_once('-')?;
        let (token, event) = token.strip_suffix(EVENT).map_or((token, false), |token| (token, true));
        Some(ReplySubject {
            bundle,
            key: key.parse().ok()?,
            token: u64::from_str_radix(token, 16).ok()?,
            event,
        })
    }
}

/// What a reply subject tells of who waits there.
struct ReplySubject {
    bundle: bool,
    key: usize,
    token: u64,
    /// Whether the answer to events is waited for.
    event: bool,
}

#[cfg(test)]
mod tests;
