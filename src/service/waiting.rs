//! Requests that have come and are not begun: bounded in bytes, over all subjects, because the client library bounds them by
//! number alone.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::Message;
use bytes::Bytes;

use crate::operation::MAX_PAYLOAD;

/// A message with more than this is no operation, whatever it says: only its beginning is kept, from the moment it comes.
const LARGEST: usize = 2 * MAX_PAYLOAD;
/// How much of it.
const BEGINNING: usize = 4 << 10;
/// How many bytes may wait, over all subjects. What comes beyond that is dropped, and counted as an overrun.
const MOST: usize = 32 << 20;
/// How many bytes of one subject are worked on at once, beside their number.
const AT_WORK: usize = 4 << 20;
/// What a message costs beside its bytes.
const OVERHEAD: usize = 512;

/// What waits over all subjects, in bytes.
#[derive(Debug, Default)]
pub(super) struct Room(AtomicUsize);

/// What waits on one subject.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    room: &'a Room,
    messages: VecDeque<Message>,
    /// How many bytes of this subject are at work.
    at_work: usize,
}

impl<'a> Waiting<'a> {
    pub(super) const fn new(room: &'a Room) -> Self {
        Self { room, messages: VecDeque::new(), at_work: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Lets a message wait. False if there is no room for it: it is lost.
    pub(super) fn push(&mut self, mut message: Message) -> bool {
        if message.length > LARGEST {
            cut(&mut message);
        }
        let cost = cost(&message);
        if self.room.0.fetch_add(cost, Ordering::Relaxed) + cost > MOST && !self.messages.is_empty() {
            self.room.0.fetch_sub(cost, Ordering::Relaxed);
            return false;
        }
        self.messages.push_back(message);
        true
    }

    /// The next one to begin with, if there is time for it; its end is to be told with what it costs.
    pub(super) fn begin(&mut self) -> Option<(Message, usize)> {
        if self.at_work >= AT_WORK {
            return None;
        }
        let message = self.messages.pop_front()?;
        let cost = cost(&message);
        self.room.0.fetch_sub(cost, Ordering::Relaxed);
        self.at_work += cost;
        Some((message, cost))
    }

    pub(super) fn ended(&mut self, cost: usize) {
        self.at_work = self.at_work.saturating_sub(cost);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let left = self.messages.iter().map(cost).sum();
        self.room.0.fetch_sub(left, Ordering::Relaxed);
    }
}

/// Whether a message was more than any operation can be, and what is here is its beginning.
pub(super) const fn is_cut(message: &Message) -> bool {
    message.length > LARGEST
}

fn cost(message: &Message) -> usize {
    OVERHEAD + if is_cut(message) { 2 * BEGINNING } else { message.length }
}

/// Leaves the beginning, in memory of its own: the rest of what it came with is free then.
fn cut(message: &mut Message) {
    let header = message.length.saturating_sub(message.payload.len());
    if header > BEGINNING {
        message.headers = None;
    }
    let end = message.payload.len().min(BEGINNING);
    message.payload = Bytes::copy_from_slice(&message.payload[..end]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Message {
        Message {
            subject: "s".into(),
            reply: None,
            payload: vec![b'x'; bytes].into(),
            headers: None,
            status: None,
            description: None,
            length: bytes + 1,
        }
    }

    #[test]
    fn what_waits_is_bounded_over_all_subjects_and_what_is_too_large_is_never_kept_whole() {
        let room = Room::default();
        let (mut first, mut second) = (Waiting::new(&room), Waiting::new(&room));
        for _ in 0..1_000 {
            assert!(first.push(message(1 << 20)));
        }
        let held: usize = first.messages.iter().map(|message| message.payload.len()).sum();
        assert_eq!(held, 1_000 * BEGINNING);
        while second.push(message(LARGEST - 1)) {}
        assert!(room.0.load(Ordering::Relaxed) <= MOST);
        while let Some((message, cost)) = first.begin() {
            assert!(is_cut(&message));
            first.ended(cost);
        }
        assert!(second.push(message(LARGEST - 1)));
        drop((first, second));
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
    }
}
