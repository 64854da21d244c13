//! Answers from other services: a service of another kind on the same subjects answers requests, and may also
//! have executed them.

use std::time::{Duration, Instant};

use async_nats::Message;
use parking_lot::Mutex;

use super::stored::PubAck;
use super::wire;

/// How long such answers must continue before they count: a single one may be left over from a service that
/// has ended.
const SPAN: Duration = Duration::from_secs(1);
/// How long after the last such answer they still count. Nothing is sent in the meantime that could be
/// answered.
const COUNTS: Duration = Duration::from_secs(30);

/// When another service answered first and last.
#[derive(Debug, Default)]
pub(super) struct ForeignReplies(Mutex<Option<(Instant, Instant)>>);

impl ForeignReplies {
    /// Records a message in the inbox that arrived late or was not the expected reply.
    pub(super) fn note(&self, message: &Message) {
        let server = message.status.is_some()
            || message.payload.is_empty()
            || message.payload.starts_with(b"{\"type\":\"io.nats.");
        // The service itself reports another stream over its subjects, and such a stream settles no request.
        if server || wire::is_ours(message) || PubAck::read(&message.payload).is_some() {
            return;
        }
        let now = Instant::now();
        let mut seen = self.0.lock();
        *seen = match *seen {
            Some((first, last)) if now.saturating_duration_since(last) < COUNTS => Some((first, now)),
            _ => Some((now, now)),
        };
    }

    pub(super) fn are_there(&self) -> bool {
        let seen = *self.0.lock();
        seen.is_some_and(|(first, last)| {
            last.saturating_duration_since(first) >= SPAN && last.elapsed() < COUNTS
        })
    }
}
