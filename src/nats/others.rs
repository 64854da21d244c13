//! Answers of somebody else: a service of another kind on our subjects answers what we ask, and may have done it, too.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_nats::Message;

use super::stored::PubAck;
use super::wire;

/// For how long it must go on to count: one answer may be left over from somebody who is gone.
const SPAN: Duration = Duration::from_secs(1);
/// How long after the last one it counts. Nothing is sent meanwhile that could be answered.
const COUNTS: Duration = Duration::from_secs(30);

/// When somebody else answered first and last.
#[derive(Debug, Default)]
pub(super) struct Others(Mutex<Option<(Instant, Instant)>>);

impl Others {
    /// A message that came to our inbox, late or not what was waited for.
    pub(super) fn note(&self, message: &Message) {
        let server = message.status.is_some()
            || message.payload.is_empty()
            || message.payload.starts_with(b"{\"type\":\"io.nats.");
        // A stream of somebody else is named by the service, and settles nothing.
        if server || wire::is_ours(message) || PubAck::read(&message.payload).is_some() {
            return;
        }
        let now = Instant::now();
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = match *seen {
            Some((first, last)) if now.saturating_duration_since(last) < COUNTS => Some((first, now)),
            _ => Some((now, now)),
        };
    }

    pub(super) fn are_there(&self) -> bool {
        let seen = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.is_some_and(|(first, last)| {
            last.saturating_duration_since(first) >= SPAN && last.elapsed() < COUNTS
        })
    }
}
