//! What became of the messages that were handed out: which are being sent, which were sent, which marks failed; and which claims
//! may have been granted after they had been answered.

use std::collections::{BTreeSet, HashSet, VecDeque};

use parking_lot::Mutex;

use crate::op::Request;
use eitherway::Head;

/// How many sent messages are remembered: the newest ones. A lease ends after 30 s, so this is plenty.
const REMEMBERED: usize = 16_384;
/// How many failed marks are kept.
pub(super) const MOST_MARKS: usize = 4_096;
/// How many claims are asked again: the newest ones.
const MOST_CLAIMS: usize = 256;
/// How many users are remembered whose messages have to wait. Of others, they wait for their next join.
const MOST_WAITING: usize = 4_096;

/// The messages that this process has sent or is sending.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    state: Mutex<State>,
    /// Held by the task that speaks on a network with a rate.
    speaking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    sending: HashSet<i64>,
    sent: HashSet<i64>,
    order: VecDeque<i64>,
    marks: VecDeque<Request>,
    waiting: BTreeSet<String>,
    claims: VecDeque<Claim>,
}

/// A claim of messages, which may be asked again under its id.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) head: Head,
    /// To whom they are told.
    pub(super) user: Option<String>,
    pub(super) limit: u32,
}

/// What to do with a message that was handed out.
pub(super) enum Action<'a> {
    /// Send the message. Dropping this without [`sent`](Sending::sent) allows another attempt.
    Send(Sending<'a>),
    /// The message has been sent: mark it again.
    Mark,
    /// Another task is sending the message (its lease has ended meanwhile): leave it alone.
    Leave,
}

/// A message that is being sent.
pub(super) struct Sending<'a> {
    deliveries: &'a Deliveries,
    id: i64,
}

impl Sending<'_> {
    pub(super) fn sent(self) {
        let mut state = self.deliveries.state.lock();
        if state.order.len() == REMEMBERED
            && let Some(oldest) = state.order.pop_front()
        {
            state.sent.remove(&oldest);
        }
        state.sent.insert(self.id);
        state.order.push_back(self.id);
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.deliveries.state.lock().sending.remove(&self.id);
    }
}

impl Deliveries {
    /// The right to speak on a network with a rate.
    pub(super) const fn speaking(&self) -> &tokio::sync::Mutex<()> {
        &self.speaking
    }

    /// Remembers that this user's messages have to wait. Those of the channel are asked for again in any case.
    pub(super) fn wait(&self, user: Option<&str>) {
        let mut state = self.state.lock();
        if let Some(user) = user
            && state.waiting.len() < MOST_WAITING
        {
            state.waiting.insert(user.to_owned());
        }
    }

    /// The users whose messages have to wait.
    pub(super) fn take_waiting(&self) -> BTreeSet<String> {
        std::mem::take(&mut self.state.lock().waiting)
    }

    /// Remembers a claim whose answer may not be the last word.
    pub(super) fn doubt(&self, claim: Claim) {
        let claims = &mut self.state.lock().claims;
        if claims.len() == MOST_CLAIMS {
            claims.pop_front();
        }
        claims.push_back(claim);
    }

    /// The claims whose answers may not have been the last word.
    pub(super) fn take_doubted(&self) -> VecDeque<Claim> {
        std::mem::take(&mut self.state.lock().claims)
    }

    pub(super) fn turn(&self, id: i64) -> Action<'_> {
        let mut state = self.state.lock();
        if state.sent.contains(&id) {
            return Action::Mark;
        }
        if state.sending.insert(id) { Action::Send(Sending { deliveries: self, id }) } else { Action::Leave }
    }

    /// Queues a mark for repetition. Returns whether the oldest one was dropped to make room.
    pub(super) fn queue_mark(&self, request: Request) -> bool {
        let mut state = self.state.lock();
        let full = state.marks.len() == MOST_MARKS;
        if full {
            state.marks.pop_front();
        }
        state.marks.push_back(request);
        full
    }

    pub(super) fn next_mark(&self) -> Option<Request> {
        self.state.lock().marks.front().cloned()
    }

    pub(super) fn mark_done(&self, request: &Request) {
        self.state.lock().marks.retain(|mark| mark.head.id != request.head.id);
    }

    /// The number of failed marks that wait to be repeated.
    pub(super) fn pending_marks(&self) -> usize {
        self.state.lock().marks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_stays() {
        let deliveries = Deliveries::default();
        let last = REMEMBERED as i64 + 10;
        for id in 0..=last {
            match deliveries.turn(id) {
                Action::Send(sending) => sending.sent(),
                _ => panic!("{id} is new"),
            }
        }
        assert!(matches!(deliveries.turn(last), Action::Mark));
        assert!(matches!(deliveries.turn(0), Action::Send(_)), "long forgotten");
        assert_eq!(deliveries.state.lock().sent.len(), REMEMBERED);
    }

    #[test]
    fn a_message_in_hand_is_left_to_whoever_has_it_and_an_abandoned_one_may_be_taken_up() {
        let deliveries = Deliveries::default();
        let first = deliveries.turn(1);
        assert!(matches!(deliveries.turn(1), Action::Leave));
        drop(first);
        assert!(matches!(deliveries.turn(1), Action::Send(_)));
    }
}
