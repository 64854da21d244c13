//! Messages that the client library cannot read: how many, what of them is known, and when it is said.

use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::notices::Notices;
use super::progress::counted;

use crate::hints::hints;

/// The key of the notice.
const KEY: &str = "unreadable";
/// The shortest time between two lines of the log.
const EVERY: Duration = Duration::from_secs(10);
/// How long it is waited with the first line: until then the message has been found, if it can be.
const FIND: Duration = Duration::from_secs(1);
/// After so long without another one it is over.
const CALM: Duration = Duration::from_secs(60);

/// What there was of them.
#[derive(Debug, Default)]
pub(super) struct Unreadable(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// How often a connection ended at one.
    ended: u64,
    /// At what, the last time.
    cause: String,
    /// How many were taken out of the stream.
    aside: u64,
    /// Which one, the last time.
    last: String,
    when: Option<When>,
}

#[derive(Clone, Copy, Debug)]
struct When {
    first: Instant,
    last: Instant,
    said: Option<Instant>,
    /// Whether something has come since it was said.
    unsaid: bool,
}

impl Unreadable {
    /// A connection ended at one.
    pub(super) fn ended(&self, cause: String) {
        let mut state = self.0.lock();
        state.ended += 1;
        state.cause = cause;
        state.again();
    }

    /// Whether there was one a moment ago.
    pub(super) fn is_going_on(&self) -> bool {
        self.0.lock().when.is_some()
    }

    /// One was found in the stream, and is a dead letter; `new`: it was none before.
    pub(super) fn set_aside(&self, subject: &str, stream: &str, sequence: u64, why: &str, new: bool) {
        let mut state = self.0.lock();
        state.aside += u64::from(new);
        state.last = format!("sequence {sequence} of the stream {stream} on {subject:?}: {why}");
        state.again();
    }

    /// The counts, for the statistics.
    pub(super) fn count(&self) -> Value {
        let state = self.0.lock();
        json!({
            "connections_ended": state.ended, "last_end": state.cause,
            "set_aside": state.aside, "last_set_aside": state.last})
    }

    /// States what there is, or that it is over; in the log no more often than every ten seconds.
    pub(super) fn tell(&self, notices: &Notices) {
        let mut state = self.0.lock();
        let Some(mut when) = state.when else { return };
        let now = Instant::now();
        if now.duration_since(when.last) > CALM {
            state.when = None;
            return notices.clear(KEY);
        }
        if now.duration_since(when.first) < FIND && state.aside == 0 {
            return;
        }
        let sentence = state.sentence();
        match when.said {
            // Raising it says it.
            None => when.said = Some(now),
            Some(said) if when.unsaid && now.duration_since(said) >= EVERY => {
                tracing::warn!("{sentence}");
                when.said = Some(now);
            }
            Some(_) => {
                state.when = Some(when);
                return notices.raise(KEY, sentence);
            }
        }
        when.unsaid = false;
        state.when = Some(when);
        notices.raise(KEY, sentence);
    }
}

impl State {
    fn again(&mut self) {
        let now = Instant::now();
        let when = self.when.get_or_insert(When { first: now, last: now, said: None, unsaid: true });
        (when.last, when.unsaid) = (now, true);
    }

    fn sentence(&self) -> String {
        let mut parts = Vec::new();
        if self.ended > 0 {
            parts.push(format!(
                "the connection to NATS ended {} at a message that cannot be read, and was back at once ({})",
                counted(self.ended, "time"),
                self.cause
            ));
        }
        if self.aside > 0 {
            parts.push(format!(
                "{} messages of the stream cannot be read, and are dead letters ({}); the last one: {}",
                self.aside,
                hints().dead_letters,
                self.last
            ));
        } else if !self.last.is_empty() {
            parts.push(format!(
                "a message that is a dead letter already could not be removed from the stream: {}",
                self.last
            ));
        }
        format!(
            "a peer sends messages with malformed headers or subjects; find it, and correct it: {}",
            parts.join("; ")
        )
    }
}

#[cfg(test)]
mod tests {
    use tokio::time;

    use super::*;
    use crate::captured_logs::CapturedLogs;

    #[tokio::test(start_paused = true)]
    async fn thousands_are_one_line_in_ten_seconds_that_names_the_last_one() {
        let (heard, _guard) = CapturedLogs::catch();
        let (unreadable, notices) = (Unreadable::default(), Notices::default());
        for sequence in 1..=2_000 {
            unreadable.ended("not UTF-8".to_owned());
            unreadable.set_aside("shop.db.user.joined", "SHOP", sequence, "not UTF-8", true);
            unreadable.tell(&notices);
            time::advance(Duration::from_millis(10)).await;
        }
        let said = heard.take();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("sequence 1 of the stream SHOP on \"shop.db.user.joined\": not UTF-8"));
        assert!(notices.now()[0].contains("2000 messages of the stream"), "{:?}", notices.now());
        time::advance(CALM * 2).await;
        unreadable.tell(&notices);
        assert_eq!((notices.now().len(), heard.take().len()), (0, 1));
        unreadable.tell(&notices);
        assert_eq!(heard.take().len(), 0);
    }
}
