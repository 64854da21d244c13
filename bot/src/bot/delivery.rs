//! Delivery of waiting messages: claim, send, mark.
//!
//! A message is never sent twice while the bot lives: sent messages are remembered, and one that is handed
//! out again is marked again instead. A mark that fails is kept with its id and repeated before the next
//! poll, so that a bot which stops later has reported everything it sent. After a crash between send and mark
//! there is at most one repeat.
//!
//! A network with a rate ([`ChatSender::allowance`](super::ChatSender::allowance)) is told one message after the other, and a
//! message is claimed only when it may be sent: none waits longer than its claim, and no event waits for a message. Whose
//! messages have to wait is remembered until the next poll.
//!
//! A claim that took long may have been on its way on two paths. The one that answered found nothing, or failed; the other one may grant
//! it afterwards, and no user would hear of that until its lease has ended, half a minute later. So it is asked again with its id at
//! the next poll: the same id gets what it holds.

use std::borrow::Cow;

use eitherway_layers::{Class, Classify};
use tokio::time::{Duration, Instant};
use tracing::{debug, warn};

use super::commands::config::Commands;
use super::context::{Context, brief};
use super::deliveries::{Action, Claim, MOST_MARKS};
use super::failure_logs::FailureKind;
use crate::op::{Error, Op, OutboundMessage, RoseyClient};
use eitherway::Head;
use eitherway::client::Stack;
use eitherway::clock;

/// Messages per claim. They are sent and marked one after another, and all of that must fit into the lease of
/// 30 s, even if every mark takes the 2 s of a path that does not answer.
pub(super) const CLAIM: u32 = 10;
/// From then on a claim may be on its way on a second path: the soonest that a hedge starts.
const LONG: Duration = Duration::from_millis(15);
/// How old a claim may be that is asked again, in milliseconds; [`OutboundGet`](crate::op::OutboundGet) takes those of 10 s.
const FRESH: i64 = 8_000;
/// The largest number of consecutive claims.
const ROUNDS: u32 = 20;

impl<S: Stack<Op>> Context<S> {
    /// Delivers the messages that wait for `user`, or for the whole channel, oldest first. If the claim
    /// fails, logs a warning and delivers nothing.
    ///
    /// If the future is dropped between send and mark, the message is marked when it is handed out again.
    pub(super) async fn deliver(&self, user: Option<&str>) {
        let has_rate = self.sender().allowance().is_some();
        let turn = self.deliveries().speaking().try_lock();
        if has_rate && turn.is_err() {
            return self.deliveries().wait(user);
        }
        for _ in 0..ROUNDS {
            let claim = self.sender().allowance().unwrap_or(CLAIM).min(CLAIM);
            if claim == 0 {
                return self.deliveries().wait(user);
            }
            let claim = Claim { head: Head::now(), user: user.map(str::to_owned), limit: claim };
            let begin = Instant::now();
            let messages = self.claimed(&claim).await;
            if messages.is_empty() && begin.elapsed() >= LONG {
                self.deliveries().doubt(claim.clone());
            }
            let claim = claim.limit;
            let more = messages.len() >= claim as usize;
            let mut all = true;
            for message in messages {
                all &= self.hand_over(&message, user).await;
            }
            // What could not be said now is not tried again at once.
            if !more || !all {
                return;
            }
        }
        self.deliveries().wait(user);
    }

    /// Claims messages. If that fails, logs a warning: there are none.
    async fn claimed(&self, claim: &Claim) -> Vec<OutboundMessage> {
        let db = self.db().with(claim.head.clone());
        let claimed = match &claim.user {
            Some(name) => db.outbound_messages(name, claim.limit).await,
            None => db.outbound_channel_messages(claim.limit).await,
        };
        let none = |error: &Error| {
            if let Some(more) = self.failures().record(FailureKind::Unclaimed) {
                let user = brief(claim.user.as_deref().unwrap_or("the channel"));
                warn!("cannot read the messages for {user}; they stay queued: {error}{more}");
            }
        };
        self.count_result(claimed).inspect_err(none).unwrap_or_default()
    }

    /// Asks claims again that took long and came to nothing, once, and delivers what they hold. Those of a user who is not here, and all
    /// of them while nothing may be said, wait for the next poll.
    pub(super) async fn deliver_doubted(&self) {
        let has_rate = self.sender().allowance().is_some();
        let turn = self.deliveries().speaking().try_lock();
        for claim in self.deliveries().take_doubted() {
            // An older one is refused.
            if clock::now() - claim.head.occurred_at >= FRESH {
                continue;
            }
            let is_here = |user: &str| self.room().has(user) || self.room().counts().is_none();
            let waits = (has_rate && turn.is_err()) || self.sender().allowance() == Some(0);
            if waits || !claim.user.as_deref().is_none_or(is_here) {
                self.deliveries().doubt(claim);
                continue;
            }
            for message in self.claimed(&claim).await {
                self.hand_over(&message, claim.user.as_deref()).await;
            }
        }
    }

    /// Delivers what had to wait for the network's rate, to those who are still here. Who has come while the list of users is not
    /// known waits on.
    pub(super) async fn deliver_waiting(&self) {
        for user in self.deliveries().take_waiting() {
            if self.room().has(&user) || self.room().counts().is_none() {
                self.deliver(Some(&user)).await;
            }
        }
    }

    /// Sends a message and marks it; to `user`, if it has a recipient. Returns whether it could be said.
    async fn hand_over(&self, message: &OutboundMessage, user: Option<&str>) -> bool {
        let sending = match self.deliveries().turn(message.id) {
            Action::Send(sending) => sending,
            Action::Mark => {
                self.mark_sent(message.id).await;
                return true;
            }
            Action::Leave => return true,
        };
        let text = self.worded(message);
        let sent = match user.or(message.username.as_deref()) {
            Some(user) if message.privately => self.sender().pm(user, &text).await,
            Some(user) => self.sender().say(&format!("{user}: {text}")).await,
            None => self.sender().say(&text).await,
        };
        match sent {
            Ok(()) => {
                sending.sent();
                self.progress().message_delivered();
                self.mark_sent(message.id).await;
                true
            }
            Err(unsent) => {
                self.progress().message_undelivered();
                if let Some(more) = self.failures().record(FailureKind::Undelivered) {
                    warn!(message = message.id, "a message could not be delivered: {unsent}{more}");
                }
                let marked = self
                    .db()
                    .outbound_mark_failed(message.id, unsent.to_string(), unsent.is_permanent())
                    .await;
                self.keep(marked, format_args!("that message {} could not be delivered", message.id));
                false
            }
        }
    }

    /// The message, and who has left it when.
    fn worded<'m>(&self, message: &'m OutboundMessage) -> Cow<'m, str> {
        let Some(sender) = &message.sender else { return Cow::Borrowed(&message.content) };
        let language = self.commands().map(Commands::speaks).unwrap_or_default();
        let seconds = clock::seconds(clock::now()) - message.timestamp;
        Cow::Owned(language.told(sender, seconds, &message.content))
    }

    async fn mark_sent(&self, message: i64) {
        let marked = self.db().outbound_mark_sent(message).await;
        self.keep(marked, format_args!("that message {message} was delivered"));
    }

    /// Keeps a failed mark for repetition, unless it was refused.
    fn keep(&self, marked: Result<(), Error>, what: std::fmt::Arguments<'_>) {
        let Err(error) = self.count_result(marked) else { return };
        if error.class() == Class::Rejected {
            return self.tell(what, &error);
        }
        if let Some(more) = self.failures().record(FailureKind::Unmarked) {
            warn!("{what}: not recorded yet, will retry: {error}{more}");
        }
        let given_up = error.into_request().is_some_and(|request| self.deliveries().queue_mark(request));
        if given_up && let Some(more) = self.failures().record(FailureKind::GivenUp) {
            warn!("more than {MOST_MARKS} delivery reports wait to be retried; dropped the oldest{more}");
        }
    }

    /// Repeats the failed marks, oldest first, until one fails again. Dropping the future loses none of them.
    pub(super) async fn retry_pending_marks(&self) {
        // Marks that are queued from here on are left for the next call.
        for _ in 0..self.deliveries().pending_marks() {
            let Some(request) = self.deliveries().next_mark() else { return };
            match self.count_result(self.db().send(request.clone()).await) {
                Ok(_) => {}
                Err(error) if error.class() == Class::Rejected => {
                    self.tell(format_args!("what became of a message"), &error);
                }
                Err(error) => return debug!("a mark failed again: {error}"),
            }
            self.deliveries().mark_done(&request);
        }
    }
}
